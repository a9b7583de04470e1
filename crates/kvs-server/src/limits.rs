//! Every bound and deadline of the server, each with its name and its reason.
//!
//! One list, so that a review sees at once what a client can make the node hold, and for how long. The bounds of what
//! is stored (paths, depth, operations of a batch) are in `kvs_core::limits`, the ones of the queue to the disk in
//! `kvs_store::limits`.

use std::time::Duration;

use kvs_cluster::limits::RELAYS_MAX;
use kvs_protocol::wire::relay::MESSAGE_BYTES_MAX;

// --- connections ---------------------------------------------------------------------------------------------------

/// Most connections at once. Each costs a file descriptor and, idle, about 10 KiB.
pub const CONNECTIONS_MAX: usize = 4096;

/// How many of them are kept for peers, so that a crowd of clients cannot cut a node off from its cluster.
pub const CONNECTIONS_PEER_RESERVE: usize = 256;

/// File descriptors that are never given to connections: the store's files, logs, backups.
pub const DESCRIPTORS_RESERVE: usize = 512;

/// Fewest connections that a node serves, whatever the limit on descriptors says.
pub const CONNECTIONS_MIN: usize = 64;

/// Queue of the operating system for connections that were not accepted yet.
pub const LISTEN_BACKLOG: u32 = 1024;

/// Pause after a failed `accept` (out of descriptors, mostly), so that the loop does not spin.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// From the first byte of a request (or the start of a connection) to the end of its head.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may stay open without a request.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(75);

/// How long a client may take no byte of an answer that is ready for it.
pub const SEND_STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How often connections are compared with these deadlines; a deadline is kept within this much.
pub const SWEEP_INTERVAL: Duration = Duration::from_millis(250);

/// After an answer that leaves a body unread: how long, and how many bytes of it are taken off the wire so that the
/// client can read the answer before the connection is reset.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// See [`LINGER_TIMEOUT`].
pub const LINGER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long requests in flight may take to finish after a stop was asked for.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

// --- the cluster's threads -----------------------------------------------------------------------------------------

/// What waits for a thread of the cluster; what must arrive waits for room elsewhere.
pub const QUEUE_MAX: usize = 1024;

/// How soon a task whose message found no room tries again.
pub const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(5);

/// Connections that peers ended and that membership has not heard of yet; more are not told.
pub const CLOSED_MAX: usize = 1024;

// --- TLS -----------------------------------------------------------------------------------------------------------

/// How often the files of certificates are looked at; a change holds after two looks that find the same.
pub const TLS_LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How long before its end the log warns of the node's own certificate, and how often.
pub const TLS_EXPIRY_NOTICE: Duration = Duration::from_secs(14 * 24 * 3600);
/// See [`TLS_EXPIRY_NOTICE`].
pub const TLS_EXPIRY_NOTICE_INTERVAL: Duration = Duration::from_secs(24 * 3600);

// --- heads ---------------------------------------------------------------------------------------------------------

/// Most header fields of a request.
pub const HEADERS_MAX: usize = 64;

/// Longest head of an HTTP/1 request, in bytes.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Longest path and query, in bytes: a cursor and three keys of a range, each percent-encoded.
pub const TARGET_BYTES_MAX: usize = 16 * 1024;

/// Read buffer of an HTTP/1 connection, in bytes: a head must fit into it.
pub const READ_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Answer bytes of an HTTP/1 connection that are collected before they are sent.
pub const OUTBOX_BYTES_MAX: usize = 64 * 1024;

/// What an idle connection keeps of that memory, in bytes.
pub const OUTBOX_BYTES_KEPT: usize = 8 * 1024;

// --- callers -------------------------------------------------------------------------------------------------------

/// How many network addresses the limit of requests tells apart at once, at least; 104 bytes for eight.
pub const LIMITED_ADDRESSES: usize = 1 << 20;

/// The same for users.
pub const LIMITED_PRINCIPALS: usize = 1 << 16;

// --- HTTP/2 --------------------------------------------------------------------------------------------------------

/// Most requests at once on one HTTP/2 connection.
pub const H2_STREAMS_MAX: u32 = 128;

/// Largest head of an HTTP/2 request after decompression, in bytes.
pub const H2_HEADER_LIST_BYTES_MAX: u32 = 32 * 1024;

