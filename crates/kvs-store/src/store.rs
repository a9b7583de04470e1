//! The store: opened on a data directory, written through one committer, read without waiting for it.

use std::path::Path as FilePath;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, ThreadId};
use std::time::Duration;

use bytes::Bytes;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::record::Record;
use kvs_core::vector::Vector;
use uuid::Uuid;

use crate::clock::Clock;
use crate::clock_verdict::ClockVerdict;
use crate::commit::committer::Committer;
use crate::commit::mark::Note;
use crate::commit::queue::{Job, Woken};
use crate::commit::write::{Outcome, Reply, Transaction};
use crate::compression::{self, Content};
use crate::data_dir::{DataDir, Expect};
use crate::engine::disk::{Blocks, DiskOptions};
use crate::engine_cell::EngineCell;
use crate::error::{ErrorKind, StoreError};
use crate::keys::record_key;
use crate::medium::{DiskMedium, Medium, Room};
use crate::node::{self, Identity, NewIdentity};
use crate::observer::{Key, Observer};
use crate::read::history::{self, Revision};
use crate::read::range::{self, Page, RangeQuery};
use crate::read::view::View;
use crate::row::Row;
use crate::settings::Settings;
use crate::shared::{Shared, State, Status};
use crate::standing::Standing;
use crate::start::{Begun, Found, Start};
use crate::table::Table;
use crate::tree::digest::Digest;
use crate::tree::live::LiveTree;

/// A node's store. Share it as `Arc<Store>`; dropping the last one closes it.
///
/// **Invariant:** all writes pass the one committer; a write answered `Ok` is on the disk, unless `durability` says
/// otherwise.
pub struct Store {
    shared: Arc<Shared>,
    settings: Settings,
    drive: Drive,
    generation: u32,
    // Released last.
    _data_dir: Option<DataDir>,
}

/// How the committer runs.
enum Drive {
    /// On a thread of its own.
    Thread { handle: Mutex<Option<JoinHandle<()>>>, id: ThreadId },
    /// Within the calls of its users: no thread, no waiting, the same every time.
    Inline(Box<Mutex<Committer>>),
}

