//! The stream of this node's log to one peer: one part at a time, from where the peer says it is.
//!
//! A part is sent as soon as there is one; what is written while it travels goes with the next. A peer that is slow or
//! away costs nothing but an old cursor.

use std::time::Duration;

use kvs_core::log_position::LogPosition;
use kvs_core::vector::Vector;
use kvs_protocol::call::CallId;
use kvs_protocol::wire::keyed_record::KeyedRecord;
use kvs_protocol::wire::replicate::ReplicateRequest;
use kvs_store::error::StoreError;
use kvs_store::read::log::{LogPass, PieceEnd};
use kvs_store::store::Store;
use uuid::Uuid;

use crate::limits::{EMPTY_PIECES_MAX, PASS_TIME_MAX, PIECE};

/// The last complete part that was read: peers that stand at the same place are sent the same one.
#[derive(Default)]
pub(crate) struct LastPiece(Option<(PieceOf, Vec<KeyedRecord>, LogPosition, Vector)>);

/// What a part was read for.
#[derive(Debug, PartialEq, Eq)]
struct PieceOf {
    after_local_seq: u64,
    end_local_seq: u64,
    /// What the reader had received of the log's owner.
    received: Vector,
}

impl PieceOf {
    fn new(after_local_seq: u64, end_local_seq: u64, received: &Vector, node: Uuid) -> Self {
        Self { after_local_seq, end_local_seq, received: received.of_node(node) }
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
    told: Option<(Option<LogPosition>, u64)>,
    /// Up to where the log holds nothing more to send, or was sent and acknowledged.
    at_local_seq: u64,
    /// What the peer has received.
    received: Vector,
    pass: Option<(LogPass, Duration)>,
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

    /// The next part, if there is one and none travels; `call` names it.
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
    ) -> Result<Option<ReplicateRequest>, StoreError> {
        let Some((cursor, start_local_seq)) = self.told.filter(|_| self.in_flight.is_none()) else {
            return Ok(None);
        };
        for _ in 0..EMPTY_PIECES_MAX {
            if self.pass.as_ref().is_some_and(|(_, begun)| now.saturating_sub(*begun) > PASS_TIME_MAX) {
                self.pass = None;
            }
            if self.pass.is_none() {
                let log_end = store.last_local_seq();
                let wanted = PieceOf::new(self.at_local_seq, log_end, &self.received, store.node());
                if let Some((of, records, to, claim)) = &last.0
                    && *of == wanted
                {
                    let (records, to, claim) = (records.clone(), *to, claim.clone());
                    self.in_flight = Some(InFlight { call, to });
                    let from = cursor;
                    let left_out = wanted.received;
                    return Ok(Some(ReplicateRequest {
                        from,
                        start_local_seq,
                        to,
                        left_out,
                        claim,
                        records,
                    }));
                }
            }
            let pass = match self.pass.take() {
                Some((pass, begun)) => self.pass.insert((pass, begun)),
                None if self.at_local_seq >= store.last_local_seq() => return Ok(None),
                None => self.pass.insert((LogPass::begin(store.view()?)?, now)),
            };
            let (pass, _) = &*pass;
            let piece = pass.next(self.at_local_seq, &self.received, PIECE)?;
            let to = LogPosition { epoch: pass.origin().epoch, local_seq: piece.to_local_seq };
            let claim = match piece.end {
                PieceEnd::Complete => pass.claim().clone(),
                PieceEnd::More => Vector::default(),
            };
            if piece.end == PieceEnd::Complete {
                self.pass = None;
            }
            if piece.records.is_empty() && self.received.covers_all(&claim) {
                self.at_local_seq = to.local_seq;
                continue;
            }
            let records: Vec<KeyedRecord> = piece
                .records
                .into_iter()
                .map(|(key, record)| KeyedRecord { namespace: key.namespace, path: key.path, record })
                .collect();
            if piece.end == PieceEnd::Complete {
                let of = PieceOf::new(self.at_local_seq, to.local_seq, &self.received, store.node());
                last.0 = Some((of, records.clone(), to, claim.clone()));
            }
            self.in_flight = Some(InFlight { call, to });
            let from = cursor;
            let left_out = self.received.of_node(store.node());
            return Ok(Some(ReplicateRequest { from, start_local_seq, to, left_out, claim, records }));
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
