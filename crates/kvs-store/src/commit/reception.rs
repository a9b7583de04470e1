//! What becomes of a record that a peer sends: one pure decision.
//!
//! The first row that holds decides.
//!
//! | row | what is true | what becomes of it | why |
//! | --- | --- | --- | --- |
//! | 1 | it is what is held | known | |
//! | 2 | it was recalled, and may be taken back | void | a clock that was ahead stamped it; it must win nowhere |
//! | 3 | it is the value of what expired here, and its expiry is far off | revived | a clock that was ahead ended it too soon |
//! | 4 | it tells of an expiry that is far off of the value that is held, and may not wait | known | the value ends here when its time comes |
//! | 5 | it is stamped too far ahead, or tells of an expiry that is far off, and may wait | parked | the rest of the stream goes on without it |
//! | 6 | a version of the key is held, or parked, or was voided here | merged | there is something to compare it with, or nothing proves that it was deleted |
//! | 7 | it was not received before | merged | it is new |
//! | 8 | this node's clock disagrees with its peers' | left | ages mean nothing now; a later session asks again |
//! | 9 | it is too young to have been deleted *and* collected | merged | whatever says that it was received is wrong |
//! | 10 | it is a value | dropped | it was received, deleted and collected: the sender must forget it |
//! | 11 | otherwise | known | a delete of what nobody holds |
//!
//! Rows 6 and 9 guard row 10, which turns any mistake of a vector into a delete on every node.

use kvs_core::origin::born_s;
use kvs_core::recall::Recalls;
use kvs_core::record::{Kind, Record};

use crate::parked::due_ms;

/// What a node knows of time when it judges ages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ages {
    /// Whether its clock agrees with its peers'.
    pub(crate) are_sound: bool,
    /// What it reads, ms since 1970.
    pub(crate) now_ms: u64,
    /// A version stamped at or after this was not yet deleted and collected anywhere, ms since 1970.
    pub(crate) young_from_ms: u64,
    /// A peer's record stamped later than this is parked, ms since 1970.
    pub(crate) park_after_ms: u64,
}

