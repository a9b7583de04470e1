//! The life of a node: open the store, serve, stop in order.
//!
//! Start and stop read as one story, the second being the first in reverse: listen, open the store, sweep, accept; stop
//! accepting, finish what is in flight, close the store.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kvs_auth::caller::AnonymousRights;
use kvs_auth::token::keys::TokenKeys;
use kvs_cluster::floors::acknowledged;
use kvs_config::choice::Durability;
use kvs_config::config::Config;
use kvs_core::item::DigestKey;
use kvs_protocol::peer_auth::keyring::Keyring;
use kvs_store::clock::Clock;
use kvs_store::settings::{self, Collection, FirstJoined, Settings};
use kvs_store::store::Store;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::access::carried;
use crate::access::follower::Follower;
use crate::access::guard::{Accounts, Guard};
use crate::access::presence::Presence;
use crate::access::root;
use crate::access::vault::Vault;
use crate::access::visitor::Recording;
use crate::answer_cache::AnswerCache;
use crate::audit::exchange;
use crate::audit::late_trail;
use crate::audit::recorder::Recorder;
use crate::backup_schedule::{self, Schedule};
use crate::backups::Backups;
use crate::budget::Budget;
use crate::clock::SystemClock;
use crate::cluster::forgotten;
use crate::cluster::handle::Cluster;
use crate::cluster::part::{Part, Waiting, ended_by_cluster};
use crate::cluster::start::{self as cluster, Queues};
use crate::cluster::unrestored;
use crate::cluster::wake::Wake;
use crate::conflict_log::ConflictLog;
use crate::connection::activity::Order;
use crate::connection::registry::Registry;
use crate::context::{CommitObserver, DoorSettings, HostPolicy, Node};
use crate::error::ServerError;
use crate::honesty;
use crate::limits::{BLOCKING_THREADS_MAX, CONNECTIONS_PEER_RESERVE, DRAIN_TIMEOUT, SWEEP_INTERVAL};
use crate::listener;
use crate::logging;
use crate::metrics::Metrics;
use crate::peer::gate::Gate;
use crate::peer::keys::{self, Secrets};
use crate::peer::service::PeerService;
use crate::random::random_bytes;
use crate::rate_limit::limiter::RateLimiter;
use crate::read_pace::ReadPace;
use crate::root_token;
use crate::scans::Scans;
use crate::tls::keeper::{self, Tls};

/// Runs a node until SIGTERM or SIGINT, then stops it in order. `on_ready` is called once it answers, with its address.
///
/// Starts the log and the runtime of the process; to be called once, from the main thread.
///
/// # Errors
///
/// [`ServerError`]; the node is not running then.
pub fn run_until_signal(config: &Config, on_ready: impl FnOnce(SocketAddr)) -> Result<(), ServerError> {
    logging::start(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("kvs-worker")
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .map_err(|source| ServerError::Runtime { operation: "start the runtime", source })?;
    let ended = runtime.block_on(async {
        let mut on_ready = Some(on_ready);
        loop {
            let stop = stop_signal()?;
            let listener = listener::bind(honesty::listen_address(config))?;
            let tell_ready = |address| {
                if let Some(on_ready) = on_ready.take() {
                    on_ready(address);
                }
            };
            match run(config, listener, stop, tell_ready).await {
                // What it held was put aside: it begins again as a new node.
                Err(ServerError::Forgotten) => {}
                ended => return ended,
            }
        }
    });
    // Scans nobody waits for any more end by themselves.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// Completes at the first SIGTERM or SIGINT; both are caught from this call on.
fn stop_signal() -> Result<impl Future<Output = ()>, ServerError> {
    let catch =
        |kind| signal(kind).map_err(|source| ServerError::Runtime { operation: "catch signals", source });
    let (mut terminate, mut interrupt) = (catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?);
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "stopping");
    })
}

/// Runs a node on a bound socket until `stop` completes, then stops it in order. `on_ready` is called once it answers.
///
/// Needs a multi-thread runtime. Does not look at `bind_address` and `port`; whether `Host` is checked depends on where
/// the socket listens.
///
/// # Errors
///
/// [`ServerError`]; the node is not running then.
pub async fn run(
    config: &Config,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
    on_ready: impl FnOnce(SocketAddr),
) -> Result<(), ServerError> {
    serve(config, listener, stop, on_ready, None).await
}

