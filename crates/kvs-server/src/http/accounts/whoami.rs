//! `GET /auth/whoami`: what the token that was presented says.

use http::StatusCode;
use kvs_auth::decision::Denied;
use kvs_core::path::Path;
use serde::Serialize;

use crate::access::vault::refused;
use crate::http::accounts::call::{Call, json};
use crate::http::query::Query;
use crate::http::reply::Reply;
use crate::problem::Problem;

#[derive(Serialize)]
struct Told<'a> {
    principal: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    nickname: Option<String>,
    groups: Vec<&'a str>,
    scopes: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paths: Option<Vec<String>>,
    jti: String,
    issued_at: u64,
    expires_at: u64,
}

/// Answers it.
pub(crate) fn whoami(call: Call<'_>) -> Result<Reply, Problem> {
    let bearer = call.visitor.identity.bearer().ok_or_else(|| refused(Denied::Unauthorized))?;
    Query::read(call.query, &[])?;
    let user = call.own()?.user();
    let nickname = user
        .and_then(|user| call.accounts.directory().user(user).map(|user| user.nickname.as_str().to_owned()));
    json(
        StatusCode::OK,
        &Told {
            principal: bearer.user.as_str(),
            nickname,
            groups: bearer.groups.iter().map(|group| group.as_str()).collect(),
            scopes: bearer.scopes.iter().map(|scope| scope.name()).collect(),
            paths: bearer.paths.as_ref().map(|paths| paths.roots().iter().map(Path::to_string).collect()),
            jti: bearer.jti.to_string(),
            issued_at: bearer.issued_at_s.saturating_mul(1000),
            expires_at: bearer.expires_at_s.saturating_mul(1000),
        },
    )
}
