//! How much memory bodies and answers may take together.
//!
//! Each has a bound of its own, but thousands of connections at once could still add up to more than the machine has.
//! What is larger than [`FREE_BYTES`] therefore takes its share of one budget, from the first byte beyond until it was
//! dealt with; when the budget is spent, the request is told to try again.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::BUFFER_BYTES_MAX;
use crate::problem::{Code, Problem};

/// What one body or answer may take without asking; times the most connections, this bounds the rest.
pub(crate) const FREE_BYTES: usize = 32 * 1024;

/// Bytes of one permit.
const UNIT_BYTES: usize = 1024;

/// The budget of a node.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

/// A part of the budget, given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Share(Option<OwnedSemaphorePermit>);

/// Bytes that hold their share of the memory budget until the last of them was dropped.
struct CoveredBytes {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for CoveredBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Share {
    /// The same bytes, which now hold the share.
    pub(crate) fn hold(self, bytes: Bytes) -> Bytes {
        if self.0.is_none() {
            return bytes;
        }
        Bytes::from_owner(CoveredBytes { bytes, _share: self })
    }
}

impl Budget {
    /// A budget nobody has taken from.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(BUFFER_BYTES_MAX / UNIT_BYTES)))
    }

    /// Lets `share` grow until it covers `bytes`.
    ///
    /// # Errors
    ///
    /// [`Code::Overloaded`]; the share stays as it was.
    pub(crate) fn cover(&self, share: &mut Share, bytes: usize) -> Result<(), Problem> {
        let wanted = bytes.saturating_sub(FREE_BYTES).div_ceil(UNIT_BYTES);
        let held = share.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(missing) = wanted.checked_sub(held).filter(|missing| *missing > 0) else { return Ok(()) };
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.0)
            .try_acquire_many_owned(missing)
            .map_err(|_| Problem::new(Code::Overloaded, "too many large requests at once; ask again"))?;
        match &mut share.0 {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    /// A share that covers `bytes`.
    ///
    /// # Errors
    ///
    /// [`Code::Overloaded`].
    pub(crate) fn share(&self, bytes: usize) -> Result<Share, Problem> {
        let mut share = Share::default();
        self.cover(&mut share, bytes)?;
        Ok(share)
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, FREE_BYTES, Share};
    use crate::limits::BUFFER_BYTES_MAX;
    use bytes::Bytes;

    #[test]
    fn small_things_cost_nothing() {
        let budget = Budget::new();
        let all = budget.share(BUFFER_BYTES_MAX + FREE_BYTES).unwrap();
        assert!(budget.share(FREE_BYTES).is_ok());
        assert!(budget.share(FREE_BYTES + 1).is_err());
        drop(all);
        assert!(budget.share(FREE_BYTES + 1).is_ok());
    }

    #[test]
    fn bytes_hold_their_share_to_the_last_clone() {
        let budget = Budget::new();
        let share = budget.share(BUFFER_BYTES_MAX).unwrap();
        let bytes = share.hold(Bytes::from_static(b"large"));
        let clone = bytes.slice(1..);
        drop(bytes);
        assert!(budget.share(BUFFER_BYTES_MAX).is_err());
        drop(clone);
        assert!(budget.share(BUFFER_BYTES_MAX).is_ok());
    }

    #[test]
    fn a_growing_share_is_given_back_whole() {
        let budget = Budget::new();
        let mut share = Share::default();
        for bytes in (0..=BUFFER_BYTES_MAX).step_by(10_000_000) {
            budget.cover(&mut share, bytes).unwrap();
        }
        assert!(budget.share(BUFFER_BYTES_MAX).is_err());
        drop(share);
        assert!(budget.share(BUFFER_BYTES_MAX).is_ok());
    }
}
