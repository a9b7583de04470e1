//! How the failure detector is set up.

use std::num::{NonZeroU8, NonZeroUsize};

use foca::Config;

use crate::membership::settings::{FRAME_BYTES_MAX, PROBE_PERIOD, PROBE_TIMEOUT, SUSPICION_SMALL};

/// Members that are asked to make a probe's detour.
const DETOURS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2);

/// An update rides on this many frames; what that misses, the hash finds.
const TRANSMISSIONS: NonZeroU8 = NonZeroU8::MIN.saturating_add(7);

/// How foca is set up. Joining, lists and the dead are not its affair here.
pub(crate) fn detector_config() -> Config {
    Config {
        probe_period: PROBE_PERIOD,
        probe_rtt: PROBE_TIMEOUT,
        num_indirect_probes: DETOURS,
        max_transmissions: TRANSMISSIONS,
        suspect_to_down_after: SUSPICION_SMALL,
        remove_down_after: None,
        max_packet_size: NonZeroUsize::new(FRAME_BYTES_MAX - 2).unwrap_or(NonZeroUsize::MIN),
        notify_down_members: true,
        periodic_announce: None,
        periodic_announce_to_down_members: None,
        // Changes are told on as rumours, by whole rows.
        periodic_gossip: None,
    }
}
