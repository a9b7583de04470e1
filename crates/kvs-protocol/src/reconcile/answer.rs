//! The answerer's side: one reply to one request, from nothing but the request and what the node holds now.

use std::collections::BTreeSet;

use kvs_core::item::{END, EXPIRING, floor_key, floor_ms};
use kvs_core::origin::Dot;
use kvs_core::record::Kind;
use kvs_core::record_codec;
use kvs_core::vector::Vector;

use crate::reconcile::fingerprint::{Secrets, SessionKey, Short};
use crate::reconcile::holdings::{Holdings, Located, Verdict};
use crate::reconcile::limits::{
    ASKED_PIECES_MAX, CHANGES_MAX, FAN_OUT, IDS_MAX, LISTED_MAX, LOOKED_AT_MAX, RECORD_BYTES_TARGET,
    RECORDS_MAX, TOMBSTONES_MAX,
};
use crate::reconcile::reply::{Listed, OfferEnd, Opened, Reply};
use crate::reconcile::request::{Request, Wanted, WantedTombstones};
use crate::reconcile::wire::{Listing, Split};

/// Answers one request of a session.
///
/// # Errors
///
/// The records cannot be read or written; some that were offered may have been taken.
pub fn answer<H: Holdings>(holdings: &mut H, secrets: &Secrets, request: Request) -> Result<Reply, H::Error> {
    let mut reply = Reply::default();
    if request.key_fingerprint != secrets.key_fingerprint() {
        reply.other_key = true;
        return Ok(reply);
    }
    let key = secrets.session(&request.nonce);
    if let Some(now_ms) = request.opened_at_ms {
        // Before anything else is read: what is claimed here must show in everything that is answered later.
        let log_end = holdings.log_end()?;
        let vector = holdings.claim()?;
        let own_now_ms = holdings.now_ms();
        let root = compared_root(holdings, &key, floor_ms(now_ms, own_now_ms))?;
        reply.opened = Some(Opened { now_ms: own_now_ms, root, vector, log_end });
    }
    for split in &request.compare {
        compare(holdings, &key, split, &mut reply)?;
    }
    let mut bytes = 0;
    for listing in &request.listed {
        let listed = list(holdings, &key, listing, &mut reply.records, &mut bytes)?;
        reply.listed.push(listed);
    }
    if !request.offered.is_empty() {
        for verdict in holdings.take(request.offered)? {
            reply.verdicts.push(match verdict {
                Verdict::Settled | Verdict::Withheld => OfferEnd::Settled,
                Verdict::Drop => OfferEnd::Drop,
                Verdict::Failed => OfferEnd::Failed,
                Verdict::Newer(newer) => {
                    reply.records.push(*newer);
                    OfferEnd::Settled
                }
            });
        }
    }
    if !request.dropped.is_empty() {
        holdings.drop_versions(request.dropped)?;
    }
    if let Some(Wanted { tombstones, known, since }) = &request.wanted {
        let behind = match tombstones {
            WantedTombstones::All => Some(None),
            WantedTombstones::Behind(dot) => Some(Some(dot)),
            WantedTombstones::Nothing => None,
        };
        if let Some(behind) = behind {
            add_tombstones(holdings, behind, known, &mut reply)?;
        }
        reply.changes = holdings.changes(*since, known, CHANGES_MAX)?;
    }
    Ok(reply)
}

/// The fingerprint of what two nodes are compared by: everything but what expires below the floor, which one of them may
/// have taken away already.
///
/// # Errors
///
/// The records cannot be read.
pub fn compared_root<H: Holdings>(
    holdings: &mut H,
    key: &SessionKey,
    floor_ms: u64,
) -> Result<Short, H::Error> {
    let bounds = [Vec::new(), vec![EXPIRING], floor_key(floor_ms), END.to_vec()];
    let sums = holdings.sums(&bounds)?;
    let lasting = sums.first().copied().unwrap_or_default();
    let above = sums.get(2).copied().unwrap_or_default();
    Ok(key.range(&lasting.plus(above)))
}

