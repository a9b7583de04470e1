//! A node to back up: a store on disk with a bit of everything, and a clock that is set by hand.

use std::ops::Bound;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::precondition::Precondition;
use kvs_core::record::Principal;
use kvs_store::backup::create::{Label, create};
use kvs_store::backup::error::BackupError;
use kvs_store::backup::restore::{Restored, restore};
use kvs_store::backup::verify::Verified;
use kvs_store::check::stopped::check;
use kvs_store::clock::Clock;
use kvs_store::commit::asker::Asker;
use kvs_store::commit::write::{Change, Outcome, Write};
use kvs_store::engine::contract::{Engine, Order};
use kvs_store::engine::disk::DiskEngine;
use kvs_store::observer::Silent;
use kvs_store::settings::Settings;
use kvs_store::store::{Store, disk_options};
use kvs_store::table::Table;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

pub(crate) const START_MS: u64 = 1_800_000_000_000;

/// A clock that is set by hand; its monotonic side stands still, so that no chore comes by itself.
pub(crate) struct Hand(pub(crate) AtomicU64);

impl Clock for Hand {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// A store in a temporary folder, which goes with it.
pub(crate) struct Node {
    pub(crate) store: Option<Store>,
    pub(crate) clock: Arc<Hand>,
    pub(crate) settings: Settings,
    pub(crate) folder: TempDir,
}

impl Node {
    pub(crate) fn new(settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand(AtomicU64::new(START_MS)));
        let mut node = Self { store: None, clock, settings, folder };
        node.open();
        node
    }

    pub(crate) fn open(&mut self) {
        let clock: Arc<dyn Clock> = Arc::<Hand>::clone(&self.clock);
        self.store = Some(Store::open(&self.data_dir(), self.settings, clock, Arc::new(Silent)).unwrap());
    }

    pub(crate) fn close(&mut self) {
        self.store = None;
    }

    pub(crate) fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn backups(&self) -> PathBuf {
        self.folder.path().join("backups")
    }

    pub(crate) fn back_up(&self) -> Verified {
        self.try_back_up().unwrap()
    }

    pub(crate) fn try_back_up(&self) -> Result<Verified, BackupError> {
        create(self.store().view().unwrap(), &self.backups(), &label(&self.clock), &mut |_| {})
    }

    pub(crate) fn write(&self, namespace: Namespace, path: &str, change: Change) -> Outcome {
        self.store().commit(vec![write(namespace, path, change)]).unwrap()[0]
    }

    pub(crate) fn put(&self, path: &str, json: impl Into<Bytes>, lifetime: Option<Duration>) {
        let content = self.store().prepare(json.into());
        self.write(Namespace::Data, path, Change::Put { content, lifetime });
    }

    /// Values small and large, some that expire, one that did, tombstones, histories, two namespaces.
    pub(crate) fn fill(&self) {
        let mut random = StdRng::seed_from_u64(5);
        for number in 0..60_usize {
            let path = format!("rooms/{number}/socks");
            for version in 0..=number % 4 {
                let lifetime = (number % 6 == 0).then_some(Duration::from_secs(3600));
                self.put(
                    &path,
                    format!("{{\"version\":{version},\"pad\":\"{}\"}}", "x".repeat(number * 20)),
                    lifetime,
                );
            }
            if number % 7 == 0 {
                self.write(Namespace::Data, &path, Change::Delete);
            }
        }
        for (number, len) in [5_000, 70_000, 700_000, 1_500_000].into_iter().enumerate() {
            self.put(&format!("large/{number}"), "1".repeat(len), None);
            self.put(&format!("large/{number}"), noise(&mut random, len), None);
        }
        self.put("brief", "1", Some(Duration::from_millis(5)));
        self.clock.0.fetch_add(6, Ordering::SeqCst);
        assert_eq!(self.write(Namespace::Data, "brief", Change::Expire), Outcome::Expired);
        let content = self.store().prepare(Bytes::from_static(b"{\"owner\":\"john\"}"));
        self.write(Namespace::Meta, "rooms/1", Change::Put { content, lifetime: None });
    }
}

pub(crate) fn label(clock: &Hand) -> Label<'static> {
    Label { node_id: "node alpha", program_version: "0.1.0-test", created_at_ms: clock.now_ms() }
}

pub(crate) fn write(namespace: Namespace, path: &str, change: Change) -> Write {
    Write {
        namespace,
        path: Path::parse(path).unwrap(),
        change,
        precondition: Precondition::default(),
        asker: Asker { name: Principal::named("john").unwrap(), ..Asker::nobody() },
    }
}

/// A JSON text of this length that does not shrink.
pub(crate) fn noise(random: &mut StdRng, len: usize) -> Bytes {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = vec![0; len];
    random.fill_bytes(&mut text);
    for byte in &mut text {
        *byte = LETTERS[usize::from(*byte % 64)];
    }
    text[0] = b'"';
    text[len - 1] = b'"';
    text.into()
}

/// All rows of a table of a stopped node.
pub(crate) fn rows(data_dir: &FilePath, table: Table) -> Vec<(Bytes, Bytes)> {
    let engine = DiskEngine::open(&data_dir.join("engine"), &disk_options(&Settings::default())).unwrap();
    let snapshot = engine.snapshot();
    snapshot
        .range(table, (Bound::Unbounded, Bound::Unbounded), Order::Ascending)
        .map(Result::unwrap)
        .collect()
}

/// Restores with the time one day later.
pub(crate) fn restore_to(file: &FilePath, data_dir: &FilePath) -> Result<Restored, BackupError> {
    let clock = Hand(AtomicU64::new(START_MS + 86_400_000));
    restore(file, data_dir, &Settings::default(), &clock, &mut |_| {})
}

#[track_caller]
pub(crate) fn assert_healthy(data_dir: &FilePath) {
    assert_eq!(check(data_dir, &mut |_| {}).unwrap().problems, Vec::<String>::new());
}

/// The names in a folder, in order.
pub(crate) fn names(dir: &FilePath) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|found| found.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
