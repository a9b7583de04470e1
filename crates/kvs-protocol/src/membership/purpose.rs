//! What a call of the machine was made for, and so what its answer is worth.

use std::sync::Arc;

use uuid::Uuid;

use crate::membership::errand::{Asks, Carried, Reason, Target};
use crate::membership::message::Exchange;
use crate::membership::record::Record;

/// What a call was made for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// Frames of the detector; a probe's outcome tells of this node's own health.
    Frames { node: Uuid, is_probe: bool },
    /// An exchange of lists.
    Exchange { target: Target, reason: Reason, carried: Carried },
    /// Does the process that holds an identity or a name still live? A newcomer's request waits for it.
    Verify {
        reply_to: u64,
        asks: Asks,
        exchange: Box<Exchange>,
        /// The one that is asked, as it was known when the newcomer was judged.
        old: Arc<Record>,
        rest: Vec<Arc<Record>>,
    },
    /// A third node is asked whether a member refuses.
    AskThird { node: Uuid, third: Uuid },
    /// Nothing hangs on the answer.
    Telling,
}
