//! What a server answered, as far as the load generator cares.

/// One complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Whether it reports success (HTTP 2xx; RESP neither an error nor nil).
    pub(crate) success: bool,
    /// HTTP status; 0 for RESP.
    pub(crate) status: u16,
    /// Length of the body or bulk string in bytes.
    pub(crate) body_bytes: usize,
}

/// What the bytes so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More bytes must come.
    Incomplete,
    /// The answer is complete; the reader is ready for the next one.
    Complete(Answer),
    /// This is no answer that the reader understands, or more than one answer for one request.
    Broken(&'static str),
}

/// The body of an answer of which the head said `expected` bytes: how many are still to come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pending {
    /// The answer, once the rest is there.
    pub(crate) answer: Answer,
    /// Bytes still to come.
    pub(crate) missing: usize,
}

impl Pending {
    /// Counts the bytes that arrived; gives itself back while some are missing.
    pub(crate) fn take(self, arrived: usize) -> (Option<Self>, Progress) {
        match self.missing.checked_sub(arrived) {
            Some(0) => (None, Progress::Complete(self.answer)),
            Some(missing) => (Some(Self { missing, ..self }), Progress::Incomplete),
            None => (None, Progress::Broken("more bytes than one answer")),
        }
    }
}
