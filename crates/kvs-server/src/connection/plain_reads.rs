//! Serves a connection for as long as it sends plain reads, straight from its bytes to answers.
//!
//! Reads of single keys are most of what a node is asked, and of such a read most of the time went into turning bytes
//! into a request and a response into bytes. Here both are one step. The first request that is anything else hands the
//! connection over to the full parser, with every byte not answered yet, and it stays there: so there is never a doubt
//! about who reads a byte, or whose answer comes next.

use std::io;
use std::task::{Context, Poll, ready};

use super::activity::{Activity, Order};
use super::plain_head::{Seen, recognise};
use super::wire::{Filled, Wire};
use crate::http::door::Door;
use crate::http::plain::{Plain, PlainAnswers};
use crate::limits::OUTBOX_BYTES_MAX;

/// Why a connection is served here no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parting {
    /// The full parser goes on with the bytes that wait.
    HandOver,
    /// The connection has ended.
    Ended,
}

/// A connection that has sent plain reads only.
pub(crate) struct PlainReads<'a> {
    wire: &'a mut Wire,
    answers: PlainAnswers<'a>,
    activity: &'a Activity,
}

impl<'a> PlainReads<'a> {
    /// A connection from its first byte.
    pub(crate) fn new(wire: &'a mut Wire, door: &'a Door, activity: &'a Activity) -> Self {
        Self { wire, answers: PlainAnswers::new(door), activity }
    }

    /// Serves what comes; ready when the connection is served here no longer.
    ///
    /// # Errors
    ///
    /// What the socket says: the client is gone.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>, order: Order) -> Poll<io::Result<Parting>> {
        loop {
            let answered = self.answer_waiting();
            if answered == Answered::Foreign || (order == Order::Drain && !self.wire.waiting().is_empty()) {
                return Poll::Ready(Ok(Parting::HandOver));
            }
            // Not before its answers are on their way is a client read from again.
            ready!(self.wire.outbox().poll_send(context))?;
            if answered == Answered::Enough {
                continue;
            }
            if order == Order::Drain {
                return Poll::Ready(Ok(Parting::Ended));
            }
            match ready!(self.wire.poll_fill(context))? {
                Filled::Some => self.activity.has_read(),
                Filled::Full => return Poll::Ready(Ok(Parting::HandOver)),
                Filled::End => return Poll::Ready(Ok(Parting::Ended)),
            }
        }
    }

    /// Answers the whole plain reads among the bytes that wait.
    fn answer_waiting(&mut self) -> Answered {
        if self.wire.waiting().is_empty() {
            return Answered::All;
        }
        let outbox = std::sync::Arc::clone(self.wire.outbox());
        outbox.put(|out| {
            let mut count = 0_usize;
            loop {
                let waiting = self.wire.waiting();
                if waiting.is_empty() {
                    self.activity.is_idle();
                    return Answered::All;
                }
                if out.len() >= OUTBOX_BYTES_MAX {
                    return Answered::Enough;
                }
                let length = match recognise(waiting) {
                    Seen::Foreign => return Answered::Foreign,
                    Seen::Partial => {
                        if count > 0 {
                            self.activity.begins_head();
                        }
                        return Answered::All;
                    }
                    Seen::Plain(read) => match self.answers.answer(&read, out) {
                        Plain::Answered => read.length,
                        Plain::HandOver => return Answered::Foreign,
                    },
                };
                self.wire.consume(length);
                count += 1;
            }
        })
    }
}

/// How far the waiting bytes were answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answered {
    /// Every whole request.
    All,
    /// So many that the answers must be sent first.
    Enough,
    /// Up to a request for the full parser.
    Foreign,
}
