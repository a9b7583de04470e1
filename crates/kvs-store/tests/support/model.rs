//! A plain model of what the store promises: a map of keys, each with its current version and those that lost.
//!
//! It has no committer, no tables, no indexes and its own idea of the order of versions. What it does not know before
//! a write (the random uuid of a local version) it takes from the store's answer.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use bytes::Bytes;
use kvs_core::digest::ContentDigest;
use kvs_core::namespace::Namespace;
use kvs_core::origin::{Dot, Origin};
use kvs_core::record::{Kind, Payload, Principal, Record};
use kvs_core::stamp::Stamp;
use kvs_core::version::{Rule, Version};
use kvs_store::commit::write::{Outcome, Write};
use kvs_store::error::StoreError;
use kvs_store::read::history::Revision;
use kvs_store::store::Store;
use uuid::Uuid;

use super::audit::Audit;
use super::{delete, if_absent, if_present, if_version, merge, path, put, put_for, written};

/// Uuids of versions whose real one is not known yet begin with this.
const UNKNOWN: u128 = 0xffff_ffff << 96;

/// A version that another node wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Foreign {
    pub(crate) key: String,
    pub(crate) stamp: (u64, u16),
    pub(crate) joined_ms: u64,
    pub(crate) uuid: u128,
    /// The JSON; `None` for a tombstone.
    pub(crate) json: Option<String>,
    pub(crate) expires_at_ms: u64,
    pub(crate) dot: (u128, u64),
}

impl Foreign {
    pub(crate) fn record(&self) -> Record {
        let json = self.json.clone().unwrap_or_default();
        Record {
            version: Version {
                stamp: Stamp { ms: self.stamp.0, counter: self.stamp.1 },
                origin_joined_ms: self.joined_ms,
                uuid: Uuid::from_u128(self.uuid),
            },
            dot: Dot { origin: Origin { node: Uuid::from_u128(self.dot.0), epoch: 1 }, seq: self.dot.1 },
            kind: if self.json.is_some() { Kind::Value } else { Kind::Tombstone },
            expires_at_ms: self.expires_at_ms,
            author: Principal::named("elsewhere").unwrap(),
            owner: Principal::nobody(),
            digest: ContentDigest::of(json.as_bytes()),
            payload: Payload::Raw(Bytes::from(json)),
        }
    }
}

/// A condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    None,
    Absent,
    Present,
    Is(Uuid),
}

/// A write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    Put { key: String, json: String, lifetime_ms: Option<u64>, condition: Condition },
    Delete { key: String, condition: Condition },
    Merge(Foreign),
}

impl Op {
    pub(crate) fn put(key: &str, json: &str) -> Self {
        Self::Put { key: key.into(), json: json.into(), lifetime_ms: None, condition: Condition::None }
    }

    pub(crate) fn put_for(key: &str, json: &str, lifetime_ms: u64) -> Self {
        let lifetime_ms = Some(lifetime_ms);
        Self::Put { key: key.into(), json: json.into(), lifetime_ms, condition: Condition::None }
    }

    pub(crate) fn put_if(key: &str, json: &str, condition: Condition) -> Self {
        Self::Put { key: key.into(), json: json.into(), lifetime_ms: None, condition }
    }

    pub(crate) fn delete(key: &str) -> Self {
        Self::Delete { key: key.into(), condition: Condition::None }
    }

    pub(crate) fn write(&self) -> Write {
        let (write, condition) = match self {
            Self::Put { key, json, lifetime_ms: None, condition } => (put(key, json), *condition),
            Self::Put { key, json, lifetime_ms: Some(lifetime_ms), condition } => {
                (put_for(key, json, *lifetime_ms), *condition)
            }
            Self::Delete { key, condition } => (delete(key), *condition),
            Self::Merge(foreign) => (merge(&foreign.key, foreign.record()), Condition::None),
        };
        match condition {
            Condition::None => write,
            Condition::Absent => if_absent(write),
            Condition::Present => if_present(write),
            Condition::Is(uuid) => if_version(write, uuid),
        }
    }
}

/// What must become of a write, and under which name the model keeps the version it made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Created(Uuid),
    Replaced(Uuid),
    Deleted(Uuid),
    Absent,
    Taken,
    NotNewer,
}