/// The same, where the calls of peers go to `service`; [`run`] alone tells peers that prove themselves to come again.
///
/// # Errors
///
/// As [`run`].
pub async fn run_with_peers(
    config: &Config,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
    on_ready: impl FnOnce(SocketAddr),
    service: Arc<dyn PeerService>,
) -> Result<(), ServerError> {
    serve(config, listener, stop, on_ready, Some(service)).await
}

async fn serve(
    config: &Config,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
    on_ready: impl FnOnce(SocketAddr),
    service: Option<Arc<dyn PeerService>>,
) -> Result<(), ServerError> {
    let tls = tokio::task::block_in_place(|| Tls::open(config))?;
    for notice in honesty::notices(config) {
        tracing::warn!("{notice}");
    }
    let address = listener
        .local_addr()
        .map_err(|source| ServerError::Runtime { operation: "read the address of the socket", source })?;
    let clock = SystemClock::start();
    let schedule = Schedule::of(config, &clock)?;
    let secrets = tokio::task::block_in_place(|| keys::secrets(config))?;
    let keyring = secrets.clone().filter(|_| config.clustering_enabled).map(Secrets::keyring);
    // Tests bring what answers peers; a node answers them itself.
    let queues =
        (keyring.is_some() && service.is_none()).then(|| Queues::new(cluster::configured_mode(config)));
    let wake = Arc::new(Wake::default());
    let opened = Opened {
        cluster: queues.as_ref().map(Queues::cluster),
        keyring: keyring.clone(),
        secrets,
        wake: Arc::clone(&wake),
        tls,
    };
    let node = open(config, address, clock, opened).await?;
    let mut part = Part::None;
    if let (Some(queues), Some(keyring)) = (queues, keyring) {
        part = Part::Waiting(Box::new(Waiting { queues, keyring, wake }));
        if node.vault.own().has_begun() {
            part.take(&node, config)?;
        } else {
            tracing::warn!("the node takes no part in its cluster before its disk has room");
        }
    }
    if let (Some(gate), Some(service)) = (&node.gate, service) {
        gate.serve(service);
    }
    let background = [
        tokio::spawn(sweep(Arc::clone(&node))),
        tokio::spawn(back_up(Arc::clone(&node), schedule)),
        tokio::spawn(exchange::keep(Arc::clone(&node))),
        tokio::spawn(carried::hand_over(Arc::clone(&node), config.data_dir.clone())),
        tokio::spawn(root::keep(Arc::clone(&node), config.data_dir.clone())),
        tokio::spawn(unrestored::keep(Arc::clone(&node))),
        tokio::spawn(late_trail::open(Arc::clone(&node), config.data_dir.clone(), honesty::summary(config))),
    ];
    let renewing = node.tls.clone().map(|tls| tokio::spawn(keeper::keep(tls, clock)));
    late_trail::note_start(&node, &honesty::summary(config));
    tracing::info!(%address, data_dir = %config.data_dir.display(), "the node answers");
    on_ready(address);
    let mut ended = Ok(());
    tokio::select! {
        () = listener::accept(&listener, &node) => {}
        () = stop => {}
        end = ended_by_cluster(&mut part, &node, config) => ended = Err(end),
    }
    node.stopping.store(true, Ordering::Relaxed);
    drop(listener);
    drain(&node).await;
    for task in background.into_iter().chain(renewing) {
        task.abort();
    }
    let was_forgotten = matches!(ended, Err(ServerError::Forgotten));
    if let Part::Taken(threads) = part {
        tokio::task::block_in_place(|| threads.stop());
    }
    if was_forgotten {
        save_own(&node, config).await?;
    }
    close(&node).await;
    tokio::task::block_in_place(|| node.recorder.end());
    if was_forgotten {
        // The store lets go of its folder with its last user.
        drop(node);
        tokio::task::block_in_place(|| forgotten::begin_again(&config.data_dir, clock.now_ms()))
            .map_err(ServerError::OpenStore)?;
    }
    tracing::info!("stopped");
    ended
}

/// Saves what only this node has, as far as its peers have ever acknowledged.
async fn save_own(node: &Arc<Node>, config: &Config) -> Result<(), ServerError> {
    let (saving, data_dir) = (Arc::clone(node), config.data_dir.clone());
    let now_ms = node.clock.now_ms();
    let saved = tokio::task::spawn_blocking(move || {
        let known = acknowledged(saving.vault.own())?;
        carried::save(saving.vault.own(), &data_dir, now_ms)?;
        forgotten::save_own(saving.vault.own(), &known, &data_dir, now_ms)
    });
    saved
        .await
        .map_err(|error| ServerError::Runtime {
            operation: "save the node's own writes",
            source: error.into(),
        })?
        .map_err(ServerError::OpenStore)?;
    Ok(())
}

