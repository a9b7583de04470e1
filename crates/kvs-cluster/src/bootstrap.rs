//! How a node begins: it fetches everything from one peer, and goes on where it was after a restart.
//!
//! First comes what values depend on, metadata and accounts, then the recent values, then the older ones. Clients may read
//! while it fetches: a value that came before its metadata would be shown to whoever has no right to it, and a revoked
//! token would be taken until its revocation came.
//!
//! At the end the node has, of everything that the source claimed before each of its pages, each version or a newer one; so
//! it may claim that, unless some of what came had to wait or was void: then it holds nothing of those keys, or something
//! older, and claims nothing at all. When the source is lost on the way, another one goes on with the keys that are left, and what may
//! be claimed is what both had.
//!
//! | bytes | field of the note |
//! | --- | --- |
//! | 1 | version, 1 |
//! | 1 | 0 done; 1 fetching |
//! | 1 | pass: 3 what values depend on, 4 recent values, 5 older ones; with any other the fetching begins again |
//! | 8 | the moment that divides them, ms since 1970 |
//! | 8 | records fetched |
//! | 2 + n | the last key fetched |
//! | 1 + n | 1 and the claim, or 0 and none |

use std::time::Duration;

use bytes::Bytes;
use kvs_core::cursor::{Cursor, EndsEarly};
use kvs_core::log_position::LogPosition;
use kvs_core::namespace::Namespace;
use kvs_core::vector::Vector;
use kvs_protocol::call::CallId;
use kvs_protocol::wire::page::{PageOf, PageReply, PageRequest};
use kvs_store::commit::mark::{Mark, Note};
use kvs_store::commit::write::{Outcome, Transaction};
use kvs_store::error::StoreError;
use kvs_store::store::Store;
use uuid::Uuid;

use crate::limits::PROGRESS_INTERVAL;
use crate::receive;
use crate::report::BootstrapReport;

const VERSION: u8 = 1;

/// Part of the fetching; each begins where the one before ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Pass {
    /// All namespaces but that of the values.
    Rights = 3,
    /// Values that were stamped since the moment.
    Recent = 4,
    /// Values that were stamped before it.
    Older = 5,
}

impl Pass {
    const fn from_number(number: u8) -> Option<Self> {
        match number {
            3 => Some(Self::Rights),
            4 => Some(Self::Recent),
            5 => Some(Self::Older),
            _ => None,
        }
    }

    const fn next(self) -> Option<Self> {
        match self {
            Self::Rights => Some(Self::Recent),
            Self::Recent => Some(Self::Older),
            Self::Older => None,
        }
    }

    /// Whether a row key lies behind the last one of this pass.
    fn is_behind(self, row_key: &[u8]) -> bool {
        self != Self::Rights && row_key.first().is_some_and(|number| *number > Namespace::Data.number())
    }
}

/// The peer that is fetched from.
#[derive(Debug, Clone, Copy)]
struct Source {
    node: Uuid,
    /// The end of its log when it was chosen; `None` until it said so.
    log_end: Option<LogPosition>,
}

/// What a reply brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is more. The next page is asked for at once where this one held nothing.
    GoesOn {
        /// Whether it held nothing.
        is_empty: bool,
    },
    /// Everything is there.
    Done,
}

/// Where a bootstrap is.
struct Place {
    pass: Pass,
    after: Vec<u8>,
    fetched: u64,
}

/// A bootstrap under way.
#[derive(Clone)]
pub(crate) struct Bootstrap {
    source: Option<Source>,
    /// Whether the fetching began with this source; only then is its log read up to where it was.
    is_whole: bool,
    pass: Pass,
    moment_ms: u64,
    after: Vec<u8>,
    claim: Option<Vector>,
    fetched: u64,
    total: u64,
    pub(crate) in_flight: Option<CallId>,
    pub(crate) next_at: Duration,
    told_at: Duration,
}

impl Bootstrap {
    /// The bootstrap that this node still has before it; `None` when it is done.
    ///
    /// # Errors
    ///
    /// The note cannot be read.
    pub(crate) fn recall(store: &Store, moment_ms: u64) -> Result<Option<Self>, StoreError> {
        let fresh = Self {
            source: None,
            is_whole: true,
            pass: Pass::Rights,
            moment_ms,
            after: Vec::new(),
            claim: None,
            fetched: 0,
            total: 0,
            in_flight: None,
            next_at: Duration::ZERO,
            told_at: Duration::ZERO,
        };
        let Some(note) = store.note(Note::Bootstrap)? else { return Ok(Some(fresh)) };
        match read_note(&note) {
            Ok(None) => Ok(None),
            Ok(Some((pass, moment_ms, fetched, after, claim))) => {
                let is_whole = claim.is_none();
                Ok(Some(Self { pass, moment_ms, fetched, after, claim, is_whole, ..fresh }))
            }
            Err(EndsEarly) => {
                tracing::warn!("the note of the bootstrap cannot be read: it begins again");
                Ok(Some(fresh))
            }
        }
    }

