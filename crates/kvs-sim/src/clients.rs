//! What clients do: puts, conditional ones, values that expire, deletes, several keys at once, on any node that takes
//! writes.

use std::time::Duration;

use bytes::Bytes;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::precondition::{Precondition, Tags};
use kvs_core::record::Kind;
use kvs_protocol::mode::Mode;
use kvs_store::commit::asker::Asker;
use kvs_store::commit::write::{Change, Outcome, Write, Written};
use kvs_store::compression::Content;
use rand::RngExt;

use crate::ledger::Held;
use crate::world::World;

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
        let now = self.now();
        match verdict {
            Ok(outcomes) => {
                for (write, outcome) in writes.iter().zip(outcomes) {
                    let held = match outcome {
                        Outcome::Created(written) | Outcome::Replaced(written) => held(written, Kind::Value),
                        Outcome::Deleted(written) => held(written, Kind::Tombstone),
                        _ => continue,
                    };
                    self.tell(|| format!("client: {place} acknowledges {:?} {held:?}", write.path));
                    self.ledger.acknowledge(&write.path, held, now);
                }
            }
            Err(error) => self.tell(|| format!("client: {place} refuses: {error}")),
        }
        self.settle(place)
    }

    fn takes_writes(&self, place: usize) -> bool {
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
        Some(Write { namespace: Namespace::Data, path, change, precondition, asker: Asker::nobody() })
    }
}

fn held(written: Written, kind: Kind) -> Held {
    Held { version: written.version, dot: written.dot, kind, expires_at_ms: written.expires_at_ms }
}