/// What a node is opened with besides its configuration.
struct Opened {
    cluster: Option<Arc<Cluster>>,
    keyring: Option<Keyring>,
    secrets: Option<Secrets>,
    wake: Arc<Wake>,
    tls: Option<Arc<Tls>>,
}

/// Opens the store and puts everything around it together.
async fn open(
    config: &Config,
    address: SocketAddr,
    clock: SystemClock,
    opened: Opened,
) -> Result<Arc<Node>, ServerError> {
    let Opened { cluster: among, keyring, secrets, wake, tls } = opened;
    let cache = CacheShares::of(config);
    let answers = Arc::new(AnswerCache::new(cache.answers_bytes));
    let metrics = Arc::new(Metrics::new());
    let guard = Arc::new(guard_of(config, secrets.as_ref()));
    let presence = Arc::new(Presence::default());
    let follower = Follower::new(Arc::clone(&guard), Arc::clone(&presence), Arc::clone(&answers), clock);
    let follower = Arc::new(follower);
    let recorder = Arc::new(Recorder::new(clock));
    let conflicts = Arc::new(ConflictLog::default());
    let observer = Arc::new(CommitObserver {
        answers: Arc::clone(&answers),
        metrics: Arc::clone(&metrics),
        wake,
        follower: Arc::clone(&follower),
        recorder: Arc::clone(&recorder),
        conflicts: Arc::clone(&conflicts),
    });
    let (data_dir, settings) = (config.data_dir.clone(), store_settings(config, &cache, keyring.as_ref()));
    let (accounts_of, trail) = (Arc::clone(&guard), config.tamper_logging_enabled);
    let noting = Arc::clone(&recorder);
    let opening = tokio::task::spawn_blocking(move || {
        let opened = Store::open(&data_dir, settings, Arc::new(clock), observer);
        let store = Arc::new(opened.map_err(ServerError::OpenStore)?);
        follower.follow(&store).map_err(ServerError::OpenStore)?;
        if trail {
            late_trail::begin(&noting, &data_dir, store.node(), clock.now_ms())?;
        }
        if let Some(accounts) = accounts_of.accounts() {
            // A backup may lack revocations: what was issued before it was restored is not taken any more.
            if let Some(restored_ms) = store.restored_ms().map_err(ServerError::OpenStore)? {
                accounts.refuse_all_until(restored_ms / 1000);
            }
            carried::learn(&data_dir, accounts)
                .map_err(|source| ServerError::Runtime { operation: "read saved revocations", source })?;
            let path = root_token::path(&data_dir);
            match root::ensure(&data_dir, accounts, &noting, clock.now_ms() / 1000) {
                Ok(()) => {}
                // Reads need none of it; it is tried again while the node runs.
                Err(error) if late_trail::is_want_of_room(&error) => {
                    tracing::error!(path = %path.display(), "disk_full: the token of root cannot be kept yet");
                }
                Err(source) => return Err(ServerError::RootToken { path, source }),
            }
        }
        Ok::<_, ServerError>(store)
    });
    let store = opening
        .await
        .map_err(|error| ServerError::Runtime { operation: "open the store", source: error.into() })??;
    let root_key = keyring.as_ref().map(|keyring| keyring.current().root).unwrap_or_default();
    let peer_reserve = if keyring.is_some() { CONNECTIONS_PEER_RESERVE } else { 0 };
    let gate = keyring.map(|keyring| Gate::new(keyring, store.identity().origin.node)).transpose()?;
    Ok(Arc::new(Node {
        vault: Vault::new(store, Arc::clone(&answers), presence, Arc::clone(&guard)),
        guard,
        recorder,
        conflicts,
        limiter: limiter_of(config),
        answers,
        metrics,
        registry: Arc::new(Registry::new(listener::connections_max(), peer_reserve)),
        budget: Budget::new(),
        read_pace: ReadPace::default(),
        scans: Scans::new(),
        gate,
        cluster: among,
        tls,
        backups: Arc::new(Backups::new(
            config.backup_path.clone(),
            config.node_id.clone(),
            config.backup_retention,
        )),
        clock,
        listening: address,
        settings: DoorSettings {
            node_id: config.node_id.clone(),
            address: address.to_string(),
            tombstone_grace_ms: settings.tombstone_grace_ms,
            has_saved_writes: forgotten::has_saved(&config.data_dir),
            host_policy: if address.ip().is_loopback() { HostPolicy::LoopbackOnly } else { HostPolicy::Any },
            trusted_proxies: config.trusted_proxies.clone(),
            recording: if config.tamper_logging_enabled { Recording::On } else { Recording::Off },
            mode: cluster::configured_mode(config),
            max_json_size: config.max_json_size,
            default_ttl: config.default_ttl,
        },
        root_key,
        request_id_key: u64::from_be_bytes(random_bytes()?),
        stopping: AtomicBool::new(false),
    }))
}

