//! Where a write came from: the node, its epoch, and the number it gave the write.
//!
//! A dot is never used twice. Each start of a node, and whatever else may have made it forget numbers that it gave out,
//! begins an epoch, so an origin is the node's uuid *and* its epoch. An epoch says when it began and has a random part: a
//! directory that was put back to an earlier moment counts as its lost life did, and would give out that life's numbers
//! again.
//!
//! | bits of an epoch | field |
//! | --- | --- |
//! | 32 to 63 | when it began, seconds since 1970; 0 for epochs from before that was noted |
//! | 0 to 31 | random, never 0; the whole epoch of those from before |
//!
//! So an epoch from before is a number below 2^32. Wherever epochs rest, such a one takes 4 bytes, as it always did, and
//! any other takes 8; which of the two it is can be told from the row, and there is one spelling for each epoch.

use uuid::Uuid;

use crate::cursor::Cursor;

/// A node's identity as the author of sequence numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The node's random uuid.
    pub node: Uuid,
    /// When it began and a random number, see above. The epochs of one node are in the order of their beginnings.
    pub epoch: u64,
}

/// One write of one origin; unique for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Who accepted the write.
    pub origin: Origin,
    /// Its number there, from 1, without gaps.
    pub seq: u64,
}

/// The epoch that begins at this second since 1970, with this random part.
#[must_use]
pub fn epoch_at(born_s: u32, random: u32) -> u64 {
    u64::from(born_s) << 32 | u64::from(random.max(1))
}

/// When an epoch began, seconds since 1970; 0 for one from before that was noted.
#[must_use]
pub const fn born_s(epoch: u64) -> u64 {
    epoch >> 32
}

/// How many bytes an epoch takes where it rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochWidth {
    /// Four: it does not say when it began.
    Short,
    /// Eight.
    Long,
}

impl EpochWidth {
    /// The width of this epoch.
    #[must_use]
    pub const fn of(epoch: u64) -> Self {
        if born_s(epoch) == 0 { Self::Short } else { Self::Long }
    }

    /// The width of an epoch that takes so many bytes; `None` when no epoch does.
    #[must_use]
    pub const fn from_bytes(bytes: usize) -> Option<Self> {
        match bytes {
            4 => Some(Self::Short),
            8 => Some(Self::Long),
            _ => None,
        }
    }

    /// How many bytes that is.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Short => 4,
            Self::Long => 8,
        }
    }

    /// Reads an epoch of this width; `None` when the bytes end early or it should have been written in another width.
    #[must_use]
    pub fn take(self, cursor: &mut Cursor<'_>) -> Option<u64> {
        let epoch = match self {
            Self::Short => cursor.u32().ok()?.into(),
            Self::Long => cursor.u64().ok()?,
        };
        (Self::of(epoch) == self).then_some(epoch)
    }
}

/// Appends an epoch in its width.
pub fn push_epoch(epoch: u64, out: &mut Vec<u8>) {
    match u32::try_from(epoch) {
        Ok(short) => out.extend_from_slice(&short.to_be_bytes()),
        Err(_) => out.extend_from_slice(&epoch.to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::{EpochWidth, born_s, epoch_at, push_epoch};
    use crate::cursor::Cursor;
    use crate::testing::arbitrary_epoch;
    use proptest::prelude::{any, proptest};

    proptest! {
        #[test]
        fn an_epoch_reads_back_in_its_width_and_in_no_other(epoch in arbitrary_epoch()) {
            let mut bytes = Vec::new();
            push_epoch(epoch, &mut bytes);
            let width = EpochWidth::of(epoch);
            assert_eq!((bytes.len(), EpochWidth::from_bytes(bytes.len())), (width.bytes(), Some(width)));
            assert_eq!(width.take(&mut Cursor::new(&bytes)), Some(epoch));
            if width == EpochWidth::Short {
                let long = epoch.to_be_bytes();
                assert_eq!(EpochWidth::Long.take(&mut Cursor::new(&long)), None);
            }
        }

        #[test]
        fn an_epoch_says_when_it_began_and_is_never_nothing(second in any::<u32>(), random in any::<u32>()) {
            let epoch = epoch_at(second, random);
            assert_eq!(born_s(epoch), u64::from(second));
            assert!(epoch & 0xffff_ffff > 0);
        }
    }
}