impl Store {
    /// Opens or creates the store in a data directory and starts its committer.
    ///
    /// # Errors
    ///
    /// The directory is in use, foreign, of another format, damaged, or cannot be written.
    pub fn open(
        dir: &FilePath,
        settings: Settings,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, StoreError> {
        let data_dir = DataDir::open(dir, Expect::AnyOrNew)?;
        data_dir.expect_engine()?;
        let medium = DiskMedium { dir: data_dir.engine_dir(), options: disk_options(&settings) };
        let mut seed = [0; 32];
        system_random(&mut seed)?;
        let disk = medium.clone();
        Self::open_on(Box::new(medium), settings, clock, observer, seed, Some(data_dir)).map_err(|error| {
            match error.kind() {
                // Nothing is running that could go on by itself.
                ErrorKind::Full => StoreError::NoRoom { path: disk.dir.clone(), room: Room::of(&disk) },
                _ => error,
            }
        })
    }

    /// Opens or creates the store on any medium, drawing randomness from `seed`: for tests and simulations.
    ///
    /// # Errors
    ///
    /// As for [`Store::open`].
    pub fn open_on(
        medium: Box<dyn Medium>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
        seed: [u8; 32],
        data_dir: Option<DataDir>,
    ) -> Result<Self, StoreError> {
        let (shared, committer, generation) =
            Self::begin(medium, settings, clock, observer, seed, data_dir.as_ref())?;
        let thread = std::thread::Builder::new()
            .name("kvs-committer".into())
            .spawn(move || committer.run())
            .map_err(|source| StoreError::File {
                operation: "start the committer of",
                path: "the store".into(),
                source,
            })?;
        let id = thread.thread().id();
        let drive = Drive::Thread { handle: Mutex::new(Some(thread)), id };
        Ok(Self { shared, settings, drive, generation, _data_dir: data_dir })
    }

    /// Opens or creates the store on any medium without a thread: each commit is made within the call, and chores when
    /// [`Store::turn`] is called. For simulations.
    ///
    /// # Errors
    ///
    /// As for [`Store::open`].
    pub fn open_inline(
        medium: Box<dyn Medium>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
        seed: [u8; 32],
    ) -> Result<Self, StoreError> {
        let (shared, committer, generation) = Self::begin(medium, settings, clock, observer, seed, None)?;
        let drive = Drive::Inline(Box::new(Mutex::new(committer)));
        Ok(Self { shared, settings, drive, generation, _data_dir: None })
    }

    fn begin(
        medium: Box<dyn Medium>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
        seed: [u8; 32],
        data_dir: Option<&DataDir>,
    ) -> Result<(Arc<Shared>, Committer, u32), StoreError> {
        let engine = medium.open()?;
        let random = NewIdentity::from_seed(&seed);
        let start = Start::read(&*engine, &settings, clock.now_ms(), random)?;
        if let Some(data_dir) = data_dir {
            data_dir.expect_node(found_node(&start))?;
        }
        let begun = start.write_if_there_is_room(&engine, &*medium)?;
        if begun == Begun::Written
            && let Some(data_dir) = data_dir
        {
            data_dir.note_node(start.after.identity.origin.node, start.generation)?;
        }
        let generation = start.generation;
        let selfhood = if begun == Begun::Written { start.after } else { start.before };
        let tree = LiveTree::open(&*engine, settings.digest_key);
        let forgetting = (settings.collection, settings.tombstone_grace_ms);
        let shared = Shared::new(EngineCell::new(engine), medium, &selfhood, forgetting, tree);
        let committer = Committer::new(Arc::clone(&shared), settings, clock, observer, selfhood, seed, begun);
        Ok((shared, committer, generation))
    }

    /// Does what is due of a store without a thread: what waits, expiry, collection. Nothing on one with a thread.
    pub fn turn(&self) {
        if let Drive::Inline(committer) = &self.drive {
            committer.lock().unwrap_or_else(PoisonError::into_inner).turn(Duration::ZERO);
        }
    }

    /// Prepares JSON bytes for a write: digest and compression, on the caller's thread.
    #[must_use]
    pub fn prepare(&self, json: Bytes) -> Content {
        Content::prepare(json, self.settings.compression_level)
    }

    /// Queues a transaction: all its writes happen in one commit, or none. `reply` is called once, from the committer's
    /// thread.
    ///
    /// # Errors
    ///
    /// [`StoreError::QueueFull`] or [`StoreError::Closed`]; `reply` is not called, nothing is written.
    pub fn submit(&self, transaction: impl Into<Transaction>, reply: Reply) -> Result<(), StoreError> {
        self.shared.queue.push(Job::new(transaction.into(), reply))?;
        self.turn();
        Ok(())
    }

    /// Commits a transaction and waits for the verdict; for callers that may block.
    ///
    /// # Errors
    ///
    /// The verdict's; nothing was written unless the error says otherwise.
    pub fn commit(&self, transaction: impl Into<Transaction>) -> Result<Vec<Outcome>, StoreError> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let reply: Reply = Box::new(move |verdict| {
            // A caller that is gone has no use for the verdict.
            drop(sender.send(verdict));
        });
        self.submit(transaction, reply)?;
        receiver.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// The current record of a key, tombstones and expired values included. May read from the disk.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn read(&self, namespace: Namespace, path: &Path) -> Result<Option<Record>, StoreError> {
        Ok(self.read_slot(namespace, path)?.filter(|record| !record.kind.is_placeholder()))
    }

    /// The record in a key's place, even one that only keeps the place of its history.
    ///
    /// # Errors
    ///
    /// The same as of [`Self::read`].
    pub fn read_slot(&self, namespace: Namespace, path: &Path) -> Result<Option<Record>, StoreError> {
        let engine = self.shared.engine.current()?;
        let Some(bytes) = engine.get(Table::Records, &record_key(namespace, path))? else {
            return Ok(None);
        };
        let row = Row::decode(&Key { namespace, path: path.clone() }, &bytes)?;
        Ok(Some(row.record))
    }

