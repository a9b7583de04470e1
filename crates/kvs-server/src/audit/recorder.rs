//! What is written into the audit trail, and when.
//!
//! What clients change is noted by the committer before it is committed, and nobody is answered before both are on the
//! disk; the two syncs run side by side. What is refused is noted as it is refused, up to so many a second. Never a value
//! and never a token: a user, a key, a result and the id of the request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::Method;
use kvs_audit::audit_log::{AuditLog, SyncTicket};
use kvs_audit::event::{Event, EventKind, Outcome};
use kvs_auth::accounts::place::Place;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_store::clock::Clock;
use kvs_store::observer::{Act, Deed, RecordedEnd};

use crate::clock::SystemClock;
use crate::routes::{self, Route};

/// Writes into the audit trail, once it is open; nothing where there is none.
#[derive(Debug)]
pub(crate) struct Recorder {
    log: OnceLock<Arc<AuditLog>>,
    /// Whether there is to be a trail that could not be opened yet.
    awaited: AtomicBool,
    /// What the running commit must wait for.
    ticket: Mutex<Option<SyncTicket>>,
    clock: SystemClock,
}

impl Recorder {
    /// A recorder without a trail.
    pub(crate) fn new(clock: SystemClock) -> Self {
        Self { log: OnceLock::new(), awaited: AtomicBool::new(false), ticket: Mutex::default(), clock }
    }

    /// Records into this trail from now on.
    pub(crate) fn begin(&self, log: Arc<AuditLog>) {
        // It is set once: a node has one trail.
        drop(self.log.set(log));
        self.awaited.store(false, Ordering::Release);
    }

    /// Lets nothing be done that must be noted until there is a trail.
    pub(crate) fn await_trail(&self) {
        self.awaited.store(true, Ordering::Release);
    }

    /// Whether there is to be a trail that could not be opened yet.
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Acquire)
    }

    /// The trail, if there is one.
    pub(crate) fn log(&self) -> Option<&Arc<AuditLog>> {
        self.log.get()
    }

    /// Notes what is about to be committed.
    ///
    /// # Errors
    ///
    /// It cannot be noted: it must not be committed.
    pub(crate) fn recording(&self, acts: &[Act]) -> Result<(), String> {
        let Some(log) = self.log() else {
            return if self.is_awaited() { Err("it could not be opened yet".to_owned()) } else { Ok(()) };
        };
        let now_ms = self.clock.now_ms();
        let events: Vec<Event<'_>> = acts.iter().map(|act| event_of(act, now_ms)).collect();
        let ticket = log.record(&events).map_err(|error| error.to_string())?;
        *self.ticket.lock().unwrap_or_else(PoisonError::into_inner) = Some(ticket);
        Ok(())
    }

    /// Returns once what was noted last is on the disk.
    ///
    /// # Errors
    ///
    /// It is not.
    pub(crate) fn recorded(&self, end: RecordedEnd) -> Result<(), String> {
        let ticket = self.ticket.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(log), Some(ticket)) = (self.log(), ticket) else { return Ok(()) };
        if end == RecordedEnd::Failed {
            let failed = Event {
                detail: Some("the writes noted last before this were not committed, or nobody knows"),
                ..Event::new(self.clock.now_ms(), EventKind::CommitFailed, "")
            };
            log.note(&[failed]).map_err(|error| error.to_string())?;
        }
        log.wait(ticket).map_err(|error| error.to_string())
    }

    /// Notes that a token was not good.
    pub(crate) fn login_failed(&self, address: &str, request: &str, reason: &str) {
        self.note_public(&Event {
            subject: Some(address),
            request_id: Some(request),
            outcome: Outcome::Refused(reason),
            ..Event::new(self.clock.now_ms(), EventKind::LoginFailed, "")
        });
    }

    /// Notes that a known caller was refused what it asked for: method and target, without the query.
    pub(crate) fn denied(&self, who: &str, address: &str, request: &str, asked: (&Method, &str)) {
        let (method, target) = asked;
        let asked = format!("{method} {target}");
        let key = key_of(method, target);
        self.note_public(&Event {
            path: key.as_ref().map(Path::as_str),
            subject: Some(address),
            request_id: Some(request),
            outcome: Outcome::Refused("forbidden"),
            detail: Some(&asked),
            ..Event::new(self.clock.now_ms(), EventKind::Denied, who)
        });
    }

    /// Notes what the node does of itself, or an administrator with it.
    pub(crate) fn note(&self, kind: EventKind, who: &str, detail: &str) {
        let Some(log) = self.log() else { return };
        let event = Event { detail: Some(detail), ..Event::new(self.clock.now_ms(), kind, who) };
        if let Err(error) = log.note(&[event]) {
            tracing::error!(%error, "the audit trail cannot be written");
        }
    }

    /// Notes the end of the node, puts everything on the disk and signs it.
    pub(crate) fn end(&self) {
        self.note(EventKind::Stop, "", "");
        if let Some(log) = self.log()
            && let Err(error) = log.checkpoint_now(self.clock.now_ms())
        {
            tracing::error!(%error, "the audit trail could not be signed at the end");
        }
    }

    fn note_public(&self, event: &Event<'_>) {
        let Some(log) = self.log() else { return };
        if let Err(error) = log.note_public(event) {
            tracing::error!(%error, "the audit trail cannot be written");
        }
    }
}

