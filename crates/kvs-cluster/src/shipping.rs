//! The stream of this node's log to one peer: one part at a time, from where the peer says it is.
//!
//! A part is sent as soon as there is one; what is written while it travels goes with the next. A peer that is slow or
//! away costs nothing but an old cursor.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use kvs_core::log_position::LogPosition;
use kvs_core::vector::Vector;
use kvs_protocol::call::CallId;
use kvs_protocol::wire::keyed_record::KeyedRecord;
use kvs_protocol::wire::relay::PART_BYTES_MAX;
use kvs_protocol::wire::replicate::ReplicateRequest;
use kvs_store::error::StoreError;
use kvs_store::read::log::{LogPass, PieceEnd};
use kvs_store::store::Store;

use crate::limits::{EMPTY_PIECES_MAX, PASS_TIME_MAX, PIECE, PLACES_MAX};

/// A pass over the log and when it began; peers that stand at the same place go through it together.
type Pass = (Arc<LogPass>, Duration);

/// Where a peer says it is: its cursor, and where that is in the log as it is now.
type Place = (Option<LogPosition>, u64);

/// The last part that was read: peers that stand at the same place are sent the very same bytes.
#[derive(Default)]
pub(crate) struct LastPiece(Option<Piece>);

/// A part, and what it was read for.
struct Piece {
    after_local_seq: u64,
    /// Where the pass ends.
    end_local_seq: u64,
    end: PieceEnd,
    pass: Weak<LogPass>,
    begun: Duration,
    /// As it was read; what the readers had received of the log's owner is what it leaves out.
    request: ReplicateRequest,
    /// Its bytes for readers that said that they are there, at most [`PLACES_MAX`].
    encoded: Vec<(Place, Bytes)>,
}

impl Piece {
    /// Whether it is what a reader is to get next that stands there, in the pass that it goes through, if it goes through one.
    fn suits(&self, after_local_seq: u64, pass: Option<&Pass>, store: &Store, now: Duration) -> bool {
        let is_of_pass = match pass {
            Some((pass, _)) => std::ptr::eq(self.pass.as_ptr(), Arc::as_ptr(pass)),
            None => self.end_local_seq == store.last_local_seq() && self.can_be_followed(now),
        };
        is_of_pass && self.after_local_seq == after_local_seq
    }

    /// Whether a reader can go on behind it.
    fn can_be_followed(&self, now: Duration) -> bool {
        let is_young = now.saturating_sub(self.begun) <= PASS_TIME_MAX;
        self.end == PieceEnd::Complete || (is_young && self.pass.strong_count() > 0)
    }

    /// The pass that a reader goes on in behind it; none behind the last part.
    fn rest(&self) -> Option<Pass> {
        let pass = self.pass.upgrade().filter(|_| self.end == PieceEnd::More);
        pass.map(|pass| (pass, self.begun))
    }

    /// Its bytes for a reader that is there: the same bytes for the same place.
    fn encoded(&mut self, place: Place) -> Bytes {
        if let Some((_, bytes)) = self.encoded.iter().find(|(encoded_for, _)| *encoded_for == place) {
            return bytes.clone();
        }
        (self.request.from, self.request.start_local_seq) = place;
        let bytes = Bytes::from(self.request.encode());
        if bytes.len() <= PART_BYTES_MAX {
            if self.encoded.len() == PLACES_MAX {
                self.encoded.remove(0);
            }
            self.encoded.push((place, bytes.clone()));
        }
        bytes
    }
}

/// Whether a peer has read on in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It has.
    Some,
    /// It stands where it stood, or elsewhere.
    None,
}

/// What travels.
struct InFlight {
    call: CallId,
    to: LogPosition,
}

/// The stream to one peer.
#[derive(Default)]
pub(crate) struct Shipping {
    /// Where the peer said it is, and where that is in the log as it is now; `None` until it said so.
    told: Option<Place>,
    /// Up to where the log holds nothing more to send, or was sent and acknowledged.
    at_local_seq: u64,
    /// What the peer has received.
    received: Vector,
    pass: Option<Pass>,
    in_flight: Option<InFlight>,
}

impl Shipping {
    /// Whether the peer said where it is since it was last away.
    pub(crate) const fn is_told(&self) -> bool {
        self.told.is_some()
    }

