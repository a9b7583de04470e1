//! `/auth/tokens`: making, listing and revoking tokens.

use std::sync::Arc;

use http::StatusCode;
use hyper::body::Incoming;
use kvs_auth::accounts::issued::Issued;
use kvs_auth::accounts::place::Place;
use kvs_auth::accounts::revocation::Revocation;
use kvs_auth::issue::{NotIssued, claims_for};
use kvs_auth::limits::REVOCATIONS_MAX;
use kvs_auth::subject::Subject;
use kvs_auth::token::claims::Claims;
use kvs_auth::token::mint::mint;
use kvs_core::path::Path;
use serde::Serialize;
use uuid::Uuid;

use crate::access::vault::refused;
use crate::http::accounts::body::{self, WishedToken};
use crate::http::accounts::call::{Call, json, no_such_user, random_uuid, uuid_of};
use crate::http::accounts::issued;
use crate::http::accounts::page::Window;
use crate::http::query::Query;
use crate::http::reply::Reply;
use crate::problem::{Code, Problem};

/// An issued token as it is told.
#[derive(Serialize)]
struct Told {
    jti: String,
    user: String,
    scopes: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paths: Option<Vec<String>>,
    issued_at: u64,
    expires_at: u64,
    revoked: bool,
}

/// Answers `POST /auth/tokens`. The token is told here and kept nowhere.
pub(crate) async fn create(call: Call<'_>, body: Incoming) -> Result<Reply, Problem> {
    #[derive(Serialize)]
    struct Minted {
        token: String,
        jti: String,
        expires_at: u64,
    }
    // Nobody without a token makes one: said before the body is read.
    call.own()?;
    call.expect_writable()?;
    Query::read(call.query, &[])?;
    let wish = body::read::<WishedToken>(call.node, call.headers, body).await?.wish()?;
    let (jti, moment) = (random_uuid()?, call.moment());
    let claims = {
        let directory = call.accounts.directory();
        claims_for(&call.visitor.identity.caller(), &wish, &directory, jti, moment).map_err(not_issued)?
    };
    let token = mint(&claims, call.accounts.keys()).map_err(|error| not_issued(error.into()))?;
    let issued = Issued::of(&claims);
    let step = call.put(Place::Token(jti), issued.write()).for_seconds(life_s(&claims, moment.now_s));
    call.commit(vec![step]).await?;
    // All tokens of whoever asks may have been revoked meanwhile. What nobody was told is no token.
    call.node.vault.expect_good(call.visitor)?;
    let minted = Minted { token, jti: jti.to_string(), expires_at: issued.expires_at_ms };
    json(StatusCode::CREATED, &minted)
}

/// From now to its end: the record is not needed longer than the token is good.
fn life_s(claims: &Claims, now_s: u64) -> u64 {
    claims.expires_at_s.saturating_sub(now_s).max(1)
}

fn not_issued(reason: NotIssued) -> Problem {
    match reason {
        NotIssued::Denied(denied) => refused(denied),
        NotIssued::Wider => Problem::new(Code::Forbidden, reason.to_string()),
        NotIssued::UnknownUser => no_such_user(),
        NotIssued::UserDisabled | NotIssued::TooSoon => Problem::new(Code::Conflict, reason.to_string()),
        NotIssued::Token(error) => Problem::new(Code::BadJson, error.to_string()),
    }
}

/// Answers `GET /auth/tokens`: all to administrators (or those of `?user=`), one's own to everybody else.
pub(crate) async fn list(call: Call<'_>) -> Result<Reply, Problem> {
    #[derive(Serialize)]
    struct Listed {
        tokens: Vec<Told>,
        next: Option<String>,
    }
    let own = call.own()?;
    let query = Query::read(call.query, &["user", "limit", "cursor"])?;
    let of = match query.value("user") {
        Some(raw) => Some(call.expect_self_or_admin(raw)?),
        None if call.is_admin() => None,
        None => Some(own),
    };
    let window = Window::read(&query)?;
    let node = Arc::clone(call.node);
    let is_wanted = move |issued: &Issued| of.is_none_or(|of| issued.user == of);
    let reading = move || issued::find(&node, window.after, window.limit, is_wanted);
    let found = call.node.scans.run(reading).await?;
    let directory = call.accounts.directory();
    let told = |(jti, issued): &(Uuid, Issued)| Told {
        jti: jti.to_string(),
        user: issued.user.to_string(),
        scopes: issued.scopes.iter().map(|scope| scope.name()).collect(),
        paths: issued.paths.as_ref().map(|paths| paths.roots().iter().map(Path::to_string).collect()),
        issued_at: issued.issued_at_ms,
        expires_at: issued.expires_at_ms,
        revoked: directory.lists(*jti)
            || directory.floor(issued.user).is_some_and(|floor| issued.issued_at_ms / 1000 <= floor),
    };
    let tokens = found.tokens.iter().map(told).collect();
    json(StatusCode::OK, &Listed { tokens, next: found.next.map(|jti| jti.to_string()) })
}

/// Answers `DELETE /auth/tokens/{jti}`: the token is never good again, on no node.
///
/// An administrator revokes any number, known or not: a token that was minted on a machine is in no list. Everybody else
/// revokes the token that is presented and those that are listed as its own; others are as if they were not there.
pub(crate) async fn revoke(call: Call<'_>, raw: &str) -> Result<Reply, Problem> {
    let own = call.own()?;
    call.expect_writable()?;
    Query::read(call.query, &[])?;
    let jti = uuid_of(raw, no_such_token)?;
    let known = known(call, jti)?;
    let is_own = known.is_some_and(|(user, _)| user == own);
    if !is_own && !call.is_admin() {
        return Err(no_such_token());
    }
    let (is_revoked, count) = {
        let directory = call.accounts.directory();
        (directory.lists(jti), directory.revocations())
    };
    // One that is refused already is written all the same: it is refused from before its commit, which may have failed, and
    // only a commit makes the answer true.
    if !is_revoked && count >= REVOCATIONS_MAX {
        return Err(Problem::new(
            Code::Conflict,
            format!("{REVOCATIONS_MAX} tokens are revoked one by one: revoke all of the user instead"),
        ));
    }
    let revocation = Revocation {
        user: known.map(|(user, _)| user),
        expires_at_ms: known.map(|(_, expires_at_ms)| expires_at_ms),
        revoked_at_ms: call.now_ms(),
    };
    call.commit(vec![call.put(Place::Revoked(jti), revocation.write())]).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// Whose a token is, and when it ends in milliseconds since 1970, where that is known.
fn known(call: Call<'_>, jti: Uuid) -> Result<Option<(Subject, u64)>, Problem> {
    if let Some(bearer) = call.visitor.identity.bearer()
        && bearer.jti == jti
    {
        return Ok(Some((call.own()?, bearer.expires_at_s.saturating_mul(1000))));
    }
    let Some(record) = call.record(Place::Token(jti))? else { return Ok(None) };
    let issued = Issued::read(&call.node.vault.json(&record)?).ok();
    Ok(issued.map(|issued| (issued.user, issued.expires_at_ms)))
}

fn no_such_token() -> Problem {
    Problem::new(Code::NotFound, "there is no such token")
}