/// Bytes of a body that one stream, and the connection as a whole, may send ahead of what was read.
pub const H2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// See [`H2_STREAM_WINDOW_BYTES`].
pub const H2_CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Answer bytes buffered per stream.
pub const H2_SEND_BUFFER_BYTES: usize = 256 * 1024;

/// Streams reset by the client before they were accepted (rapid reset, CVE-2023-44487); above it the connection ends.
pub const H2_PENDING_RESETS_MAX: usize = 20;

/// Streams reset by the node because of the client's errors; above it the connection ends.
pub const H2_LOCAL_RESETS_MAX: usize = 256;

/// How often an HTTP/2 connection is pinged, and how long the answer may take.
pub const H2_PING_INTERVAL: Duration = Duration::from_secs(20);
/// See [`H2_PING_INTERVAL`].
pub const H2_PING_TIMEOUT: Duration = Duration::from_secs(20);

// --- bodies --------------------------------------------------------------------------------------------------------

/// Time that every body has, however small.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Slowest body: its length over this rate, in bytes per second, is added to [`BODY_TIMEOUT`].
pub const BODY_BYTES_PER_SECOND_MIN: u64 = 64 * 1024;

/// Largest body of `POST /kv/_batch`, in bytes.
pub const BATCH_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Largest body of `POST /kv/_get`, in bytes: 1,000 paths of 1 KiB with escapes.
pub const READ_MANY_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Values above this are checked and compressed outside the threads that serve connections, in bytes.
pub const PREPARE_INLINE_BYTES_MAX: usize = 32 * 1024;

/// Bodies and answers larger than a few KiB, all together, in bytes: the largest value that a configuration allows must
/// fit in once as a body and once as an answer.
pub const BUFFER_BYTES_MAX: usize = 256 * 1024 * 1024;

// --- answers -------------------------------------------------------------------------------------------------------

/// A page or a multi-key read takes no further value once it holds this many bytes.
pub const ANSWER_BYTES_TARGET: usize = 8 * 1024 * 1024;

/// Bytes of an answer that are handed to the connection at once, and so about what its buffer grows to.
pub const ANSWER_PIECE_BYTES_MAX: usize = 64 * 1024;

/// Keys of a page when the request does not say.
pub const RANGE_LIMIT_DEFAULT: usize = 100;

/// Keys that a recursive delete removes with one commit.
pub const SUBTREE_PAGE_KEYS: usize = 1000;

/// Largest answer that is kept in the answer cache, in bytes.
pub const CACHED_ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// What one cached answer costs beside its frame, in bytes: its slot, its reference count, what the allocator adds.
pub const CACHED_ANSWER_OVERHEAD_BYTES: usize = 192;

/// Of the reads that the cache answers, one in this many is timed and counts for all of them: reading the clock twice
/// would be a good part of such a read. A power of two.
pub const CACHED_READS_PER_SAMPLE: u64 = 16;

/// What `Retry-After` says when the queue to the disk is full or the node is stopping.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A single read of the store that takes longer than this waited for a slow disk.
pub const SLOW_READ: Duration = Duration::from_millis(1);

/// After a slow read so many reads in a row must be fast before they run on the threads of connections again.
pub const CAREFUL_READS: u32 = 1000;

/// Big reads (ranges, histories, recursive deletes) at once; further ones wait for their turn.
pub const SCANS_MAX: usize = 16;

/// How long a scan may wait for its turn.
pub const SCAN_WAIT_MAX: Duration = Duration::from_secs(10);

/// Threads for scans, backups and other blocking work.
pub const BLOCKING_THREADS_MAX: usize = 64;

// --- peers ---------------------------------------------------------------------------------------------------------

/// Largest body of a call that carries frames of the failure detector, in bytes; its reply likewise, here and below.
pub const PEER_SWIM_BYTES_MAX: usize = 64 * 1024;

/// Largest body of a call that carries the list of members, in bytes.
pub const PEER_MEMBERS_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Largest body of a call that says where a node stands, in bytes.
pub const PEER_STATUS_BYTES_MAX: usize = 1024 * 1024;