/// The key that a request is about, where it names one: the one that its handler would have read.
fn key_of(method: &Method, target: &str) -> Option<Path> {
    match routes::route(method, target) {
        // A version's uuid at the end of a history's path may be a part of the key, and stays.
        Ok(
            Route::Read(raw)
            | Route::Write(raw)
            | Route::Delete(raw)
            | Route::History(raw)
            | Route::Restore(raw, _)
            | Route::Metadata(raw)
            | Route::SetMetadata(raw),
        ) => Path::parse_encoded(raw.as_bytes()).ok(),
        _ => None,
    }
}

/// A change as the trail tells it. What a change of accounts is about is told by its path in their namespace.
fn event_of(act: &Act, now_ms: u64) -> Event<'_> {
    let path = act.key.path.as_str();
    let is_account = act.key.namespace == Namespace::Auth;
    Event {
        path: (!is_account).then_some(path),
        subject: is_account.then_some(path),
        request_id: Some(&act.request),
        version: Some(act.written.version.uuid),
        origin_seq: Some(act.written.dot.seq),
        ..Event::new(now_ms, kind_of(act), act.author.as_str())
    }
}

fn kind_of(act: &Act) -> EventKind {
    match (act.key.namespace, act.deed) {
        (Namespace::Meta, _) => EventKind::Metadata,
        (Namespace::Auth, deed) => account_kind(Place::parse(act.key.path.as_str()), deed),
        (Namespace::Data | Namespace::Cluster, Deed::Create | Deed::Replace) => EventKind::Put,
        (Namespace::Data | Namespace::Cluster, Deed::Delete) => EventKind::Delete,
    }
}

const fn account_kind(place: Option<Place>, deed: Deed) -> EventKind {
    match (place, deed) {
        (Some(Place::User(_)), Deed::Create) => EventKind::UserCreated,
        (Some(Place::User(_)), Deed::Replace) => EventKind::UserUpdated,
        (Some(Place::User(_)), Deed::Delete) => EventKind::UserDeleted,
        (Some(Place::Group(_)), Deed::Create) => EventKind::GroupCreated,
        (Some(Place::Group(_)), Deed::Replace) => EventKind::GroupUpdated,
        (Some(Place::Group(_)), Deed::Delete) => EventKind::GroupDeleted,
        (Some(Place::Token(_)), _) => EventKind::TokenIssued,
        (Some(Place::Revoked(_) | Place::Floor { .. }), _) => EventKind::TokenRevoked,
        (None, Deed::Create | Deed::Replace) => EventKind::Put,
        (None, Deed::Delete) => EventKind::Delete,
    }
}