    /// The JSON bytes of a record as sent.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`]: the payload cannot be decompressed.
    pub fn json(&self, record: &Record) -> Result<Bytes, StoreError> {
        compression::decompress(&record.payload).map_err(|reason| {
            StoreError::corrupt(Table::Records.name(), record.version.uuid.to_string().as_bytes(), reason)
        })
    }

    /// A page of a range as a reader at `now_ms` sees it. Reads from the disk.
    ///
    /// # Errors
    ///
    /// A row cannot be read.
    pub fn range(&self, query: &RangeQuery, now_ms: u64) -> Result<Page, StoreError> {
        range::page(&self.view()?, query, now_ms)
    }

    /// The versions of a key, newest first. Reads from the disk.
    ///
    /// # Errors
    ///
    /// A row cannot be read.
    pub fn history(&self, namespace: Namespace, path: &Path) -> Result<Vec<Revision>, StoreError> {
        history::history(&self.view()?, namespace, path)
    }

    /// All tables as of the last commit.
    ///
    /// # Errors
    ///
    /// [`StoreError::Closed`].
    pub fn view(&self) -> Result<View, StoreError> {
        Ok(View::of(self.shared.engine.current()?))
    }

    /// The digest of what it holds.
    #[must_use]
    pub fn digest(&self) -> Digest<'_> {
        Digest { shared: &self.shared }
    }

    /// Whether it takes writes.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// The store in numbers. Looks at the engine's files.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Who this node is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.shared.identity()
    }

    /// The uuid of this node; it never changes while the store is open.
    #[must_use]
    pub fn node(&self) -> Uuid {
        self.shared.identity().origin.node
    }

    /// Whether this start is on the disk. One that found the disk full is not: the node serves reads as what it was, gives
    /// out no number, and must not speak to its peers. It becomes true by itself once there is room.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.shared.has_begun()
    }

    /// How much room the disk has.
    #[must_use]
    pub fn room(&self) -> Room {
        Room::of(&*self.shared.medium)
    }

    /// A full disk as an error that says where and how much is missing; any other error as it is.
    #[must_use]
    pub fn with_room(&self, error: StoreError) -> StoreError {
        match (error, self.shared.medium.place()) {
            (StoreError::Full, Some(place)) => {
                StoreError::NoRoom { path: place.to_owned(), room: self.room() }
            }
            (other, _) => other,
        }
    }

    /// How often this node was started, this time included; on the disk once the store [has begun](Self::has_begun).
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// What this node has received, its own writes included.
    #[must_use]
    pub fn vector(&self) -> Vector {
        let (identity, last_seq, standing) = self.shared.standing();
        let mut vector = standing.vector.clone();
        vector.raise(identity.origin, last_seq);
        vector
    }

    /// What this node has received and holds: its vector, lowered below what is parked.
    #[must_use]
    pub fn vector_held(&self) -> Vector {
        self.told().1
    }

    /// What whoever gets everything that this node holds may claim to hold: nothing while something is parked here, since it may
    /// have been taken in place of what is not held any more.
    #[must_use]
    pub fn claim(&self) -> Vector {
        let (standing, vector) = self.told();
        if standing.parked > 0 { Vector::default() } else { vector }
    }

    /// Where this node stands and what it holds, both at one moment.
    #[must_use]
    pub fn told(&self) -> (Arc<Standing>, Vector) {
        let (identity, last_seq, standing) = self.shared.standing();
        let mut vector = standing.held();
        vector.raise(identity.origin, last_seq);
        (standing, vector)
    }

    /// The latest stamp that this node gave and did not recall, in milliseconds since 1970.
    #[must_use]
    pub fn top_ms(&self) -> u64 {
        self.shared.top_ms()
    }

    /// Tells what peers' clocks say of this node's, which was looked at at this moment of the monotonic clock. That they
    /// agree counts no more once the committer notices that the clock was set since.
    pub fn judge_clock(&self, verdict: ClockVerdict, at: Duration) {
        self.shared.judge_clock(verdict, at);
    }

    /// What peers' clocks say of this node's, as far as that still counts.
    #[must_use]
    pub fn clock_verdict(&self) -> ClockVerdict {
        self.shared.clock_verdict()
    }

    /// Tells the shortest `tombstone_grace_ms` of all members, in milliseconds: what is younger cannot have been deleted and
    /// collected anywhere.
    pub fn set_shortest_grace_ms(&self, grace_ms: u64) {
        self.shared.set_shortest_grace_ms(grace_ms.min(self.settings.tombstone_grace_ms));
    }

    /// How long a tombstone stays here at least, in milliseconds.
    #[must_use]
    pub const fn tombstone_grace_ms(&self) -> u64 {
        self.settings.tombstone_grace_ms
    }

    /// How far a clock may be ahead, in milliseconds.
    #[must_use]
    pub const fn clock_skew_ms_max(&self) -> u64 {
        self.settings.clock_skew_ms_max
    }

    /// Keys with a tombstone.
    #[must_use]
    pub fn tombstones(&self) -> u64 {
        self.shared.tombstones()
    }

    /// Keys with a value; expired ones count until they are reaped.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.shared.keys()
    }

    /// The number of the last change in this node's log.
    #[must_use]
    pub fn last_local_seq(&self) -> u64 {
        self.shared.last_local_seq()
    }

    /// Where this node stands: cursors into its peers' logs and its epochs. Its vector lacks its own current epoch.
    #[must_use]
    pub fn standing(&self) -> Arc<Standing> {
        self.shared.standing().2
    }

    /// Tells which tombstones every other member has; `None` when there is no other member. Old ones among them are
    /// collected from now on.
    pub fn set_collection_floor(&self, floor: Option<Vector>) {
        self.shared.set_floor(floor);
    }

    /// When the data directory was made from a backup, in milliseconds since 1970; `None` when it was not.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn restored_ms(&self) -> Result<Option<u64>, StoreError> {
        node::load_restored(&*self.shared.engine.current()?)
    }

    /// What an earlier process noted.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn note(&self, note: Note) -> Result<Option<Bytes>, StoreError> {
        Ok(self.shared.engine.current()?.get(Table::Node, note.key())?)
    }

    /// Takes no further writes, commits what waits, brings everything to the disk and lets go of the files. Each of
    /// several callers returns when that is done.
    pub fn close(&self) {
        self.shared.queue.close();
        match &self.drive {
            Drive::Thread { id, .. } if std::thread::current().id() == *id => {
                // Dropped by a reply: the committer cannot wait for its own end, which comes now.
                return;
            }
            Drive::Thread { handle, .. } => {
                // Held while it ends, so that no other caller takes the engine away before.
                let mut thread = handle.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(thread) = thread.take()
                    && thread.join().is_err()
                {
                    tracing::error!("the committer ended by a panic");
                }
            }
            Drive::Inline(committer) => {
                let mut committer = committer.lock().unwrap_or_else(PoisonError::into_inner);
                while committer.turn(Duration::ZERO) == Woken::Running {}
                committer.finish();
            }
        }
        self.shared.engine.close();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// How the disk engine is set up for these settings.
#[must_use]
pub fn disk_options(settings: &Settings) -> DiskOptions {
    let blocks = if settings.compression_level.is_some() { Blocks::Compressed } else { Blocks::Plain };
    DiskOptions { cache_bytes: settings.cache_bytes, blocks }
}

/// The node that a start found, and how often it was started before.
fn found_node(start: &Start) -> Option<(Uuid, u32)> {
    let starts = start.generation.saturating_sub(1);
    (start.found == Found::Node).then_some((start.before.identity.origin.node, starts))
}

/// Fills `random` from the operating system.
pub(crate) fn system_random(random: &mut [u8]) -> Result<(), StoreError> {
    use rand::TryRng;
    rand::rngs::SysRng.try_fill_bytes(random).map_err(|error| StoreError::File {
        operation: "read randomness from",
        path: "the operating system".into(),
        source: std::io::Error::other(error),
    })
}
