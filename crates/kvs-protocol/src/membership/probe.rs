//! The probe that the failure detector has under way.

use std::time::Duration;

use crate::membership::life::Life;

/// A probe of the detector.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe {
    /// Who is probed.
    pub(crate) life: Life,
    /// Its number.
    pub(crate) number: u8,
    /// When it began.
    pub(crate) since: Duration,
}