/// A version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelVersion {
    pub(crate) kind: Kind,
    pub(crate) json: String,
    pub(crate) expires_at_ms: u64,
    pub(crate) stamp: (u64, u16),
    pub(crate) joined_ms: u64,
    pub(crate) uuid: Uuid,
    /// What it lost to, and why; `None` while it is current.
    pub(crate) superseded: Option<(Uuid, Rule)>,
}

impl ModelVersion {
    fn order(&self, other: &Self) -> Ordering {
        let earlier_node = other.joined_ms.cmp(&self.joined_ms);
        let smaller_uuid = other.uuid.cmp(&self.uuid);
        self.stamp
            .cmp(&other.stamp)
            .then(earlier_node)
            .then(smaller_uuid)
            .then(self.kind.number().cmp(&other.kind.number()))
    }

    fn rule(&self, other: &Self) -> Rule {
        if self.stamp != other.stamp {
            Rule::Newer
        } else if self.joined_ms != other.joined_ms {
            Rule::OlderNode
        } else if self.uuid != other.uuid {
            Rule::SmallerUuid
        } else {
            Rule::Expired
        }
    }

    pub(crate) fn is_live(&self, now_ms: u64) -> bool {
        self.kind == Kind::Value && (self.expires_at_ms == 0 || self.expires_at_ms > now_ms)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ModelKey {
    current: ModelVersion,
    /// In the order in which they came here.
    lost: Vec<ModelVersion>,
}

/// The whole store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    keys: BTreeMap<String, ModelKey>,
    revision_limit: usize,
    joined_ms: u64,
    made: u128,
}

impl Model {
    pub(crate) fn new(revision_limit: usize, joined_ms: u64) -> Self {
        Self { keys: BTreeMap::new(), revision_limit, joined_ms, made: 0 }
    }

    /// The keys that a reader sees, with their JSON.
    pub(crate) fn live(&self, now_ms: u64) -> BTreeMap<String, String> {
        let live = self.keys.iter().filter(|(_, key)| key.current.is_live(now_ms));
        live.map(|(text, key)| (text.clone(), key.current.json.clone())).collect()
    }

    /// The live version of a key.
    pub(crate) fn live_uuid(&self, key: &str, now_ms: u64) -> Option<Uuid> {
        self.keys.get(key).filter(|key| key.current.is_live(now_ms)).map(|key| key.current.uuid)
    }

    /// Any version of a key that is not its live one.
    pub(crate) fn stale_uuid(&self, key: &str) -> Uuid {
        let lost = self.keys.get(key).and_then(|key| key.lost.first());
        lost.map_or(Uuid::from_u128(1), |version| version.uuid)
    }

    /// All writes, or none and the index of the first that cannot be.
    pub(crate) fn transact(&mut self, now_ms: u64, ops: &[Op]) -> Result<Vec<Expected>, usize> {
        let before = self.clone();
        let mut all = Vec::new();
        for (index, op) in ops.iter().enumerate() {
            match self.apply(now_ms, op) {
                Some(expected) => all.push(expected),
                None => {
                    *self = before;
                    return Err(index);
                }
            }
        }
        Ok(all)
    }

    fn apply(&mut self, now_ms: u64, op: &Op) -> Option<Expected> {
        let (key, condition) = match op {
            Op::Put { key, condition, .. } | Op::Delete { key, condition } => (key, *condition),
            Op::Merge(foreign) => (&foreign.key, Condition::None),
        };
        let live = self.live_uuid(key, now_ms);
        let holds = match condition {
            Condition::None => true,
            Condition::Absent => live.is_none(),
            Condition::Present => live.is_some(),
            Condition::Is(uuid) => live == Some(uuid),
        };
        if !holds {
            return None;
        }
        Some(match op {
            Op::Put { key, json, lifetime_ms, .. } => {
                let expires_at_ms = lifetime_ms.map_or(0, |lifetime_ms| now_ms + lifetime_ms);
                let uuid = self.take_local(now_ms, key, (Kind::Value, json.clone(), expires_at_ms));
                if live.is_some() { Expected::Replaced(uuid) } else { Expected::Created(uuid) }
            }
            Op::Delete { .. } if live.is_none() => Expected::Absent,
            Op::Delete { key, .. } => {
                Expected::Deleted(self.take_local(now_ms, key, (Kind::Tombstone, String::new(), 0)))
            }
            Op::Merge(foreign) => {
                let version = ModelVersion {
                    kind: if foreign.json.is_some() { Kind::Value } else { Kind::Tombstone },
                    json: foreign.json.clone().unwrap_or_default(),
                    expires_at_ms: foreign.expires_at_ms,
                    stamp: foreign.stamp,
                    joined_ms: foreign.joined_ms,
                    uuid: Uuid::from_u128(foreign.uuid),
                    superseded: None,
                };
                if self.take(&foreign.key, version) { Expected::Taken } else { Expected::NotNewer }
            }
        })
    }

