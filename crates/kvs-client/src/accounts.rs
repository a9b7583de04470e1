//! Finding users by their nicknames: `GET /auth/users?nickname=`, which takes an administrator's token.

use serde::Deserialize;
use ureq::http::Method;

use crate::error::ClientError;
use crate::http::{Http, Request};
use crate::path::component;

/// Users of one name that are read at most; one is what is hoped for.
const NAMESAKES_MAX: usize = 10;

#[derive(Deserialize)]
struct Listed {
    users: Vec<User>,
}

#[derive(Deserialize)]
struct User {
    uuid: String,
}

/// The uuids of the users with this very nickname, which names as many as it likes; the first `NAMESAKES_MAX` of them.
///
/// # Errors
///
/// As for every request; [`ClientError::Refused`] with 401 or 403 when the token is no administrator's.
pub fn users_named(http: &Http, nickname: &str) -> Result<Vec<String>, ClientError> {
    let resource = format!("/auth/users?limit={NAMESAKES_MAX}&nickname={}", component(nickname));
    let answer = http.send(&Request::new(Method::GET, resource))?;
    let listed: Listed = serde_json::from_slice(&answer.body).map_err(|error| http.foreign(error))?;
    Ok(listed.users.into_iter().map(|user| user.uuid).collect())
}