/// A range cut into pieces with their fingerprints.
pub(crate) fn split_range<H: Holdings>(
    holdings: &mut H,
    key: &SessionKey,
    from: &[u8],
    to: &[u8],
) -> Result<Split, H::Error> {
    let mut bounds = vec![from.to_vec()];
    bounds.extend(holdings.split(from, to, FAN_OUT)?);
    bounds.push(to.to_vec());
    let sums = holdings.sums(&bounds)?;
    let ends = bounds.into_iter().skip(1);
    let pieces = sums.iter().map(|sum| key.range(sum)).zip(ends).collect();
    Ok(Split { from: from.to_vec(), pieces })
}

/// Whether a record that is held instead of the one a peer has is worth telling it: an expired value is not, if the peer
/// has the same value alive; its own clock will tell it.
pub fn is_worth_telling(held: &Located, theirs: &Located) -> bool {
    !(held.record.kind == Kind::Expired && held.record.version == theirs.record.version)
}

fn compare<H: Holdings>(
    holdings: &mut H,
    key: &SessionKey,
    split: &Split,
    reply: &mut Reply,
) -> Result<(), H::Error> {
    let bounds = split.bounds();
    let sums = holdings.sums(&bounds)?;
    for ((range, sum), (theirs, _)) in bounds.windows(2).zip(sums).zip(&split.pieces) {
        let [from, to] = range else { continue };
        if key.range(&sum) == *theirs {
            continue;
        }
        if sum.count <= LISTED_MAX {
            // Of a range that was written to meanwhile some are left out: they are offered once more than needed.
            let items = holdings.items(from, to, IDS_MAX / ASKED_PIECES_MAX)?;
            let ids = items.iter().map(|(_, item)| key.id(*item)).collect();
            reply.few.push(Listing { from: from.clone(), to: to.clone(), ids });
        } else {
            reply.splits.push(split_range(holdings, key, from, to)?);
        }
    }
    Ok(())
}

fn list<H: Holdings>(
    holdings: &mut H,
    key: &SessionKey,
    listing: &Listing,
    records: &mut Vec<Located>,
    bytes: &mut usize,
) -> Result<Listed, H::Error> {
    if *bytes >= RECORD_BYTES_TARGET || records.len() >= RECORDS_MAX {
        return Ok(Listed { lacks: Vec::new(), resume: Some(listing.from.clone()) });
    }
    let mut items = holdings.items(&listing.from, &listing.to, LOOKED_AT_MAX + 1)?;
    let mut resume = None;
    if items.len() > LOOKED_AT_MAX {
        resume = items.pop().map(|(key, _)| key);
    }
    let asked: BTreeSet<&Short> = listing.ids.iter().collect();
    let mut held = BTreeSet::new();
    for (at, item) in &items {
        let id = key.id(*item);
        if asked.contains(&id) {
            held.insert(id);
            continue;
        }
        if *bytes >= RECORD_BYTES_TARGET || records.len() >= RECORDS_MAX {
            resume = Some(at.clone());
            break;
        }
        // One that has just gone was replaced by something newer, which the log brings.
        if let Some((_, located)) = holdings.record(at)? {
            *bytes = bytes.saturating_add(wire_len(&located));
            records.push(located);
        }
    }
    Ok(Listed { lacks: listing.ids.iter().map(|id| !held.contains(id)).collect(), resume })
}

fn add_tombstones<H: Holdings>(
    holdings: &mut H,
    behind: Option<&Dot>,
    known: &Vector,
    reply: &mut Reply,
) -> Result<(), H::Error> {
    let found = holdings.tombstones(behind, known, TOMBSTONES_MAX)?;
    reply.more_tombstones = found.len() >= TOMBSTONES_MAX;
    let mut bytes = 0_usize;
    for tombstone in found {
        if bytes >= RECORD_BYTES_TARGET {
            reply.more_tombstones = true;
            break;
        }
        bytes = bytes.saturating_add(wire_len(&tombstone));
        reply.tombstones.push(tombstone);
    }
    Ok(())
}

/// Bytes that a record takes in a message, about.
#[must_use]
pub fn wire_len(located: &Located) -> usize {
    let len_of_len = |len: usize| {
        1 + usize::from(len >= 1 << 7) + usize::from(len >= 1 << 14) + usize::from(len >= 1 << 21)
    };
    let (path, record) = (located.path.as_bytes().len(), record_codec::encoded_len(&located.record));
    1 + len_of_len(path) + path + len_of_len(record) + record
}