/// Largest body of a call that carries records, in bytes: a batch is closed at 8 MiB, and its last record may be the
/// largest value that a configuration allows (64 MiB) with its key.
pub const PEER_BULK_BYTES_MAX: usize = (8 + 64 + 1) * 1024 * 1024;

/// Largest body of a call that passes a part of a log on, in bytes.
pub const PEER_RELAY_BYTES_MAX: usize = MESSAGE_BYTES_MAX;

/// Connections to peers that this node opens, all together.
pub const PEER_CONNECTIONS_MAX: usize = 256;

/// Calls at once, and so connections, to one peer for what is urgent.
pub const PEER_CONTROL_CALLS_MAX: usize = 4;

/// The same for the log: batches follow each other.
pub const PEER_STREAM_CALLS_MAX: usize = 1;

/// The same for what is passed on: one for each part of a log that this node passes on, and one for its own log. So no such
/// call waits for another one, and nodes that pass on each other's logs cannot wait for each other in a circle.
pub const PEER_RELAY_CALLS_MAX: usize = RELAYS_MAX + 1;

/// The same for repair and bootstrap.
pub const PEER_REPAIR_CALLS_MAX: usize = 2;

/// Peers, times lanes, whose connections are kept in mind.
pub const PEER_LANES_MAX: usize = 1024;

/// Time for a connection to a peer, name resolution and first exchange included; less when the call has less.
pub const PEER_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Addresses of one host name that are tried.
pub const PEER_ADDRESSES_MAX: usize = 4;

/// How long the answer to a peer's call may take.
pub const PEER_ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a connection to a peer may be idle before the next call opens another; well below [`KEEP_ALIVE_TIMEOUT`], so
/// that no call meets the peer's closing.
pub const PEER_IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// Most header fields of a peer's reply, and the longest head of it, in bytes.
pub const PEER_REPLY_HEADERS_MAX: usize = 32;
/// See [`PEER_REPLY_HEADERS_MAX`].
pub const PEER_REPLY_HEAD_BYTES_MAX: usize = 16 * 1024;

/// Largest body of a reply that is not a peer's for sure, in bytes: a problem document.
pub const PEER_PROBLEM_BYTES_MAX: usize = 16 * 1024;

/// Most characters of a peer's sentence that are passed on.
pub const PEER_DETAIL_CHARS_MAX: usize = 240;

/// A complaint about one peer is logged once in this time.
pub const PEER_COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Peers about whom complaints are logged within that time.
pub const PEER_COMPLAINTS_MAX: usize = 64;

/// How often a node that was forgotten looks whether it can hand over the revocations that it saved.
pub(crate) const CARRIED_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How often the token of root is looked at: it may have been revoked or removed.
pub(crate) const ROOT_TOKEN_LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How often the audit trail is looked after: what was refused goes to the disk, and checkpoints are signed.
pub(crate) const AUDIT_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How often a restored node looks for members that were not restored with it.
pub(crate) const RESTORED_LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How long a member is waited for to say that it was restored.
pub(crate) const RESTORED_PATIENCE: Duration = Duration::from_secs(10);

/// Most nodes of which it is read when they were restored.
pub(crate) const RESTORED_NODES_MAX: usize = 4096;

/// Nodes that were restored within this time of each other were restored together.
pub(crate) const RESTORED_TOGETHER: Duration = Duration::from_secs(24 * 3600);

/// How long a member that was not restored is named in `/health` after it was met.
pub(crate) const UNRESTORED_NAMED: Duration = Duration::from_secs(7 * 24 * 3600);

/// How often a node that found its disk full looks whether it can make its start up.
pub(crate) const LATE_START_LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Every how many of these looks the checkpoints of peers are kept.
pub(crate) const AUDIT_PEERS_LOOK_TICKS: u64 = 2;
/// Peers whose checkpoints are kept.
pub(crate) const AUDIT_PEERS_MAX: usize = 1000;

// --- backups -------------------------------------------------------------------------------------------------------

/// How often the wall clock is looked at while waiting for the next backup: it may be set meanwhile.
pub const SCHEDULE_LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// Longest time that a writer may wait for copies of its write.
pub(crate) const COPIES_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// Between two lines of the log about conflicts.
pub(crate) const CONFLICTS_TOLD_INTERVAL: Duration = Duration::from_secs(5);
