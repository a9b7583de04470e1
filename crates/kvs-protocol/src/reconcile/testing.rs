//! Nodes in memory that keep the rules of merge, collection and the drop rule; compiled for tests only.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound;

use bytes::Bytes;
use kvs_core::cluster_keys::ClusterKeys;
use kvs_core::digest::ContentDigest;
use kvs_core::item::{DigestKey, item, tree_key};
use kvs_core::log_position::LogPosition;
use kvs_core::merge::{Merge, merge};
use kvs_core::namespace::Namespace;
use kvs_core::origin::{Dot, Origin};
use kvs_core::path::Path;
use kvs_core::record::{Kind, Payload, Principal, Record};
use kvs_core::stamp::Stamp;
use kvs_core::sum_tree::cut::cuts;
use kvs_core::sum_tree::source::{Source, Visitor};
use kvs_core::sum_tree::sum::Sum;
use kvs_core::sum_tree::tree::{Delta, Sign, SumTree};
use kvs_core::vector::Vector;
use kvs_core::version::Version;
use uuid::Uuid;

use crate::reconcile::answer::{answer, is_worth_telling};
use crate::reconcile::fingerprint::Secrets;
use crate::reconcile::holdings::{Changes, Dropped, Holdings, Located, Verdict};
use crate::reconcile::outcome::Outcome;
use crate::reconcile::request::Request;
use crate::reconcile::session::Session;

/// The items of a node in the order of the digest.
#[derive(Clone, Default)]
pub(crate) struct Items(pub(crate) BTreeMap<Vec<u8>, u128>);

impl Source for Items {
    type Error = Infallible;