/// What is held of a key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Holding<'a> {
    /// Nothing, or what a peer's word made this node forget.
    Nothing,
    /// A version that waits, or a history whose current version was voided.
    Doubtful,
    /// This.
    Record(&'a Record),
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reception {
    /// Nothing: it is known, or says nothing new.
    Known,
    /// It goes to the history at best.
    Void,
    /// It waits until it is not ahead any more.
    Parked,
    /// Nothing, and nothing may be concluded from it: it will be offered again.
    Left,
    /// It takes the place of its own tombstone.
    Revived,
    /// It is merged.
    Merged,
    /// Nothing here, and the sender must forget it.
    Dropped,
}

/// From when the age of a version counts, ms since 1970: from its stamp, from its expiry, and from when its epoch began, as what
/// was recalled is written anew with the stamp that it should have had. An epoch of a clock that was ahead says nothing.
pub(crate) fn age_from_ms(record: &Record, now_ms: u64) -> u64 {
    let born_ms = born_s(record.dot.origin.epoch).saturating_mul(1000);
    due_ms(record).max(if born_ms <= now_ms { born_ms } else { 0 })
}

/// Decides what becomes of a record. `is_received` says that the node's vector, lowered by what is parked, covers it;
/// `may_wait` that it is of a namespace whose records may wait and may be
/// taken back.
pub(crate) fn receive(
    incoming: &Record,
    holding: Holding<'_>,
    recalls: &Recalls,
    ages: Ages,
    (is_received, may_wait): (bool, bool),
) -> Reception {
    let is_same = matches!(holding, Holding::Record(held) if held.precedence(incoming).is_eq());
    // Whether one is the value that the other says has expired, though its time is far off.
    let is_early = |value: &Record, expired: &Record| {
        (value.kind, expired.kind) == (Kind::Value, Kind::Expired)
            && value.version == expired.version
            && expired.expires_at_ms > ages.park_after_ms
            && ages.are_sound
    };
    if is_same {
        Reception::Known
    } else if may_wait && recalls.is_void(incoming) {
        Reception::Void
    } else if matches!(holding, Holding::Record(held) if is_early(incoming, held)) {
        Reception::Revived
    } else if !may_wait && matches!(holding, Holding::Record(held) if is_early(held, incoming)) {
        Reception::Known
    } else if may_wait && due_ms(incoming) > ages.park_after_ms {
        Reception::Parked
    } else if !matches!(holding, Holding::Nothing) || !is_received {
        Reception::Merged
    } else if !ages.are_sound {
        Reception::Left
    } else if age_from_ms(incoming, ages.now_ms) >= ages.young_from_ms {
        Reception::Merged
    } else if incoming.kind == Kind::Value {
        Reception::Dropped
    } else {
        Reception::Known
    }
}

#[cfg(test)]
mod tests {
    use super::{Ages, Holding, Reception, receive};
    use bytes::Bytes;
    use kvs_core::digest::ContentDigest;
    use kvs_core::origin::{Dot, Origin, epoch_at};
    use kvs_core::recall::Recalls;
    use kvs_core::record::{Kind, Payload, Principal, Record};
    use kvs_core::stamp::Stamp;
    use kvs_core::version::Version;
    use uuid::Uuid;

    const AGES: Ages = Ages { are_sound: true, now_ms: 900, young_from_ms: 500, park_after_ms: 1000 };
    const RECEIVED: (bool, bool) = (true, true);
    const NEW: (bool, bool) = (false, true);

    fn record(ms: u64, kind: Kind) -> Record {
        let origin = Origin { node: Uuid::from_u128(1), epoch: 1 };
        Record {
            version: Version { stamp: Stamp::at(ms), origin_joined_ms: 1, uuid: Uuid::from_u128(ms.into()) },
            dot: Dot { origin, seq: 1 },
            kind,
            expires_at_ms: if kind == Kind::Expired { ms + 10 } else { 0 },
            author: Principal::nobody(),
            owner: Principal::nobody(),
            digest: ContentDigest::of(b"1"),
            payload: if kind == Kind::Value {
                Payload::Raw(Bytes::from_static(b"1"))
            } else {
                Payload::empty()
            },
        }
    }

    fn outcome(incoming: &Record, holding: Holding<'_>, facts: (bool, bool)) -> Reception {
        receive(incoming, holding, &Recalls::default(), AGES, facts)
    }

    #[test]
    fn row_1_what_is_held_is_known() {
        let held = record(100, Kind::Value);
        assert_eq!(outcome(&held, Holding::Record(&held), RECEIVED), Reception::Known);
    }

    #[test]
    fn row_2_what_was_recalled_is_void_however_far_ahead_it_is() {
        let mut recalls = Recalls::default();
        recalls.add(record(1, Kind::Value).dot.origin, 300);
        for ms in [301, 5000] {
            let late = record(ms, Kind::Value);
            assert_eq!(receive(&late, Holding::Nothing, &recalls, AGES, NEW), Reception::Void);
        }
        let revocation = record(301, Kind::Value);
        assert_eq!(receive(&revocation, Holding::Nothing, &recalls, AGES, (false, false)), Reception::Merged);
        let good = record(300, Kind::Value);
        assert_eq!(receive(&good, Holding::Nothing, &recalls, AGES, NEW), Reception::Merged);
    }

    #[test]
    fn row_3_what_expired_here_too_soon_comes_back() {
        let value = Record { expires_at_ms: 1001, ..record(100, Kind::Value) };
        let early = value.expired();
        assert_eq!(outcome(&value, Holding::Record(&early), RECEIVED), Reception::Revived);
        let unsound = Ages { are_sound: false, ..AGES };
        let holding = Holding::Record(&early);
        assert_eq!(receive(&value, holding, &Recalls::default(), unsound, RECEIVED), Reception::Merged);
        let due = Record { expires_at_ms: 999, ..value };
        assert_eq!(outcome(&due, Holding::Record(&due.expired()), RECEIVED), Reception::Merged);
        let other = record(200, Kind::Value);
        assert_eq!(outcome(&other, Holding::Record(&early), RECEIVED), Reception::Merged);
    }

    #[test]
    fn row_4_a_revocation_does_not_end_before_its_time() {
        let value = Record { expires_at_ms: 1001, ..record(100, Kind::Value) };
        let early = value.expired();
        assert_eq!(outcome(&early, Holding::Record(&value), (true, false)), Reception::Known);
        assert_eq!(outcome(&early, Holding::Nothing, (false, false)), Reception::Merged);
        let due = Record { expires_at_ms: 999, ..early };
        assert_eq!(outcome(&due, Holding::Record(&value), (true, false)), Reception::Merged);
    }

    #[test]
    fn row_5_what_is_ahead_waits_unless_it_must_not() {
        let ahead = record(1001, Kind::Value);
        assert_eq!(outcome(&ahead, Holding::Nothing, NEW), Reception::Parked);
        assert_eq!(outcome(&ahead, Holding::Nothing, (false, false)), Reception::Merged);
    }

    #[test]
    fn row_5_an_expiry_that_is_far_off_waits_too() {
        let held = record(100, Kind::Value);
        let early = Record { expires_at_ms: 1001, ..record(100, Kind::Expired) };
        assert_eq!(outcome(&early, Holding::Record(&held), RECEIVED), Reception::Parked);
        let due = Record { expires_at_ms: 999, ..early };
        assert_eq!(outcome(&due, Holding::Record(&held), RECEIVED), Reception::Merged);
    }

    #[test]
    fn row_6_what_can_be_compared_or_is_doubtful_is_merged() {
        let (old, held) = (record(100, Kind::Value), record(200, Kind::Tombstone));
        assert_eq!(outcome(&old, Holding::Record(&held), RECEIVED), Reception::Merged);
        assert_eq!(outcome(&old, Holding::Doubtful, RECEIVED), Reception::Merged);
    }

    #[test]
    fn row_7_what_was_not_received_is_merged() {
        assert_eq!(outcome(&record(100, Kind::Value), Holding::Nothing, NEW), Reception::Merged);
        assert_eq!(outcome(&record(100, Kind::Tombstone), Holding::Nothing, NEW), Reception::Merged);
    }

    #[test]
    fn row_8_a_node_whose_clock_disagrees_drops_nothing_and_takes_nothing_back() {
        let ages = Ages { are_sound: false, ..AGES };
        let facts = (Holding::Nothing, &Recalls::default());
        for ms in [100, 600] {
            let old = record(ms, Kind::Value);
            assert_eq!(receive(&old, facts.0, facts.1, ages, RECEIVED), Reception::Left);
        }
    }

    #[test]
    fn row_9_what_is_young_cannot_have_been_collected() {
        assert_eq!(outcome(&record(500, Kind::Value), Holding::Nothing, RECEIVED), Reception::Merged);
        assert_eq!(outcome(&record(500, Kind::Tombstone), Holding::Nothing, RECEIVED), Reception::Merged);
    }

    #[test]
    fn row_9_what_was_written_anew_is_as_young_as_its_epoch() {
        let mut anew = record(100, Kind::Value);
        for (born_s, expected) in [(0, Reception::Dropped), (1, Reception::Merged), (5, Reception::Dropped)] {
            anew.dot.origin.epoch = epoch_at(born_s, 7);
            let ages = Ages { now_ms: 1_500, ..AGES };
            let recalls = Recalls::default();
            assert_eq!(receive(&anew, Holding::Nothing, &recalls, ages, RECEIVED), expected, "{born_s}");
        }
    }

    #[test]
    fn row_10_an_old_value_that_was_received_is_dropped() {
        assert_eq!(outcome(&record(499, Kind::Value), Holding::Nothing, RECEIVED), Reception::Dropped);
    }

    #[test]
    fn row_11_a_delete_of_what_nobody_holds_is_nothing() {
        assert_eq!(outcome(&record(499, Kind::Tombstone), Holding::Nothing, RECEIVED), Reception::Known);
        assert_eq!(outcome(&record(480, Kind::Expired), Holding::Nothing, RECEIVED), Reception::Known);
    }
}