    /// The note of a node that has nothing to fetch.
    pub(crate) fn done_note() -> Mark {
        Mark::Note(Note::Bootstrap, vec![VERSION, 0])
    }

    /// The peer that is fetched from.
    pub(crate) fn source(&self) -> Option<Uuid> {
        self.source.map(|source| source.node)
    }

    /// Whether some of it has been fetched.
    pub(crate) fn is_begun(&self) -> bool {
        self.pass != Pass::Rights || !self.after.is_empty()
    }

    /// Fetches from this peer from now on.
    pub(crate) fn choose(&mut self, node: Uuid) {
        self.source = Some(Source { node, log_end: None });
        self.in_flight = None;
    }

    /// The source is lost.
    pub(crate) fn lose_source(&mut self) {
        self.source = None;
        self.in_flight = None;
        if self.is_begun() {
            self.is_whole = false;
        }
    }

    /// What to ask the source next.
    pub(crate) fn request(&self) -> PageRequest {
        let (of, moment_ms) = match (self.source, self.pass) {
            (Some(Source { log_end: Some(_), .. }), Pass::Recent) => (PageOf::Recent, self.moment_ms),
            (Some(Source { log_end: Some(_), .. }), Pass::Older) => (PageOf::Older, self.moment_ms),
            // However old they are.
            (Some(Source { log_end: Some(_), .. }), Pass::Rights) => (PageOf::Recent, 0),
            _ => (PageOf::Nothing, self.moment_ms),
        };
        let after = match self.pass {
            // No row key is as short as this.
            Pass::Rights if self.after.is_empty() => vec![Namespace::Data.number() + 1],
            _ => self.after.clone(),
        };
        PageRequest { of, moment_ms, after }
    }

    /// Takes a page as it came. Blocks.
    ///
    /// # Errors
    ///
    /// It cannot be read or committed, as a sentence; nothing of it was taken.
    pub(crate) fn take_bytes(&mut self, store: &Store, page: &Bytes, now: Duration) -> Result<Step, String> {
        let page = PageReply::decode(page).map_err(|error| error.to_string())?;
        self.take(store, page, now).map_err(|error| error.to_string())
    }

    /// Takes a page.
    ///
    /// # Errors
    ///
    /// It cannot be committed; nothing of it was.
    fn take(&mut self, store: &Store, reply: PageReply, now: Duration) -> Result<Step, StoreError> {
        self.in_flight = None;
        let mut done = Step::GoesOn { is_empty: reply.records.is_empty() };
        let Some(source) = &mut self.source else { return Ok(done) };
        self.total = reply.keys;
        if source.log_end.is_none() {
            source.log_end = Some(reply.log_end);
            // Whoever was asked before had received less or other things: only what both had may be claimed.
            self.claim =
                Some(self.claim.as_ref().map_or(reply.vector.clone(), |before| before.meet(&reply.vector)));
            return Ok(done);
        }
        let (node, log_end) = (source.node, source.log_end);
        // The source may have gone back to an older copy, or let something wait, since the page before: only what it held
        // before each page was read may be claimed.
        self.claim = self.claim.take().map(|before| before.meet(&reply.vector));
        self.is_whole &= log_end.is_some_and(|end| end.epoch == reply.log_end.epoch);
        let received = receive::receive(reply.records);
        if received.unfit > 0 {
            // Something is missing, so nothing may be claimed; sessions find what it is.
            self.claim = Some(Vector::default());
            self.is_whole = false;
        }
        let mut next = Place {
            pass: self.pass,
            after: self.after.clone(),
            fetched: self.fetched + received.writes.len() as u64,
        };
        // Before anything is noted of it: what became of it decides what may be claimed. A page that was taken and not noted
        // is fetched again.
        let outcomes = store.commit(received.writes)?;
        if outcomes.iter().any(|it| matches!(it, Outcome::Parked | Outcome::Voided | Outcome::Left)) {
            self.claim = Some(Vector::default());
            self.is_whole = false;
        }
        if !reply.last.is_empty() && !self.pass.is_behind(&reply.last) {
            next.after = reply.last;
        } else if let Some(pass) = self.pass.next() {
            (next.pass, next.after) = (pass, Vec::new());
        } else {
            done = Step::Done;
        }
        let mut marks = Vec::new();
        if done == Step::Done {
            marks.push(Mark::Raise(self.claim.clone().unwrap_or_default()));
            if let Some(to) = log_end.filter(|_| self.is_whole) {
                marks.push(Mark::SetCursor { peer: node, to });
            }
            marks.push(Self::done_note());
        } else {
            marks.push(self.note(&next));
        }
        store.commit(Transaction { writes: Vec::new(), marks })?;
        // Only now: a page that could not be committed is fetched again.
        (self.pass, self.after, self.fetched) = (next.pass, next.after, next.fetched);
        if done == Step::Done || now.saturating_sub(self.told_at) >= PROGRESS_INTERVAL {
            self.told_at = now;
            let (fetched, total) = (self.fetched, self.total);
            tracing::info!(fetched, total, is_done = done == Step::Done, "fetching what the cluster holds");
        }
        Ok(done)
    }

