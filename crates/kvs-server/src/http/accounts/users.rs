//! `/auth/users`: making, reading, changing and deleting users, and revoking all their tokens.

use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use hyper::body::Incoming;
use kvs_auth::accounts::place::{FLOOR_FOR_EVER, FLOOR_JSON, Place};
use kvs_auth::accounts::user::{Standing, User};
use kvs_auth::directory::Directory;
use kvs_auth::issue::next_floor;
use kvs_auth::limits::USERS_MAX;
use serde::Serialize;
use uuid::Uuid;

use crate::http::accounts::body::{self, ChangedUser, NewUser};
use crate::http::accounts::call::{Call, Step, json, no_such_user, random_uuid, uuid_of};
use crate::http::accounts::issued;
use crate::http::accounts::page::Window;
use crate::http::query::Query;
use crate::http::reply::Reply;
use crate::problem::{Code, Problem};

/// A user as it is told.
#[derive(Serialize)]
struct Told {
    uuid: String,
    nickname: String,
    created_at: u64,
    disabled: bool,
    groups: Vec<String>,
}

impl Told {
    fn of(directory: &Directory, uuid: Uuid, user: &User) -> Self {
        Self {
            uuid: uuid.to_string(),
            nickname: user.nickname.as_str().to_owned(),
            created_at: user.created_at_ms,
            disabled: user.standing == Standing::Disabled,
            groups: directory.groups_of(uuid).map(|group| group.to_string()).collect(),
        }
    }
}

/// What was made.
#[derive(Serialize)]
pub(crate) struct Made {
    /// Its uuid.
    pub(crate) uuid: String,
}

/// Answers `POST /auth/users`.
pub(crate) async fn create(call: Call<'_>, body: Incoming) -> Result<Reply, Problem> {
    call.expect_admin()?;
    call.expect_writable()?;
    Query::read(call.query, &[])?;
    let nickname = body::read::<NewUser>(call.node, call.headers, body).await?.nickname()?;
    if call.accounts.directory().users().len() >= USERS_MAX {
        return Err(Problem::new(
            Code::Conflict,
            format!("there are {USERS_MAX} users, and there is no more room"),
        ));
    }
    let uuid = random_uuid()?;
    let user = User { nickname, created_at_ms: call.now_ms(), standing: Standing::Enabled };
    call.commit(vec![call.put(Place::User(uuid), user.write())]).await?;
    made(uuid, "/auth/users/")
}

/// Answers that a resource was made.
///
/// # Errors
///
/// [`Code::Internal`].
pub(crate) fn made(uuid: Uuid, below: &str) -> Result<Reply, Problem> {
    let location = HeaderValue::try_from(format!("{below}{uuid}"))
        .map_err(|error| Problem::internal(error.to_string()))?;
    Ok(json(StatusCode::CREATED, &Made { uuid: uuid.to_string() })?.with(LOCATION, location))
}

/// Answers `GET /auth/users`; `?nickname=` for those of this very name.
pub(crate) fn list(call: Call<'_>) -> Result<Reply, Problem> {
    #[derive(Serialize)]
    struct Listed {
        users: Vec<Told>,
        next: Option<String>,
    }
    call.expect_admin()?;
    let query = Query::read(call.query, &["nickname", "limit", "cursor"])?;
    let (window, nickname) = (Window::read(&query)?, query.value("nickname"));
    let directory = call.accounts.directory();
    let is_wanted = |user: &User| nickname.is_none_or(|nickname| user.nickname.as_str() == nickname);
    let (page, next) = window.cut(directory.users_after(window.after).filter(|(_, user)| is_wanted(user)));
    let users = page.iter().map(|(uuid, user)| Told::of(&directory, *uuid, user)).collect();
    json(StatusCode::OK, &Listed { users, next: next.map(|uuid| uuid.to_string()) })
}

/// Answers `GET /auth/users/{uuid}`.
pub(crate) fn read(call: Call<'_>, raw: &str) -> Result<Reply, Problem> {
    let subject = call.expect_self_or_admin(raw)?;
    Query::read(call.query, &[])?;
    let uuid = subject.user().ok_or_else(no_such_user)?;
    told(call, uuid)
}

/// Answers `PUT /auth/users/{uuid}`: the whole of what can be changed.
pub(crate) async fn replace(call: Call<'_>, raw: &str, body: Incoming) -> Result<Reply, Problem> {
    call.expect_admin()?;
    call.expect_writable()?;
    Query::read(call.query, &[])?;
    let uuid = uuid_of(raw, no_such_user)?;
    let (nickname, standing) = body::read::<ChangedUser>(call.node, call.headers, body).await?.parts()?;
    let place = Place::User(uuid);
    let record = call.record(place)?.ok_or_else(no_such_user)?;
    let (created_at_ms, before) = match call.accounts.directory().user(uuid) {
        Some(user) => (user.created_at_ms, user.standing),
        // Its record could not be read until now, for which it was refused, or is being deleted, which the condition of
        // the write tells.
        None => (call.now_ms(), Standing::Disabled),
    };
    let user = User { nickname, created_at_ms, standing: standing.unwrap_or(before) };
    call.commit(vec![call.put(place, user.write()).over(&record)]).await?;
    told(call, uuid)
}

/// Answers `DELETE /auth/users/{uuid}`: the user is gone, and none of its tokens is ever good again. Groups keep the uuid,
/// which names nobody any more.
pub(crate) async fn delete(call: Call<'_>, raw: &str) -> Result<Reply, Problem> {
    call.expect_admin()?;
    call.expect_writable()?;
    Query::read(call.query, &[])?;
    let uuid = uuid_of(raw, no_such_user)?;
    call.record(Place::User(uuid))?.ok_or_else(no_such_user)?;
    let of = kvs_auth::subject::Subject::User(uuid);
    let floor = Place::Floor { of, seconds: FLOOR_FOR_EVER };
    call.commit(vec![call.put(floor, FLOOR_JSON.to_vec()), Step::delete(Place::User(uuid))]).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// Answers `DELETE /auth/users/{uuid}/tokens`: none of the tokens that the user has now is ever good again. Works for
/// `root`, and for users that this node does not know (yet), so that nobody has to wait with it.
///
/// The floor first: whoever holds one of the tokens makes no further ones from then on, and those that it made until then
/// above the floor are on the list when the rest is read. If that fails, the floor stays.
pub(crate) async fn revoke_all(call: Call<'_>, raw: &str) -> Result<Reply, Problem> {
    let subject = call.expect_self_or_admin(raw)?;
    call.expect_writable()?;
    Query::read(call.query, &[])?;
    let floor = next_floor(call.accounts.directory().floor(subject), call.moment());
    call.commit(vec![call.put(Place::Floor { of: subject, seconds: floor }, FLOOR_JSON.to_vec())]).await?;
    let above = issued::revocations_above(call, subject, floor).await?;
    if !above.is_empty() {
        call.commit_rest(above).await?;
    }
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn told(call: Call<'_>, uuid: Uuid) -> Result<Reply, Problem> {
    let directory = call.accounts.directory();
    let user = directory.user(uuid).ok_or_else(no_such_user)?;
    json(StatusCode::OK, &Told::of(&directory, uuid, user))
}