    /// Whether a part travels.
    pub(crate) const fn is_busy(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Up to where the peer has read the log; 0 while that is not known.
    pub(crate) const fn read_local_seq(&self) -> u64 {
        if self.told.is_some() { self.at_local_seq } else { 0 }
    }

    /// What the peer has received.
    pub(crate) const fn received(&self) -> &Vector {
        &self.received
    }

    /// Takes what the peer says about itself outside of the stream.
    pub(crate) fn note_standing(&mut self, cursor: Option<LogPosition>, vector: Vector, store: &Store) {
        if self.in_flight.is_some() {
            return;
        }
        if self.told.is_none() {
            self.received = vector;
        } else {
            // An answer that was overtaken must not take back what is known.
            self.received.join(&vector);
        }
        if self.told.is_none_or(|(told, _)| told != cursor) {
            let at = store.standing().resume(cursor);
            self.told = Some((cursor, at));
            self.at_local_seq = at;
            self.pass = None;
        }
    }

    /// Forgets where the peer is: it was away, and may come back as another.
    pub(crate) fn lose(&mut self) {
        *self = Self { received: std::mem::take(&mut self.received), ..Self::default() };
    }

    /// The next part, a [`ReplicateRequest`], if there is one and none travels; `call` names it.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    pub(crate) fn next(
        &mut self,
        store: &Store,
        call: CallId,
        now: Duration,
        last: &mut LastPiece,
    ) -> Result<Option<Bytes>, StoreError> {
        let Some(place) = self.told.filter(|_| self.in_flight.is_none()) else { return Ok(None) };
        let left_out = self.received.of_node(store.node());
        for _ in 0..EMPTY_PIECES_MAX {
            if self.pass.as_ref().is_some_and(|(_, begun)| now.saturating_sub(*begun) > PASS_TIME_MAX) {
                self.pass = None;
            }
            let same = last.0.as_mut().filter(|piece| {
                piece.request.left_out == left_out
                    && piece.suits(self.at_local_seq, self.pass.as_ref(), store, now)
            });
            if let Some(piece) = same {
                self.pass = piece.rest();
                self.in_flight = Some(InFlight { call, to: piece.request.to });
                return Ok(Some(piece.encoded(place)));
            }
            let (pass, begun) = match self.pass.take() {
                Some(pass) => pass,
                None if self.at_local_seq >= store.last_local_seq() => return Ok(None),
                None => (Arc::new(LogPass::begin(store.view()?)?), now),
            };
            let piece = pass.next(self.at_local_seq, &self.received, PIECE)?;
            let to = LogPosition { epoch: pass.origin().epoch, local_seq: piece.to_local_seq };
            let claim = match piece.end {
                PieceEnd::Complete => pass.claim().clone(),
                PieceEnd::More => Vector::default(),
            };
            let (weak, end_local_seq) = (Arc::downgrade(&pass), pass.end_local_seq());
            self.pass = (piece.end == PieceEnd::More).then_some((pass, begun));
            if piece.records.is_empty() && self.received.covers_all(&claim) {
                self.at_local_seq = to.local_seq;
                continue;
            }
            let records = piece.records.into_iter();
            let records = records
                .map(|(key, record)| KeyedRecord { namespace: key.namespace, path: key.path, record })
                .collect();
            let (from, start_local_seq) = place;
            let piece = last.0.insert(Piece {
                after_local_seq: self.at_local_seq,
                end_local_seq,
                end: piece.end,
                pass: weak,
                begun,
                request: ReplicateRequest { from, start_local_seq, to, left_out, claim, records },
                encoded: Vec::new(),
            });
            self.in_flight = Some(InFlight { call, to });
            return Ok(Some(piece.encoded(place)));
        }
        Ok(None)
    }

    /// Whether this call is the part that travels.
    pub(crate) fn is_of(&self, call: CallId) -> bool {
        self.in_flight.as_ref().is_some_and(|part| part.call == call)
    }

    /// The part arrived, and the peer says where it is now. Answers whether it moved on: it does not when it was elsewhere
    /// than it was taken to be, or when something in the part was void.
    pub(crate) fn acknowledge(
        &mut self,
        cursor: Option<LogPosition>,
        vector: Vector,
        store: &Store,
    ) -> Progress {
        let Some(part) = self.in_flight.take() else { return Progress::None };
        // It says nothing of other nodes' writes here.
        self.received.replace_node(store.node(), &vector);
        if cursor == Some(part.to) {
            self.told = Some((cursor, part.to.local_seq));
            self.at_local_seq = part.to.local_seq;
            return Progress::Some;
        }
        let at = store.standing().resume(cursor);
        self.told = Some((cursor, at));
        self.at_local_seq = at;
        self.pass = None;
        Progress::None
    }

    /// The part did not arrive, as far as anybody knows: where the peer is must be asked.
    pub(crate) fn fail(&mut self) {
        self.lose();
    }
}