    fn visit(&mut self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), Infallible> {
        if from < to {
            for (key, item) in self.0.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to))) {
                if visitor(key, *item).is_break() {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// A node.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) records: BTreeMap<Path, Record>,
    pub(crate) items: Items,
    pub(crate) vector: Vector,
    pub(crate) now_ms: u64,
    /// Which key changed at which number.
    log: BTreeMap<u64, Path>,
    changed_at: BTreeMap<Path, u64>,
    pub(crate) epoch: u64,
    tree: SumTree,
    digest_key: DigestKey,
}

pub(crate) fn keys() -> ClusterKeys {
    ClusterKeys::derive(b"test")
}

pub(crate) fn origin(node: u128) -> Origin {
    Origin { node: Uuid::from_u128(node), epoch: 1 }
}

/// A record that is the `seq`th write of a node.
pub(crate) fn record(node: u128, seq: u64, ms: u64, kind: Kind, expires_at_ms: u64) -> Record {
    let content = Bytes::from(format!("{{\"n\":{seq}}}"));
    Record {
        version: Version {
            stamp: Stamp { ms, counter: 0 },
            origin_joined_ms: 5,
            uuid: Uuid::from_u128(node << 64 | u128::from(seq)),
        },
        dot: Dot { origin: origin(node), seq },
        kind,
        expires_at_ms,
        author: Principal::nobody(),
        owner: Principal::nobody(),
        digest: ContentDigest::of(&content),
        payload: if kind == Kind::Value { Payload::Raw(content) } else { Payload::empty() },
    }
}

impl Node {
    pub(crate) fn new() -> Self {
        Self {
            records: BTreeMap::new(),
            items: Items::default(),
            vector: Vector::default(),
            now_ms: 1_000,
            log: BTreeMap::new(),
            changed_at: BTreeMap::new(),
            epoch: 1,
            tree: SumTree::default(),
            digest_key: DigestKey::of(&keys()),
        }
    }

    /// Puts a record in the place of whatever is there.
    pub(crate) fn set(&mut self, path: &Path, record: Option<Record>) {
        let number = self.log.last_key_value().map_or(1, |(number, _)| number + 1);
        if let Some(before) = self.changed_at.insert(path.clone(), number) {
            self.log.remove(&before);
        }
        self.log.insert(number, path.clone());
        let old = match record.clone() {
            Some(record) => self.records.insert(path.clone(), record),
            None => self.records.remove(path),
        };
        for (record, sign) in [(old, Sign::Remove), (record, Sign::Add)] {
            let Some(record) = record else { continue };
            let Some(key) = tree_key(Namespace::Data, path, &record) else { continue };
            let item = item(&self.digest_key, Namespace::Data, path, &record);
            self.tree.apply(&Delta { key: key.clone(), item, sign });
            match sign {
                Sign::Add => self.items.0.insert(key, item),
                Sign::Remove => self.items.0.remove(&key),
            };
        }
        let Ok(_) = self.tree.settle(&mut self.items);
    }

    /// Merges a record that comes by the log.
    pub(crate) fn merge(&mut self, path: &Path, incoming: Record) {
        self.vector.raise(incoming.dot.origin, incoming.dot.seq);
        if matches!(merge(self.records.get(path), &incoming), Merge::First | Merge::Replaces(_)) {
            self.set(path, Some(incoming));
        }
    }

    fn take_one(&mut self, located: Located) -> Verdict {
        let Located { path, record: incoming, .. } = &located;
        let held = self.records.get(path);
        if held.is_none() && self.vector.covers(&incoming.dot) {
            return if incoming.kind == Kind::Value { Verdict::Drop } else { Verdict::Settled };
        }
        match (merge(held, incoming), held) {
            (Merge::Loses(_), Some(held)) => {
                let held = Located { record: held.clone(), ..located.clone() };
                if is_worth_telling(&held, &located) {
                    Verdict::Newer(Box::new(held))
                } else {
                    Verdict::Settled
                }
            }
            (Merge::First | Merge::Replaces(_), _) => {
                self.set(&located.path, Some(located.record));
                Verdict::Settled
            }
            _ => Verdict::Settled,
        }
    }

    fn located(&self, path: &Path) -> Option<Located> {
        let record = self.records.get(path)?.clone();
        Some(Located { namespace: Namespace::Data, path: path.clone(), record })
    }
}

impl Holdings for Node {
    type Error = Infallible;

    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn vector(&mut self) -> Result<Vector, Infallible> {
        Ok(self.vector.clone())
    }

    fn log_end(&mut self) -> Result<LogPosition, Infallible> {
        let local_seq = self.log.last_key_value().map_or(0, |(number, _)| *number);
        Ok(LogPosition { epoch: self.epoch, local_seq })
    }

    fn changes(
        &mut self,
        since: LogPosition,
        known: &Vector,
        limit: usize,
    ) -> Result<Option<Changes>, Infallible> {
        if since.epoch != self.epoch {
            return Ok(None);
        }
        let mut changes = Changes { to: since, are_all: true, ..Changes::default() };
        for (number, path) in self.log.range(since.local_seq + 1..) {
            if changes.records.len() == limit {
                changes.are_all = false;
                break;
            }
            changes.to.local_seq = *number;
            changes.records.extend(self.located(path).filter(|it| !known.covers(&it.record.dot)));
        }
        Ok(Some(changes))
    }

    fn sums(&mut self, bounds: &[Vec<u8>]) -> Result<Vec<Sum>, Infallible> {
        self.tree.sums(bounds, &mut self.items)
    }

    fn split(&mut self, from: &[u8], to: &[u8], parts: usize) -> Result<Vec<Vec<u8>>, Infallible> {
        if let Some(bounds) = self.tree.bounds_within(from, to, parts) {
            return Ok(bounds);
        }
        let items = self.items(from, to, usize::MAX)?;
        let keys: Vec<&[u8]> = items.iter().map(|(key, _)| key.as_slice()).collect();
        Ok(cuts(&keys, parts).into_iter().map(|(_, bound)| bound).collect())
    }

    fn items(&mut self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, u128)>, Infallible> {
        let range = self.items.0.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        Ok(range.take(limit).map(|(key, item)| (key.clone(), *item)).collect())
    }

    fn record(&mut self, key: &[u8]) -> Result<Option<(u128, Located)>, Infallible> {
        let Some(item) = self.items.0.get(key) else { return Ok(None) };
        let (_, path, _) = kvs_core::item::read_tree_key(key).unwrap();
        Ok(self.located(&path).map(|located| (*item, located)))
    }

    fn tombstones(
        &mut self,
        behind: Option<&Dot>,
        known: &Vector,
        limit: usize,
    ) -> Result<Vec<Located>, Infallible> {
        let gone = self.records.iter().filter(|(_, record)| record.kind != Kind::Value);
        let unknown = gone.filter(|(_, record)| !known.covers(&record.dot));
        let mut dots: Vec<(Dot, Path)> = unknown
            .filter(|(_, record)| behind.is_none_or(|behind| record.dot > *behind))
            .map(|(path, record)| (record.dot, path.clone()))
            .collect();
        dots.sort();
        Ok(dots.iter().take(limit).filter_map(|(_, path)| self.located(path)).collect())
    }

    fn take(&mut self, records: Vec<Located>) -> Result<Vec<Verdict>, Infallible> {
        Ok(records.into_iter().map(|located| self.take_one(located)).collect())
    }

    fn drop_versions(&mut self, dropped: Vec<Dropped>) -> Result<(), Infallible> {
        for Dropped { path, version, .. } in dropped {
            let is_held = self
                .records
                .get(&path)
                .is_some_and(|record| record.version == version && record.kind == Kind::Value);
            if is_held {
                self.set(&path, None);
            }
        }
        Ok(())
    }
}

/// One whole session over the wire format; the claim is raised at its end.
pub(crate) fn hold_session(asker: &mut Node, answerer: &mut Node, nonce: u8) -> Outcome {
    let secrets = Secrets::of(&keys());
    let mut session = Session::new(&secrets, [nonce; 16]);
    while let Ok(Some(request)) = session.ask(asker) {
        let request = Request::decode(&Bytes::from(request)).unwrap();
        assert_eq!(Request::decode(&Bytes::from(request.encode())), Ok(request.clone()));
        let Ok(reply) = answer(answerer, &secrets, request);
        let reply = Bytes::from(reply.encode());
        session.take_reply(asker, &reply).unwrap();
    }
    let outcome = session.outcome().unwrap();
    if let Some(vector) = &outcome.raise_to {
        asker.vector.join(vector);
    }
    outcome
}
