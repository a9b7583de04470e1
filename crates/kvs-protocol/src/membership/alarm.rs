//! What the machine has set itself to do later.

use std::time::Duration;

use uuid::Uuid;

use crate::membership::life::Life;

/// What is to be done later.
#[derive(Debug)]
pub(crate) enum Alarm {
    /// A timer of the detector. `since` and `credit` tell when it was set and how long the process had stood still.
    Foca { timer: foca::Timer<Life>, since: Duration, credit: Duration },
    /// Tell somebody of a change.
    Rumor,
    /// A full exchange with a few.
    Gossip,
    /// Hand the list out to be kept.
    Persist,
    /// Look for members that were silent too long.
    Age,
    /// Ask to be admitted.
    Admission,
    /// Reconnect to an address that refused.
    Reconnect(Uuid),
    /// The short suspicion of a life whose address refused is over.
    Condemn { life: Life, incarnation: u16, since: Duration },
}
