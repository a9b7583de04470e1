//! The network: what becomes of a message from one place to another.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::weather::Weather;

/// Whether faults are still made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Season {
    /// They are.
    Rough,
    /// They are over: every message arrives, soon.
    Calm,
}

/// The links between places. A place is the number of a machine.
#[derive(Debug)]
pub struct Network {
    cut: BTreeSet<(usize, usize)>,
    season: Season,
}

impl Default for Network {
    fn default() -> Self {
        Self { cut: BTreeSet::new(), season: Season::Rough }
    }
}

impl Network {
    /// Cuts one direction.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    /// Mends the links of one place.
    pub fn reach(&mut self, place: usize) {
        self.cut.retain(|(from, to)| *from != place && *to != place);
    }

    /// Mends all links.
    pub fn mend(&mut self) {
        self.cut.clear();
    }

    /// Faults are over.
    pub fn calm(&mut self) {
        self.mend();
        self.season = Season::Calm;
    }

    /// Whether faults are still made.
    #[must_use]
    pub const fn season(&self) -> Season {
        self.season
    }

    /// How long a message takes that is sent now; `None` when it is lost.
    pub fn send(&self, from: usize, to: usize, weather: &Weather, random: &mut StdRng) -> Option<Duration> {
        if self.cut.contains(&(from, to)) {
            return None;
        }
        let mut ms = random.random_range(weather.delay_ms.clone());
        if self.season == Season::Rough {
            if random.random_ratio(weather.lost_of_1000, 1000) {
                return None;
            }
            if random.random_ratio(weather.delayed_of_1000, 1000) {
                ms = random.random_range(ms..=weather.long_delay_ms.max(ms));
            }
        }
        Some(Duration::from_millis(ms) + Duration::from_micros(random.random_range(0..1000)))
    }

    /// Whether a request arrives twice.
    pub fn doubles(&self, weather: &Weather, random: &mut StdRng) -> bool {
        self.season == Season::Rough && random.random_ratio(weather.doubled_of_1000, 1000)
    }
}
