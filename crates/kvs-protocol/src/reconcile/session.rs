//! The asker's side: what to ask next, from what was answered so far.
//!
//! The driver alternates [`Session::ask`] and [`Session::take_reply`] until nothing is left to ask. A session that is given
//! up at any point, because a call failed or the node stops, has done no harm: what was taken is taken, and no claim was
//! raised.

use std::collections::VecDeque;

use bytes::Bytes;
use kvs_core::item::{END, floor_ms};
use kvs_core::log_position::LogPosition;
use kvs_core::record::Kind;

use crate::reconcile::answer::{compared_root, is_worth_telling, split_range, wire_len};
use crate::reconcile::fingerprint::{Nonce, Secrets, SessionKey, Short};
use crate::reconcile::holdings::{Changes, Dropped, Holdings, Located, Verdict};
use crate::reconcile::limits::{
    ASKED_PIECES_MAX, DROPS_MAX, FAN_OUT, IDS_MAX, LISTED_MAX, LISTED_TOGETHER_MAX, LOOKED_AT_MAX,
    RANGES_MAX, RECORD_BYTES_TARGET, RECORDS_MAX, ROUNDS_MAX,
};
use crate::reconcile::outcome::{Completeness, Outcome, Tally};
use crate::reconcile::reply::{Listed, OfferEnd, Opened, Reply};
use crate::reconcile::request::{Request, Wanted, WantedTombstones};
use crate::reconcile::wire::{Listing, MessageError, Split};

