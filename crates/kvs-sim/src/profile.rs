//! Profiles: which kinds of fate a run has beside the ordinary faults. Drawn from the seed, so that each is seen often.

use rand::RngExt;
use rand::rngs::StdRng;

/// Which kinds of fate a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Profile {
    /// Crashes, cut links, full and slow disks, nodes that come and go.
    #[default]
    Ordinary,
    /// Directories go back to earlier copies of themselves, too.
    PutBack,
    /// Clocks are wrong by seconds to millennia, too, and new nodes begin from one that is ahead.
    Clocks,
    /// Members are forgotten and come back, too, and clients write metadata and accounts.
    Membership,
    /// All of it.
    Everything,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Ordinary, Self::PutBack, Self::Clocks, Self::Membership, Self::Everything];

    /// The profile of a seed.
    pub fn draw(fates: &mut StdRng) -> Self {
        match fates.random_range(0..100) {
            0..30 => Self::Ordinary,
            30..50 => Self::PutBack,
            50..75 => Self::Clocks,
            75..87 => Self::Membership,
            _ => Self::Everything,
        }
    }

    /// Its word on the command line and in `seeds.txt`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::PutBack => "put-back",
            Self::Clocks => "clocks",
            Self::Membership => "membership",
            Self::Everything => "everything",
        }
    }

    /// The profile with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// Whether directories are put back.
    #[must_use]
    pub const fn puts_back(self) -> bool {
        matches!(self, Self::PutBack | Self::Everything)
    }

    /// Whether clocks are wrong by any time.
    #[must_use]
    pub const fn has_wrong_clocks(self) -> bool {
        matches!(self, Self::Clocks | Self::Everything)
    }

    /// Whether members are forgotten, and metadata and accounts are written.
    #[must_use]
    pub const fn forgets(self) -> bool {
        matches!(self, Self::Membership | Self::Everything)
    }
}
