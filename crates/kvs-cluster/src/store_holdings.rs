//! The records of a node as a session sees them: the digest for what is compared, the one commit for what comes.

use kvs_core::log_position::LogPosition;
use kvs_core::origin::Dot;
use kvs_core::sum_tree::sum::Sum;
use kvs_core::vector::Vector;
use kvs_protocol::reconcile::answer::is_worth_telling;
use kvs_protocol::reconcile::holdings::{Changes, Dropped, Holdings, Located, Verdict};
use kvs_protocol::reconcile::limits::RECORD_BYTES_TARGET;
use kvs_protocol::wire::keyed_record::KeyedVersion;
use kvs_store::commit::write::{Change, Outcome};
use kvs_store::error::StoreError;
use kvs_store::read::log::{LogPass, PieceEnd, PieceLimits, changed};
use kvs_store::store::Store;
use kvs_store::tree::tombstones::tombstones;

use crate::receive::{check_content, forget, write};

/// The records of a node. Blocks.
pub struct StoreHoldings<'a> {
    store: &'a Store,
    now_ms: u64,
}

impl<'a> StoreHoldings<'a> {
    /// What this store holds; the node's clock says `now_ms`.
    #[must_use]
    pub const fn new(store: &'a Store, now_ms: u64) -> Self {
        Self { store, now_ms }
    }

    /// What a record was found to be after it was merged.
    fn verdict(&self, theirs: &Located, outcome: &Outcome) -> Result<Verdict, StoreError> {
        match outcome {
            Outcome::Outlived => Ok(Verdict::Drop),
            Outcome::Parked | Outcome::Voided | Outcome::Left => Ok(Verdict::Withheld),
            Outcome::NotNewer => {
                let held = self.store.read(theirs.namespace, &theirs.path)?;
                let newer = held.filter(|held| held.precedence(&theirs.record).is_gt());
                let newer = newer.map(|record| Located { record, ..theirs.clone() });
                Ok(match newer.filter(|held| is_worth_telling(held, theirs)) {
                    Some(held) => Verdict::Newer(Box::new(held)),
                    None => Verdict::Settled,
                })
            }
            _ => Ok(Verdict::Settled),
        }
    }
}

impl Holdings for StoreHoldings<'_> {
    type Error = StoreError;

    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn vector(&mut self) -> Result<Vector, StoreError> {
        Ok(self.store.vector_held())
    }

    fn claim(&mut self) -> Result<Vector, StoreError> {
        Ok(self.store.claim())
    }

    fn log_end(&mut self) -> Result<LogPosition, StoreError> {
        let pass = LogPass::begin(self.store.view()?)?;
        Ok(LogPosition { epoch: pass.origin().epoch, local_seq: pass.end_local_seq() })
    }

    fn changes(
        &mut self,
        since: LogPosition,
        known: &Vector,
        limit: usize,
    ) -> Result<Option<Changes>, StoreError> {
        if since.epoch != self.store.identity().origin.epoch {
            return Ok(None);
        }
        let limits = PieceLimits { records: limit, bytes: RECORD_BYTES_TARGET };
        let found = changed(&self.store.view()?, since.local_seq, known, limits)?;
        let located = found.records.into_iter().map(|(key, record)| Located {
            namespace: key.namespace,
            path: key.path,
            record,
        });
        let to = LogPosition { local_seq: found.to_local_seq, ..since };
        Ok(Some(Changes { records: located.collect(), to, are_all: found.end == PieceEnd::Complete }))
    }

    fn sums(&mut self, bounds: &[Vec<u8>]) -> Result<Vec<Sum>, StoreError> {
        self.store.digest().sums(bounds)
    }

    fn split(&mut self, from: &[u8], to: &[u8], parts: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        self.store.digest().split(from, to, parts)
    }

    fn items(&mut self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, u128)>, StoreError> {
        self.store.digest().items(from, to, limit)
    }

    fn record(&mut self, key: &[u8]) -> Result<Option<(u128, Located)>, StoreError> {
        let found = self.store.digest().record(key)?;
        Ok(found
            .map(|(item, key, record)| (item, Located { namespace: key.namespace, path: key.path, record })))
    }

    fn tombstones(
        &mut self,
        behind: Option<&Dot>,
        known: &Vector,
        limit: usize,
    ) -> Result<Vec<Located>, StoreError> {
        let found = tombstones(&self.store.view()?, behind, known, limit)?;
        let located = found.into_iter().map(|(key, record)| Located {
            namespace: key.namespace,
            path: key.path,
            record,
        });
        Ok(located.collect())
    }

    fn take(&mut self, records: Vec<Located>) -> Result<Vec<Verdict>, StoreError> {
        let mut verdicts = vec![Verdict::Failed; records.len()];
        let mut fit = Vec::with_capacity(records.len());
        for (index, located) in records.into_iter().enumerate() {
            match check_content(located.record.clone()) {
                Ok(_) => fit.push((index, located)),
                Err(reason) => {
                    let path = &located.path;
                    tracing::error!(%path, %reason, "a record from a peer is damaged and was left out");
                }
            }
        }
        let merge = |located: &Located| {
            write(located.namespace, located.path.clone(), Change::Merge(Box::new(located.record.clone())))
        };
        match self.store.commit(fit.iter().map(|(_, located)| merge(located)).collect::<Vec<_>>()) {
            Ok(outcomes) => {
                for ((index, located), outcome) in fit.iter().zip(&outcomes) {
                    if let Some(verdict) = verdicts.get_mut(*index) {
                        *verdict = self.verdict(located, outcome)?;
                    }
                }
            }
            // One that is damaged here keeps all of them from being taken at once: each for itself, then.
            Err(StoreError::Corrupt { .. } | StoreError::TooManyParked) => {
                for (index, located) in &fit {
                    let Ok(outcomes) = self.store.commit(vec![merge(located)]) else { continue };
                    if let (Some(verdict), Some(outcome)) = (verdicts.get_mut(*index), outcomes.first()) {
                        *verdict = self.verdict(located, outcome)?;
                    }
                }
            }
            Err(error) => return Err(error),
        }
        Ok(verdicts)
    }

    fn drop_versions(&mut self, dropped: Vec<Dropped>) -> Result<(), StoreError> {
        let versions = dropped
            .into_iter()
            .map(|Dropped { namespace, path, version }| KeyedVersion { namespace, path, version })
            .collect();
        forget(self.store, versions)?;
        Ok(())
    }
}
