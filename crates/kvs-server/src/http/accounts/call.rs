//! A call about accounts: who asks, what is known, and how it is written.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue, StatusCode};
use kvs_auth::accounts::place::Place;
use kvs_auth::decision::{Denied, Sealed, authorize_admin};
use kvs_auth::issue::Moment;
use kvs_auth::subject::{Subject, canonical_uuid};
use kvs_core::precondition::{Precondition, Tags};
use kvs_core::record::Record;
use kvs_store::clock::Clock;
use kvs_store::commit::write::{Change, Outcome};
use kvs_store::error::StoreError;
use serde::Serialize;
use uuid::{Builder, Uuid};

use crate::access::guard::Accounts;
use crate::access::vault::refused;
use crate::access::visitor::Visitor;
use crate::context::Node;
use crate::http::reply::{AnswerBody, Reply};
use crate::http::write::expect_writable;
use crate::problem::{Code, Problem};
use crate::random::random_bytes;

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// A call about accounts.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    /// The node.
    pub(crate) node: &'a Arc<Node>,
    /// Its accounts, which are on.
    pub(crate) accounts: &'a Accounts,
    /// Who asks.
    pub(crate) visitor: &'a Visitor,
    /// The raw query.
    pub(crate) query: Option<&'a str>,
    /// The header fields.
    pub(crate) headers: &'a HeaderMap,
}

/// One record that a call writes or removes.
pub(crate) struct Step {
    place: Place,
    change: Change,
    precondition: Precondition,
}

impl Call<'_> {
    /// Lets administrators of the whole node through.
    ///
    /// # Errors
    ///
    /// [`Code::Unauthorized`], [`Code::Forbidden`].
    pub(crate) fn expect_admin(&self) -> Result<(), Problem> {
        authorize_admin(&self.visitor.identity.caller(), Sealed::new(())).map(|_| ()).map_err(refused)
    }

    /// Whether an administrator of the whole node asks.
    pub(crate) fn is_admin(&self) -> bool {
        self.visitor.identity.caller().is_admin_everywhere()
    }

    /// Whom the token that was presented speaks for.
    ///
    /// # Errors
    ///
    /// [`Code::Unauthorized`] without a token.
    pub(crate) fn own(&self) -> Result<Subject, Problem> {
        let bearer = self.visitor.identity.bearer().ok_or_else(|| refused(Denied::Unauthorized))?;
        Subject::parse(bearer.user.as_str())
            .ok_or_else(|| Problem::internal(format!("a verified token speaks for {:?}", bearer.user)))
    }

    /// Reads a subject of the path and lets administrators and itself through.
    ///
    /// # Errors
    ///
    /// [`Code::Unauthorized`], [`Code::Forbidden`]; [`Code::NotFound`], to administrators alone, when it is no subject.
    pub(crate) fn expect_self_or_admin(&self, raw: &str) -> Result<Subject, Problem> {
        let (own, asked) = (self.own()?, Subject::parse(raw));
        if asked == Some(own) {
            return Ok(own);
        }
        self.expect_admin()?;
        asked.ok_or_else(no_such_user)
    }

    /// Refuses on a node that takes no writes of clients.
    ///
    /// # Errors
    ///
    /// [`Code::ReadOnly`], [`Code::Syncing`].
    pub(crate) fn expect_writable(&self) -> Result<(), Problem> {
        expect_writable(self.node)
    }

    /// The wall clock, in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        self.node.clock.now_ms()
    }

    /// The wall clock in whole seconds, with what clocks may differ by.
    pub(crate) fn moment(&self) -> Moment {
        Moment { now_s: self.now_ms() / 1000, skew_s: self.accounts.skew_s() }
    }

    /// The live record at a place.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub(crate) fn record(&self, place: Place) -> Result<Option<Record>, Problem> {
        let path = place.path()?;
        let record = self.node.read_pace.run(&self.node.clock, || self.node.vault.account(&path))?;
        Ok(record.filter(|record| record.is_live(self.now_ms())))
    }

    /// A step that stores a record for ever.
    pub(crate) fn put(&self, place: Place, json: Vec<u8>) -> Step {
        let content = self.node.vault.prepare(Bytes::from(json));
        Step { place, change: Change::Put { content, lifetime: None }, precondition: Precondition::default() }
    }

    /// Commits all steps or none, on behalf of whoever asks. What they say is known to this node afterwards.
    ///
    /// # Errors
    ///
    /// [`Code::Conflict`] when a record was changed meanwhile, [`Code::Unauthorized`] when the token was revoked; the store's.
    /// Nothing was written then.
    pub(crate) async fn commit(&self, steps: Vec<Step>) -> Result<Vec<Outcome>, Problem> {
        self.node.vault.expect_good(self.visitor)?;
        self.commit_rest(steps).await
    }

    /// The same for the rest of a call, whose beginning may have revoked the very token that asks for it.
    ///
    /// # Errors
    ///
    /// As [`Self::commit`], but for the token.
    pub(crate) async fn commit_rest(&self, steps: Vec<Step>) -> Result<Vec<Outcome>, Problem> {
        let changes = steps
            .into_iter()
            .map(|step| Ok((step.place.path()?, step.change, step.precondition)))
            .collect::<Result<Vec<_>, Problem>>()?;
        self.node.vault.commit_accounts(self.visitor, changes).await.map_err(|error| match error {
            StoreError::Precondition { .. } => {
                Problem::new(Code::Conflict, "somebody else changed it meanwhile: read it again")
            }
            other => other.into(),
        })
    }
}

impl Step {
    /// A step that removes a record.
    pub(crate) fn delete(place: Place) -> Self {
        Self { place, change: Change::Delete, precondition: Precondition::default() }
    }

    /// The same, if the record is still this version.
    pub(crate) fn over(self, record: &Record) -> Self {
        let if_match = Some(Tags::OneOf(vec![record.version.uuid]));
        Self { precondition: Precondition { if_match, if_none_match: None }, ..self }
    }

    /// The same for a record that lives this many seconds.
    pub(crate) fn for_seconds(self, seconds: u64) -> Self {
        let change = match self.change {
            Change::Put { content, .. } => {
                Change::Put { content, lifetime: Some(std::time::Duration::from_secs(seconds)) }
            }
            other => other,
        };
        Self { change, ..self }
    }
}

/// A uuid of the path in its one spelling.
///
/// # Errors
///
/// What `absent` makes.
pub(crate) fn uuid_of(raw: &str, absent: fn() -> Problem) -> Result<Uuid, Problem> {
    canonical_uuid(raw).ok_or_else(absent)
}

/// A uuid that nobody can guess.
///
/// # Errors
///
/// The system has no randomness.
pub(crate) fn random_uuid() -> Result<Uuid, Problem> {
    let bytes = random_bytes().map_err(|error| Problem::internal(error.to_string()))?;
    Ok(Builder::from_random_bytes(bytes).into_uuid())
}

/// There is no such user.
pub(crate) fn no_such_user() -> Problem {
    Problem::new(Code::NotFound, "there is no such user")
}

/// An answer in JSON, which nobody on the way keeps: it may hold a token.
///
/// # Errors
///
/// [`Code::Internal`]; texts and numbers are always JSON.
pub(crate) fn json<T: Serialize>(status: StatusCode, answer: &T) -> Result<Reply, Problem> {
    let bytes = serde_json::to_vec(answer).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(Reply::json(status, AnswerBody::free(Bytes::from(bytes))).with(CACHE_CONTROL, NO_STORE))
}