/// How much one caller may ask.
fn limiter_of(config: &Config) -> Option<RateLimiter> {
    let (requests, window) = (config.rate_limit_requests, config.rate_limit_window);
    config.rate_limiting_enabled.then(|| RateLimiter::new(requests, window))
}

/// Who is asked for a token.
fn guard_of(config: &Config, secrets: Option<&Secrets>) -> Guard {
    match secrets {
        Some(secrets) if config.auth_enabled => {
            let anonymous = AnonymousRights {
                may_read: config.allow_anonymous_read,
                may_write: config.allow_anonymous_write,
            };
            let keys = TokenKeys::new(&secrets.current, secrets.previous.as_ref());
            Guard::On(Box::new(Accounts::new(
                keys,
                secrets.current.cursor,
                anonymous,
                config.max_clock_skew.as_secs(),
            )))
        }
        _ => Guard::Off,
    }
}

/// How `cache_size_mb` is shared: framed answers serve the hot keys, the engine's blocks everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CacheShares {
    answers_bytes: u64,
    engine_bytes: u64,
}

impl CacheShares {
    fn of(config: &Config) -> Self {
        let all = u64::from(config.cache_size_mb) * 1024 * 1024;
        let engine_bytes = all / 4;
        Self { answers_bytes: all - engine_bytes, engine_bytes }
    }
}

fn store_settings(config: &Config, cache: &CacheShares, keyring: Option<&Keyring>) -> Settings {
    // Whoever has seeds waits for a cluster to admit it; anybody else is the first of its cluster, or alone.
    let waits = keyring.is_some() && !config.seed_nodes.is_empty();
    Settings {
        durability: match config.durability {
            Durability::Always => settings::Durability::Always,
            Durability::Interval => settings::Durability::Interval,
            Durability::Never => settings::Durability::Never,
        },
        revision_limit: if config.revision_history_enabled { config.revision_limit } else { 0 },
        compression_level: config.compression,
        cache_bytes: cache.engine_bytes,
        tombstone_grace_ms: u64::try_from(config.tombstone_grace.as_millis()).unwrap_or(u64::MAX),
        first_joined: if waits { FirstJoined::Youngest } else { FirstJoined::Now },
        clock_skew_ms_max: u64::try_from(config.max_clock_skew.as_millis()).unwrap_or(u64::MAX),
        collection: if keyring.is_some() { Collection::Covered } else { Collection::Alone },
        digest_key: keyring.map_or_else(DigestKey::alone, |keyring| DigestKey::of(keyring.current())),
    }
}

/// Keeps the deadlines of connections, for ever.
async fn sweep(node: Arc<Node>) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        ticks.tick().await;
        let now_ms = u64::try_from(node.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        node.registry.sweep(now_ms);
        node.guard_cache();
        node.conflicts.tell(node.clock.monotonic());
    }
}

/// Recalls earlier backups, then makes new ones by the schedule, for ever.
async fn back_up(node: Arc<Node>, schedule: Option<Schedule>) {
    let recalling = Arc::clone(&node);
    let recalled =
        tokio::task::spawn_blocking(move || recalling.backups.remember(recalling.vault.identity().origin));
    if let Err(error) = recalled.await {
        tracing::warn!(%error, "earlier backups could not be looked at");
    }
    if let Some(schedule) = schedule {
        backup_schedule::keep(node, schedule).await;
    }
}

/// Lets requests in flight finish, for a while.
async fn drain(node: &Node) {
    node.registry.order_all(Order::Drain);
    if tokio::time::timeout(DRAIN_TIMEOUT, node.registry.wait_until_empty()).await.is_err() {
        let open = node.registry.counts().open;
        tracing::warn!(open, "connections are closed with requests in flight");
        node.registry.order_all(Order::Close);
    }
}

/// Commits what waits and closes the store.
async fn close(node: &Arc<Node>) {
    let store = Arc::clone(node.vault.own());
    if let Err(error) = tokio::task::spawn_blocking(move || store.close()).await {
        tracing::error!(%error, "the store was not closed in order");
    }
}