    pub(crate) const fn report(&self) -> BootstrapReport {
        BootstrapReport { fetched: self.fetched, total: self.total }
    }

    fn note(&self, place: &Place) -> Mark {
        let mut out = vec![VERSION, 1, place.pass as u8];
        out.extend_from_slice(&self.moment_ms.to_be_bytes());
        out.extend_from_slice(&place.fetched.to_be_bytes());
        out.extend_from_slice(&u16::try_from(place.after.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(&place.after);
        match &self.claim {
            Some(claim) => {
                out.push(1);
                claim.encode_into(&mut out);
            }
            None => out.push(0),
        }
        Mark::Note(Note::Bootstrap, out)
    }
}

type Noted = (Pass, u64, u64, Vec<u8>, Option<Vector>);

fn read_note(note: &Bytes) -> Result<Option<Noted>, EndsEarly> {
    let mut cursor = Cursor::new(note);
    if cursor.u8()? != VERSION {
        return Err(EndsEarly);
    }
    if cursor.u8()? == 0 {
        return Ok(None);
    }
    let pass = Pass::from_number(cursor.u8()?).ok_or(EndsEarly)?;
    let (moment_ms, fetched) = (cursor.u64()?, cursor.u64()?);
    let after_len = cursor.u16()?;
    let after = cursor.take(usize::from(after_len))?.to_vec();
    let claim = match cursor.u8()? {
        0 => None,
        _ => Some(Vector::decode(&mut cursor)?),
    };
    Ok(Some((pass, moment_ms, fetched, after, claim)))
}

#[cfg(test)]
mod tests {
    use super::{Bootstrap, Step};
    use kvs_core::log_position::LogPosition;
    use kvs_core::origin::{Dot, Origin};
    use kvs_core::vector::Vector;
    use kvs_protocol::wire::page::PageReply;
    use kvs_store::clock::Clock;
    use kvs_store::engine::device::Device;
    use kvs_store::medium::MemoryMedium;
    use kvs_store::observer::Silent;
    use kvs_store::settings::Settings;
    use kvs_store::store::Store;
    use std::sync::Arc;
    use std::time::Duration;
    use uuid::Uuid;

    const SOURCE: Uuid = Uuid::from_u128(2);
    const WRITER: Origin = Origin { node: Uuid::from_u128(3), epoch: 4 };

    struct Still;

    impl Clock for Still {
        fn now_ms(&self) -> u64 {
            1_800_000_000_000
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    /// What a source that covers so many writes says before an empty page.
    fn says(seq: u64, epoch: u64) -> PageReply {
        PageReply {
            log_end: LogPosition { epoch, local_seq: 9 },
            vector: [(WRITER, seq)].into_iter().collect(),
            keys: 0,
            last: Vec::new(),
            records: Vec::new(),
        }
    }

    /// What a node holds, and how far it read its source's log, that began from one that said this, page by page.
    fn begun(pages: [PageReply; 4]) -> (Vector, Option<LogPosition>) {
        let medium = Box::new(MemoryMedium { device: Device::new() });
        let clock = Arc::new(Still);
        let store =
            Store::open_inline(medium, Settings::default(), clock, Arc::new(Silent), [7; 32]).unwrap();
        let mut bootstrap = Bootstrap::recall(&store, 0).unwrap().unwrap();
        bootstrap.choose(SOURCE);
        let steps = pages.map(|page| bootstrap.take(&store, page, Duration::ZERO).unwrap());
        let goes_on = Step::GoesOn { is_empty: true };
        assert_eq!(steps, [goes_on, goes_on, goes_on, Step::Done]);
        (store.vector(), store.standing().cursors.get(&SOURCE).copied())
    }

    #[test]
    fn what_the_source_said_before_every_page_is_claimed() {
        let (vector, read) = begun([says(5, 1), says(6, 1), says(7, 1), says(8, 1)]);
        assert!(vector.covers(&Dot { origin: WRITER, seq: 5 }));
        assert!(!vector.covers(&Dot { origin: WRITER, seq: 6 }));
        assert_eq!(read, Some(LogPosition { epoch: 1, local_seq: 9 }));
    }

    #[test]
    fn what_a_source_forgot_on_the_way_is_not_claimed() {
        // Its directory was put back between two pages, so that the pages after that lack what it had said to have.
        for went_back in 1..4 {
            let page = |number: usize| if number < went_back { says(5, 1) } else { says(2, 6) };
            let (vector, read) = begun([page(0), page(1), page(2), page(3)]);
            assert_eq!(vector.seq(&WRITER), 2, "before page {went_back}");
            assert_eq!(read, None, "before page {went_back}");
        }
        // It has it again: the page between lacked it all the same.
        let (vector, _) = begun([says(5, 1), says(2, 6), says(5, 6), says(5, 6)]);
        assert_eq!(vector.seq(&WRITER), 2);
    }
}
