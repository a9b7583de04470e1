//! Parts of logs that machines are passing on.

use std::collections::BTreeMap;

use kvs_cluster::relay::Relay;
use kvs_protocol::call::CallId;
use uuid::Uuid;

use crate::step::Call;

/// The numbers of the calls that pass a part on begin here: no machine counts that far.
const FIRST_CALL: u64 = 1 << 62;

/// What is being passed on.
#[derive(Default)]
pub(crate) struct Relays {
    /// Parts that were ever passed on, and calls that were ever made for them.
    pub(crate) made: u64,
    calls_made: u64,
    /// Each with the call that it answers.
    pub(crate) open: BTreeMap<u64, (Call, Relay)>,
    /// The calls that pass parts on: which part, and to whom.
    pub(crate) calls: BTreeMap<CallId, (u64, Uuid)>,
}

impl Relays {
    /// Names one more part that is passed on.
    pub(crate) const fn next(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    /// Names one more call that passes a part on.
    pub(crate) const fn next_call(&mut self) -> CallId {
        self.calls_made += 1;
        CallId(FIRST_CALL + self.calls_made)
    }
}