    /// A version of this node's own: later than what it overwrites, whatever the clock says.
    fn take_local(
        &mut self,
        now_ms: u64,
        key: &str,
        (kind, json, expires_at_ms): (Kind, String, u64),
    ) -> Uuid {
        let stamp = match self.keys.get(key).map(|key| key.current.stamp) {
            Some((ms, u16::MAX)) if ms >= now_ms => (ms + 1, 0),
            Some((ms, counter)) if ms >= now_ms => (ms, counter + 1),
            _ => (now_ms, 0),
        };
        self.made += 1;
        let uuid = Uuid::from_u128(UNKNOWN + self.made);
        let joined_ms = self.joined_ms;
        let version = ModelVersion { kind, json, expires_at_ms, stamp, joined_ms, uuid, superseded: None };
        assert!(self.take(key, version), "a local write is newer than what it overwrites");
        uuid
    }

    /// Whether the version is current now.
    fn take(&mut self, text: &str, version: ModelVersion) -> bool {
        let limit = self.revision_limit;
        let Some(key) = self.keys.get_mut(text) else {
            self.keys.insert(text.to_owned(), ModelKey { current: version, lost: Vec::new() });
            return true;
        };
        let (wins, mut loser) = match version.order(&key.current) {
            Ordering::Equal => return false,
            Ordering::Greater => (true, std::mem::replace(&mut key.current, version)),
            Ordering::Less => (false, version),
        };
        loser.superseded = Some((key.current.uuid, key.current.rule(&loser)));
        let known = key.lost.iter().any(|lost| (lost.uuid, lost.kind) == (loser.uuid, loser.kind));
        // What comes late and is older than all that is kept would push out a newer one.
        let is_oldest = key.lost.len() >= limit && key.lost.iter().all(|lost| lost.order(&loser).is_gt());
        if limit > 0 && !known && (wins || !is_oldest) {
            key.lost.push(loser);
        }
        if key.lost.len() > limit {
            key.lost.remove(0);
        }
        wins
    }

    /// Expired values become tombstones.
    pub(crate) fn expire(&mut self, now_ms: u64) {
        let due = |key: &ModelKey| key.current.kind == Kind::Value && !key.current.is_live(now_ms);
        let texts: Vec<_> =
            self.keys.iter().filter(|(_, key)| due(key)).map(|(text, _)| text.clone()).collect();
        for text in texts {
            let mut expired = self.keys.get(&text).unwrap().current.clone();
            expired.kind = Kind::Expired;
            expired.json = String::new();
            assert!(self.take(&text, expired));
        }
    }

    /// Tombstones older than the grace are forgotten; one of an expired value is as old as its expiry.
    pub(crate) fn collect(&mut self, now_ms: u64, grace_ms: u64) {
        self.keys.retain(|_, key| {
            let expired_at = if key.current.kind == Kind::Expired { key.current.expires_at_ms } else { 0 };
            key.current.kind == Kind::Value || key.current.stamp.0.max(expired_at) + grace_ms > now_ms
        });
    }