/// Why a session cannot go on. What was taken so far stays; nothing is claimed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError<E: std::fmt::Display> {
    /// The records cannot be read or written.
    #[error("{0}")]
    Holdings(E),
    /// The reply cannot be read.
    #[error("the reply cannot be read: {0}")]
    Message(#[from] MessageError),
    /// The reply does not fit what was asked.
    #[error("the reply does not fit the request: {0}")]
    Unfit(&'static str),
    /// The other node digests with another key, as while a secret is being replaced.
    #[error("the other node digests with another key")]
    OtherKey,
}

/// A range whose records differ.
#[derive(Debug)]
struct Range {
    from: Vec<u8>,
    to: Vec<u8>,
}

/// A range to be listed: of this node's records in it, or of `known` ids only.
#[derive(Debug)]
struct ToList {
    range: Range,
    count: u64,
    known: Option<Vec<Short>>,
}

/// A big range of which the other node has only these few: the rest is offered, bit by bit.
#[derive(Debug)]
struct Give {
    range: Range,
    theirs: Vec<Short>,
}

/// What is asked for last.
#[derive(Debug, Clone, Copy)]
enum Last {
    /// These tombstones, and what changed meanwhile.
    Tombstones(WantedTombstones),
    Done,
}

/// What the request in flight asked for.
#[derive(Debug, Default)]
struct Asked {
    compared: Vec<Range>,
    listed: Vec<AskedListing>,
    offered: Vec<Dropped>,
    wanted: bool,
}

#[derive(Debug)]
struct AskedListing {
    to_list: ToList,
    /// The keys of the ids, unless only known ones were listed.
    keys: Vec<(Vec<u8>, u128)>,
}

/// One session with one other node.
pub struct Session {
    nonce: Nonce,
    key_fingerprint: Short,
    key: SessionKey,
    opened: Option<(Opened, bool)>,
    differing: VecDeque<Range>,
    listing: VecDeque<ToList>,
    gives: VecDeque<Give>,
    /// Keys and items of own records that the other node lacks.
    offers: VecDeque<(Vec<u8>, u128)>,
    /// Own tombstones that it lacks.
    deletions: VecDeque<Located>,
    drops: VecDeque<Dropped>,
    last: Last,
    /// Up to where the other node's log is known to have changed nothing that is lacking here; from its end at the opening.
    changed_to: LogPosition,
    asked: Asked,
    completeness: Completeness,
    tally: Tally,
}

impl Session {
    /// Begins a session; `nonce` must be random and new.
    #[must_use]
    pub fn new(secrets: &Secrets, nonce: Nonce) -> Self {
        Self {
            nonce,
            key_fingerprint: secrets.key_fingerprint(),
            key: secrets.session(&nonce),
            opened: None,
            differing: VecDeque::from([Range { from: Vec::new(), to: END.to_vec() }]),
            listing: VecDeque::new(),
            gives: VecDeque::new(),
            offers: VecDeque::new(),
            deletions: VecDeque::new(),
            drops: VecDeque::new(),
            last: Last::Tombstones(WantedTombstones::All),
            changed_to: LogPosition::default(),
            asked: Asked::default(),
            completeness: Completeness::Complete,
            tally: Tally::default(),
        }
    }

    /// The next request; `None` when the session is over.
    ///
    /// # Errors
    ///
    /// The records cannot be read; the session must be given up.
    pub fn ask<H: Holdings>(&mut self, holdings: &mut H) -> Result<Option<Vec<u8>>, H::Error> {
        if self.tally.rounds >= ROUNDS_MAX {
            self.completeness = Completeness::Partial;
            return Ok(None);
        }
        let mut request =
            Request { nonce: self.nonce, key_fingerprint: self.key_fingerprint, ..Request::default() };
        self.asked = Asked::default();
        let is_first = self.opened.is_none();
        if is_first {
            request.opened_at_ms = Some(holdings.now_ms());
        }
        let is_walking = !self.differing.is_empty() || !self.listing.is_empty();
        if is_walking && self.offers.len() < RECORDS_MAX {
            self.ask_to_compare(holdings, &mut request)?;
            self.ask_for_listed(holdings, &mut request)?;
        } else {
            self.offer(holdings, &mut request)?;
            let is_left = is_walking
                || !self.gives.is_empty()
                || !self.offers.is_empty()
                || !self.deletions.is_empty()
                || !self.drops.is_empty();
            if let (Last::Tombstones(tombstones), false) = (self.last, is_left) {
                let (known, since) = (holdings.vector()?, self.changed_to);
                request.wanted = Some(Wanted { tombstones, known, since });
                // The other node may have gone back to an earlier copy since, or let something wait.
                request.opened_at_ms = Some(holdings.now_ms());
                self.asked.wanted = true;
            }
            let is_empty = request.offered.is_empty() && request.dropped.is_empty();
            if is_empty && !is_left && request.wanted.is_none() {
                return Ok(None);
            }
        }
        let bytes = request.encode();
        let records: usize = request.offered.iter().map(wire_len).sum();
        self.tally.rounds += 1;
        self.tally.offered += request.offered.len() as u64;
        self.tally.bytes_without_records += bytes.len().saturating_sub(records) as u64;
        Ok(Some(bytes))
    }

    /// Takes what the other node answered to the last request.
    ///
    /// # Errors
    ///
    /// The session must be given up.
    pub fn take_reply<H: Holdings>(
        &mut self,
        holdings: &mut H,
        bytes: &Bytes,
    ) -> Result<(), SessionError<H::Error>> {
        let reply = Reply::decode(bytes)?;
        if reply.other_key {
            return Err(SessionError::OtherKey);
        }
        let records: usize = reply.records.iter().chain(&reply.tombstones).map(wire_len).sum();
        self.tally.bytes_without_records += bytes.len().saturating_sub(records) as u64;
        let changed = reply.changes.iter().map(|changes| changes.records.len()).sum::<usize>();
        self.tally.received += (reply.records.len() + reply.tombstones.len() + changed) as u64;
        let asked = std::mem::take(&mut self.asked);
        if let Some((opened, _)) = &mut self.opened {
            let claims = reply.opened.map(|again| again.vector);
            if asked.wanted {
                let claims = claims.ok_or(SessionError::Unfit("it does not say what it claims"))?;
                opened.vector = opened.vector.meet(&claims);
            }
        } else {
            let opened = reply.opened.ok_or(SessionError::Unfit("it does not open the session"))?;
            let floor_ms = floor_ms(holdings.now_ms(), opened.now_ms);
            let root = compared_root(holdings, &self.key, floor_ms).map_err(SessionError::Holdings)?;
            let began_equal = root == opened.root;
            self.changed_to = opened.log_end;
            self.opened = Some((opened, began_equal));
        }
        for split in reply.splits {
            check_within(&asked, &split.from, split.pieces.last().map_or(&split.from, |(_, to)| to))?;
            self.compare(holdings, &split).map_err(SessionError::Holdings)?;
        }
        for few in reply.few {
            check_within(&asked, &few.from, &few.to)?;
            self.meet_few(holdings, few).map_err(SessionError::Holdings)?;
        }
        if reply.listed.len() != asked.listed.len() {
            return Err(SessionError::Unfit("it does not answer each range that was listed"));
        }
        for (asked, listed) in asked.listed.into_iter().zip(reply.listed) {
            self.take_listed(asked, listed)?;
        }
        if reply.verdicts.len() != asked.offered.len() {
            return Err(SessionError::Unfit("it does not answer each record that was offered"));
        }
        let verdicts = asked.offered.into_iter().zip(reply.verdicts);
        let mut dropped = Vec::new();
        for (offered, verdict) in verdicts {
            match verdict {
                OfferEnd::Settled => {}
                OfferEnd::Drop => dropped.push(offered),
                OfferEnd::Failed => self.completeness = Completeness::Partial,
            }
        }
        if !dropped.is_empty() {
            self.tally.dropped += dropped.len() as u64;
            holdings.drop_versions(dropped).map_err(SessionError::Holdings)?;
        }
        self.take_records(holdings, reply.records).map_err(SessionError::Holdings)?;
        if asked.wanted {
            self.take_last(holdings, reply.tombstones, reply.more_tombstones, reply.changes)
                .map_err(SessionError::Holdings)?;
        }
        Ok(())
    }

    /// Takes tombstones, and what changed at the other node since the session began. A key that changes while ranges are walked may be
    /// missed by the walk, above all one that is deleted and written again: what it held at the opening would be claimed, though
    /// neither that nor anything newer is here.
    fn take_last<H: Holdings>(
        &mut self,
        holdings: &mut H,
        tombstones: Vec<Located>,
        are_more: bool,
        changes: Option<Changes>,
    ) -> Result<(), H::Error> {
        let behind = tombstones.last().map(|last| last.record.dot).filter(|_| are_more);
        self.take_records(holdings, tombstones)?;
        let Some(Changes { records, to, are_all }) = changes else {
            // Its log began again.
            self.completeness = Completeness::Partial;
            self.last = Last::Done;
            return Ok(());
        };
        self.changed_to = to;
        self.take_records(holdings, records)?;
        self.last = match behind {
            Some(dot) => Last::Tombstones(WantedTombstones::Behind(dot)),
            None if are_all => Last::Done,
            None => Last::Tombstones(WantedTombstones::Nothing),
        };
        Ok(())
    }

    /// How the session ended; `None` before [`Session::ask`] answered `None`.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        let (opened, began_equal) = self.opened.as_ref()?;
        let is_complete = self.completeness == Completeness::Complete && matches!(self.last, Last::Done);
        Some(Outcome {
            completeness: if is_complete { Completeness::Complete } else { Completeness::Partial },
            raise_to: is_complete.then(|| opened.vector.clone()),
            began_equal: *began_equal,
            peer_now_ms: opened.now_ms,
            tally: self.tally,
        })
    }

    fn ask_to_compare<H: Holdings>(
        &mut self,
        holdings: &mut H,
        request: &mut Request,
    ) -> Result<(), H::Error> {
        let mut pieces = 0;
        while pieces + FAN_OUT <= ASKED_PIECES_MAX {
            let Some(range) = self.differing.pop_front() else { break };
            let bounds = [range.from.clone(), range.to.clone()];
            let count = holdings.sums(&bounds)?.first().map_or(0, |sum| sum.count);
            if count <= LISTED_MAX {
                self.list_later(ToList { range, count, known: None });
                continue;
            }
            let split = split_range(holdings, &self.key, &range.from, &range.to)?;
            pieces += split.pieces.len();
            request.compare.push(split);
            self.asked.compared.push(range);
        }
        Ok(())
    }

    /// Queues a range for listing, together with the one before if they are neighbours.
    fn list_later(&mut self, next: ToList) {
        match self.listing.back_mut() {
            Some(last)
                if last.known.is_none()
                    && next.known.is_none()
                    && last.range.to == next.range.from
                    && last.count + next.count <= LISTED_TOGETHER_MAX =>
            {
                last.range.to = next.range.to;
                last.count += next.count;
            }
            _ => self.listing.push_back(next),
        }
    }

    fn ask_for_listed<H: Holdings>(
        &mut self,
        holdings: &mut H,
        request: &mut Request,
    ) -> Result<(), H::Error> {
        let mut ids_left = IDS_MAX;
        while ids_left >= LOOKED_AT_MAX && request.listed.len() < RANGES_MAX {
            let Some(mut to_list) = self.listing.pop_front() else { break };
            let mut keys = Vec::new();
            if to_list.known.is_none() {
                keys = holdings.items(&to_list.range.from, &to_list.range.to, LOOKED_AT_MAX)?;
                if let (LOOKED_AT_MAX, Some((last, _))) = (keys.len(), keys.last()) {
                    let next = behind(last);
                    let end = std::mem::replace(&mut to_list.range.to, next.clone());
                    let rest = Range { from: next, to: end };
                    self.listing.push_front(ToList { range: rest, count: u64::MAX, known: None });
                }
            }
            let ids = match &to_list.known {
                Some(known) => known.clone(),
                None => keys.iter().map(|(_, item)| self.key.id(*item)).collect(),
            };
            ids_left = ids_left.saturating_sub(ids.len());
            let Range { from, to } = &to_list.range;
            request.listed.push(Listing { from: from.clone(), to: to.clone(), ids });
            self.asked.listed.push(AskedListing { to_list, keys });
        }
        Ok(())
    }

    fn offer<H: Holdings>(&mut self, holdings: &mut H, request: &mut Request) -> Result<(), H::Error> {
        let mut bytes = 0;
        while bytes < RECORD_BYTES_TARGET && request.offered.len() < RECORDS_MAX {
            if self.offers.is_empty() {
                self.give(holdings)?;
            }
            let located = if let Some(deletion) = self.deletions.pop_front() {
                deletion
            } else if let Some((key, item)) = self.offers.pop_front() {
                match holdings.record(&key)? {
                    Some((held, located)) if held == item => located,
                    // Replaced meanwhile: the log brings the newer one.
                    _ => continue,
                }
            } else if self.gives.is_empty() {
                break;
            } else {
                continue;
            };
            bytes += wire_len(&located);
            self.asked.offered.push(Dropped::of(&located));
            request.offered.push(located);
        }
        let drops = self.drops.len().min(DROPS_MAX);
        request.dropped.extend(self.drops.drain(..drops));
        Ok(())
    }

    /// Finds the next records of a range of which the other node has few.
    fn give<H: Holdings>(&mut self, holdings: &mut H) -> Result<(), H::Error> {
        let Some(give) = self.gives.front_mut() else { return Ok(()) };
        let items = holdings.items(&give.range.from, &give.range.to, RECORDS_MAX)?;
        match items.last() {
            Some((last, _)) if items.len() == RECORDS_MAX => give.range.from = behind(last),
            _ => give.range.from.clone_from(&give.range.to),
        }
        let lacking = items.into_iter().filter(|(_, item)| !give.theirs.contains(&self.key.id(*item)));
        self.offers.extend(lacking);
        if give.range.from == give.range.to {
            self.gives.pop_front();
        }
        Ok(())
    }

    fn compare<H: Holdings>(&mut self, holdings: &mut H, split: &Split) -> Result<(), H::Error> {
        let bounds = split.bounds();
        let sums = holdings.sums(&bounds)?;
        for ((range, sum), (theirs, _)) in bounds.windows(2).zip(sums).zip(&split.pieces) {
            if let [from, to] = range
                && self.key.range(&sum) != *theirs
            {
                self.differing.push_back(Range { from: from.clone(), to: to.clone() });
            }
        }
        Ok(())
    }

    /// The other node has only a few records of a range: what is lacking here is asked for, all others are offered.
    fn meet_few<H: Holdings>(&mut self, holdings: &mut H, few: Listing) -> Result<(), H::Error> {
        let Listing { from, to, ids: theirs } = few;
        let many = usize::try_from(LISTED_TOGETHER_MAX).unwrap_or(usize::MAX);
        let own = holdings.items(&from, &to, many + 1)?;
        let range = || Range { from: from.clone(), to: to.clone() };
        if own.len() > many {
            self.listing.push_back(ToList { range: range(), count: 0, known: Some(Vec::new()) });
            self.gives.push_back(Give { range: range(), theirs });
            return Ok(());
        }
        let (both, lacking): (Vec<_>, Vec<_>) =
            own.into_iter().partition(|(_, item)| theirs.contains(&self.key.id(*item)));
        if both.len() < theirs.len() {
            let known = both.iter().map(|(_, item)| self.key.id(*item)).collect();
            self.listing.push_back(ToList { range: range(), count: 0, known: Some(known) });
        }
        self.offers.extend(lacking);
        Ok(())
    }

    fn take_listed<E: std::fmt::Display>(
        &mut self,
        asked: AskedListing,
        listed: Listed,
    ) -> Result<(), SessionError<E>> {
        let AskedListing { to_list, keys } = asked;
        let is_answered = |key: &[u8]| listed.resume.as_ref().is_none_or(|resume| key < resume.as_slice());
        let lacking =
            keys.into_iter().zip(listed.lacks).filter(|((key, _), lacks)| *lacks && is_answered(key));
        self.offers.extend(lacking.map(|(offer, _)| offer));
        let Some(resume) = listed.resume else { return Ok(()) };
        let ToList { range, count, known } = to_list;
        if resume < range.from || resume >= range.to {
            return Err(SessionError::Unfit("it goes on outside the range"));
        }
        self.listing.push_back(ToList { range: Range { from: resume, to: range.to }, count, known });
        Ok(())
    }

    fn take_records<H: Holdings>(&mut self, holdings: &mut H, records: Vec<Located>) -> Result<(), H::Error> {
        if records.is_empty() {
            return Ok(());
        }
        let theirs = records.clone();
        for (verdict, theirs) in holdings.take(records)?.into_iter().zip(theirs) {
            match verdict {
                Verdict::Settled => {}
                // Values stand in the digest and are found to be lacking there; tombstones do not.
                Verdict::Newer(held) => {
                    if held.record.kind != Kind::Value
                        && theirs.record.kind == Kind::Value
                        && is_worth_telling(&held, &theirs)
                    {
                        self.deletions.push_back(*held);
                    }
                }
                Verdict::Drop => self.drops.push_back(Dropped::of(&theirs)),
                Verdict::Withheld | Verdict::Failed => self.completeness = Completeness::Partial,
            }
        }
        Ok(())
    }
}

/// The first possible key behind this one.
fn behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

fn check_within<E: std::fmt::Display>(asked: &Asked, from: &[u8], to: &[u8]) -> Result<(), SessionError<E>> {
    let is_within =
        asked.compared.iter().any(|range| range.from.as_slice() <= from && to <= range.to.as_slice());
    if is_within { Ok(()) } else { Err(SessionError::Unfit("it is about a range that was not asked about")) }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
