//! One version of a key as tests compare it, and the moments at which things happen.

use std::fmt;
use std::time::Duration;

use kvs_core::digest::ContentDigest;
use kvs_core::origin::Dot;
use kvs_core::record::{Kind, Record};
use kvs_core::version::Version;
use uuid::Uuid;

/// One version of a key, without its content.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// What orders it.
    pub version: Version,
    /// Who gave it which number.
    pub dot: Dot,
    /// Value, tombstone or expired.
    pub kind: Kind,
    /// When it expires, ms since 1970; 0 for never.
    pub expires_at_ms: u64,
    /// What it says.
    pub digest: ContentDigest,
}

impl fmt::Debug for Held {
    /// In one line, as a trace has thousands of them: `value 1800000031000.2 f5913892 by d31754e2/1#51`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, dot, kind, expires_at_ms, .. } = self;
        let short = |uuid: &Uuid| uuid.as_fields().0;
        let kind = format!("{kind:?}").to_lowercase();
        write!(out, "{kind} {}.{} {:08x}", version.stamp.ms, version.stamp.counter, short(&version.uuid))?;
        write!(out, " by {:08x}/{}#{}", short(&dot.origin.node), dot.origin.epoch, dot.seq)?;
        if *expires_at_ms != 0 {
            write!(out, " until {expires_at_ms}")?;
        }
        Ok(())
    }
}

/// A moment, by the world's own time and by a right wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// Since the world began.
    pub at: Duration,
    /// Milliseconds since 1970.
    pub wall_ms: u64,
}

impl Held {
    /// What a record says, without its content.
    #[must_use]
    pub const fn of(record: &Record) -> Self {
        Self {
            version: record.version,
            dot: record.dot,
            kind: record.kind,
            expires_at_ms: record.expires_at_ms,
            digest: record.digest,
        }
    }

    pub(crate) fn is_value(&self) -> bool {
        self.kind == Kind::Value
    }

    pub(crate) const fn is_mortal(&self) -> bool {
        self.expires_at_ms != 0
    }
}