    /// Compares the store's answer to a transaction with the model's, and learns the uuids it gave.
    pub(crate) fn compare_answer(
        &mut self,
        expected: &Result<Vec<Expected>, usize>,
        answer: &Result<Vec<Outcome>, StoreError>,
    ) {
        let (expected, outcomes) = match (expected, answer) {
            (Ok(expected), Ok(outcomes)) => (expected, outcomes),
            (Err(expected), Err(StoreError::Precondition { index })) if expected == index => return,
            other => unreachable!("the model and the store disagree: {other:?}"),
        };
        assert_eq!(expected.len(), outcomes.len());
        for (expected, outcome) in expected.iter().zip(outcomes) {
            let name = match (expected, outcome) {
                (Expected::Created(name), Outcome::Created(_))
                | (Expected::Replaced(name), Outcome::Replaced(_))
                | (Expected::Deleted(name), Outcome::Deleted(_)) => *name,
                (Expected::Absent, Outcome::Absent)
                | (Expected::Taken, Outcome::Taken)
                | (Expected::NotNewer, Outcome::NotNewer) => continue,
                other => unreachable!("the model and the store disagree: {other:?}"),
            };
            self.rename(name, written(outcome).unwrap().version.uuid);
        }
    }

    fn rename(&mut self, name: Uuid, uuid: Uuid) {
        for key in self.keys.values_mut() {
            for version in key.lost.iter_mut().chain([&mut key.current]) {
                if version.uuid == name {
                    version.uuid = uuid;
                }
                if let Some((winner, _)) = &mut version.superseded
                    && *winner == name
                {
                    *winner = uuid;
                }
            }
        }
    }

    /// Takes the uuids that it does not know from the store, which must not differ from it.
    pub(crate) fn learn(&mut self, store: &Store) {
        let texts: Vec<_> = self.keys.keys().cloned().collect();
        for text in texts {
            let found = store.history(Namespace::Data, &path(&text)).unwrap();
            for (revision, version) in found.iter().zip(self.versions(&text)) {
                self.rename(version.uuid, revision.record.version.uuid);
            }
        }
    }

    /// The versions of a key, newest first.
    fn versions(&self, text: &str) -> Vec<ModelVersion> {
        let Some(key) = self.keys.get(text) else { return Vec::new() };
        let mut versions = vec![key.current.clone()];
        versions.extend(key.lost.iter().cloned());
        versions.sort_by(|left, right| right.order(left));
        versions
    }

    /// What is different between the store and the model; `None` when nothing is. Uuids that the model does not know
    /// fit any.
    pub(crate) fn difference(&self, store: &Store, audit: &Audit) -> Option<String> {
        let texts: Vec<_> = audit.rows.keys().map(|key| key.path.as_str()).collect();
        if !texts.iter().eq(self.keys.keys()) {
            return Some(format!("the store holds {texts:?}, the model {:?}", self.keys.keys()));
        }
        for text in self.keys.keys() {
            let found = store.history(Namespace::Data, &path(text)).unwrap();
            let found: Vec<_> = found.iter().map(|revision| model_of(store, revision)).collect();
            let wanted = self.versions(text);
            let same = found.len() == wanted.len()
                && found.iter().zip(&wanted).all(|(found, wanted)| is_same(found, wanted));
            if !same {
                return Some(format!("{text}: the store holds {found:#?}, the model {wanted:#?}"));
            }
            let current = store.read(Namespace::Data, &path(text)).unwrap();
            if current.map(|record| record.version.uuid) != found.first().map(|version| version.uuid) {
                return Some(format!("{text}: a read and the history name different current versions"));
            }
        }
        None
    }
}

fn model_of(store: &Store, revision: &Revision) -> ModelVersion {
    let record = &revision.record;
    let json = store.json(record).unwrap();
    if record.kind != Kind::Expired {
        assert_eq!(ContentDigest::of(&json), record.digest, "the digest is another text's");
    }
    ModelVersion {
        kind: record.kind,
        json: String::from_utf8(json.to_vec()).unwrap(),
        expires_at_ms: record.expires_at_ms,
        stamp: (record.version.stamp.ms, record.version.stamp.counter),
        joined_ms: record.version.origin_joined_ms,
        uuid: record.version.uuid,
        superseded: revision.superseded,
    }
}

fn is_same(found: &ModelVersion, wanted: &ModelVersion) -> bool {
    let unknown = |uuid: Uuid| uuid.as_u128() & UNKNOWN == UNKNOWN;
    let mut wanted = wanted.clone();
    if unknown(wanted.uuid) {
        wanted.uuid = found.uuid;
    }
    if let (Some((found, _)), Some((wanted, _))) = (&found.superseded, &mut wanted.superseded)
        && unknown(*wanted)
    {
        *wanted = *found;
    }
    *found == wanted
}
