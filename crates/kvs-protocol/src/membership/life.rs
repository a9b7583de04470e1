//! The identity that the failure detector works with: one life of a node.
//!
//! A node begins a new life with each start (generation), and within a process each time the cluster took it for dead
//! while it was not (rejoins): death is final for a life, never for a node. Of two lives of one node the later wins.
//! Names and addresses are not in here; they are found in the member's record.
//!
//! | bytes | field |
//! | --- | --- |
//! | 16 | node uuid |
//! | 4 | generation |
//! | 4 | rejoins |

use kvs_core::cursor::{Cursor, EndsEarly};
use uuid::Uuid;

/// The bytes of a life.
pub(crate) const LIFE_BYTES: usize = 24;

/// One life of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Life {
    /// The node.
    pub(crate) node: Uuid,
    /// Its start.
    pub(crate) generation: u32,
    /// How often it came back within this start.
    pub(crate) rejoins: u32,
}

impl Life {
    /// Its bytes.
    pub(crate) fn bytes(&self) -> [u8; LIFE_BYTES] {
        let mut bytes = [0; LIFE_BYTES];
        let fields = self.node.as_bytes().iter().copied();
        let numbers = self.generation.to_be_bytes().into_iter().chain(self.rejoins.to_be_bytes());
        for (place, byte) in bytes.iter_mut().zip(fields.chain(numbers)) {
            *place = byte;
        }
        bytes
    }

    /// Reads one.
    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<Self, EndsEarly> {
        Ok(Self { node: cursor.uuid()?, generation: cursor.u32()?, rejoins: cursor.u32()? })
    }

    /// Four bytes that tell whom a frame is meant for: not a proof, authentication is not made here.
    pub(crate) fn check(&self) -> u32 {
        let hash = blake3::hash(&self.bytes());
        hash.as_bytes().first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }
}

impl foca::Identity for Life {
    type Addr = Uuid;

    fn renew(&self) -> Option<Self> {
        self.rejoins.checked_add(1).map(|rejoins| Self { rejoins, ..*self })
    }

    fn addr(&self) -> Uuid {
        self.node
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        (self.generation, self.rejoins) > (adversary.generation, adversary.rejoins)
    }
}

#[cfg(test)]
mod tests {
    use super::Life;
    use foca::Identity;
    use kvs_core::cursor::Cursor;
    use uuid::Uuid;

    #[test]
    fn a_later_life_wins_and_bytes_read_back() {
        let first = Life { node: Uuid::from_u128(7), generation: 2, rejoins: 9 };
        let again = first.renew().unwrap();
        let restarted = Life { generation: 3, rejoins: 0, ..first };
        assert!(again.win_addr_conflict(&first) && restarted.win_addr_conflict(&again));
        assert!(!first.win_addr_conflict(&first));
        assert_ne!(first.check(), again.check());
        assert_eq!(Life::decode(&mut Cursor::new(&again.bytes())), Ok(again));
        assert_eq!(Life { rejoins: u32::MAX, ..first }.renew(), None);
    }
}
