//! What clients do: puts, conditional ones, values that expire, deletes, several keys at once, on any node that takes
//! writes.

use std::time::Duration;

use bytes::Bytes;
use kvs_cluster::contract::Needed;
use kvs_core::digest::ContentDigest;
use kvs_core::namespace::Namespace;
use kvs_core::origin::{Dot, Origin};
use kvs_core::path::Path;
use kvs_core::precondition::{Precondition, Tags};
use kvs_core::record::Kind;
use kvs_core::stamp::Stamp;
use kvs_core::version::Version;
use kvs_protocol::mode::Mode;
use kvs_store::commit::asker::Asker;
use kvs_store::commit::write::{Change, Outcome, Write};
use kvs_store::compression::Content;
use kvs_store::error::StoreError;
use kvs_store::observer::Key;
use rand::RngExt;
use uuid::Uuid;

use crate::held::{Held, Moment};
use crate::profile::Profile;
use crate::world::World;
use crate::writes::{Asked, nothing_said};

impl World {
    /// One request of a client.
    ///
    /// # Errors
    ///
    /// The promise that is broken by it.
    pub fn request(&mut self) -> Result<(), String> {
        let ready: Vec<usize> = self.running().filter(|place| self.takes_writes(*place)).collect();
        if ready.is_empty() {
            return Ok(());
        }
        let place = ready.get(self.random.random_range(0..ready.len())).copied().unwrap_or_default();
        let count = if self.random.random_bool(0.1) { 3 } else { 1 };
        let writes: Vec<Write> = (0..count).filter_map(|_| self.draw_write()).collect();
        let Some(store) = self.store(place) else { return Ok(()) };
        let verdict = store.commit(writes.clone());
        let made = self.note_verdict(place, &writes, &verdict);
        self.settle(place)?;
        self.wait_for_some(place, &made)
    }

    /// Some clients wait for copies of what they wrote.
    fn wait_for_some(&mut self, place: usize, made: &[(Key, Held)]) -> Result<(), String> {
        if self.profile == Profile::Ordinary {
            return Ok(());
        }
        for (key, held) in made {
            let needed = match self.fates.random_range(0..12) {
                0 => Needed::AtLeast(1),
                1 => Needed::AtLeast(2),
                2 => Needed::Majority,
                3 => Needed::All,
                _ => continue,
            };
            let patience = Duration::from_millis(self.fates.random_range(100..10_000));
            if !self.options.has_no_waits {
                self.wait(place, key, *held, needed, patience)?;
            }
        }
        Ok(())
    }

    /// In which namespace a client writes.
    fn draw_namespace(&mut self) -> Namespace {
        if !self.profile.forgets() {
            return Namespace::Data;
        }
        match self.fates.random_range(0..10) {
            0..2 => Namespace::Meta,
            2 => Namespace::Auth,
            _ => Namespace::Data,
        }
    }

    /// The ledger learns what a client was told; answers the versions that its writes made.
    pub(crate) fn note_verdict(
        &mut self,
        place: usize,
        writes: &[Write],
        verdict: &Result<Vec<Outcome>, StoreError>,
    ) -> Vec<(Key, Held)> {
        let now = self.moment();
        let mut made = Vec::new();
        match verdict {
            Ok(outcomes) => {
                for (write, outcome) in writes.iter().zip(outcomes) {
                    let Some(held) = held(write, outcome) else { continue };
                    let key = key_of(write);
                    self.tell(|| format!("client: {place} acknowledges {key:?} {held:?}"));
                    self.ledger.acknowledge(place, &key, held, now);
                    made.push((key, held));
                }
            }
            Err(StoreError::Precondition { .. }) => {}
            Err(error) => {
                self.tell(|| format!("client: {place} refuses: {error}"));
                for write in writes {
                    let asked = Asked::new(place, attempted(write, now), now);
                    self.ledger.writes.attempted(&key_of(write), asked);
                }
            }
        }
        made
    }

    /// Whether a machine takes clients' writes.
    #[must_use]
    pub fn takes_writes(&self, place: usize) -> bool {
        self.node(place)
            .and_then(|node| node.process.as_ref())
            .is_some_and(|process| process.clients == Mode::Normal)
    }

    fn draw_write(&mut self) -> Option<Write> {
        let path = Path::parse(&format!("k/{}", self.random.random_range(0..self.weather.keys))).ok()?;
        let kind = self.random.random_range(0..100);
        self.written += 1;
        let content = Content::prepare(Bytes::from(format!("{}", self.written)), None);
        let lifetime =
            (60..72).contains(&kind).then(|| Duration::from_millis(self.random.random_range(200..20_000)));
        let change = if kind < 72 { Change::Put { content, lifetime } } else { Change::Delete };
        let precondition = match self.random.random_range(0..10) {
            0 => Precondition { if_match: Some(Tags::Any), if_none_match: None },
            1 => Precondition { if_match: None, if_none_match: Some(Tags::Any) },
            _ => Precondition::default(),
        };
        let namespace = self.draw_namespace();
        Some(Write { namespace, path, change, precondition, asker: Asker::nobody() })
    }
}

fn key_of(write: &Write) -> Key {
    Key { namespace: write.namespace, path: write.path.clone() }
}

/// What a write says.
fn said(write: &Write) -> (Kind, ContentDigest) {
    match &write.change {
        Change::Put { content, .. } => (Kind::Value, content.digest),
        _ => (Kind::Tombstone, nothing_said()),
    }
}

/// The version that a write made; `None` when it made none.
fn held(write: &Write, outcome: &Outcome) -> Option<Held> {
    let (kind, digest) = said(write);
    match outcome {
        Outcome::Created(written) | Outcome::Replaced(written) | Outcome::Deleted(written) => Some(Held {
            version: written.version,
            dot: written.dot,
            kind,
            expires_at_ms: written.expires_at_ms,
            digest,
        }),
        _ => None,
    }
}

/// What is known of a write whose end nobody knows: its content.
fn attempted(write: &Write, now: Moment) -> Held {
    let (kind, digest) = said(write);
    let is_mortal = matches!(write.change, Change::Put { lifetime: Some(_), .. });
    Held {
        version: Version { stamp: Stamp::default(), origin_joined_ms: 0, uuid: Uuid::nil() },
        dot: Dot { origin: Origin { node: Uuid::nil(), epoch: 0 }, seq: 0 },
        kind,
        expires_at_ms: if is_mortal { now.wall_ms } else { 0 },
        digest,
    }
}
