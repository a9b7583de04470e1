//! `/auth/groups`: making, reading, changing and deleting groups.

use http::StatusCode;
use hyper::body::Incoming;
use kvs_auth::accounts::group::Group;
use kvs_auth::accounts::place::Place;
use kvs_auth::limits::GROUPS_MAX;
use serde::Serialize;
use uuid::Uuid;

use crate::http::accounts::body::{self, WrittenGroup};
use crate::http::accounts::call::{Call, Step, json, random_uuid, uuid_of};
use crate::http::accounts::page::Window;
use crate::http::accounts::users::made;
use crate::http::query::Query;
use crate::http::reply::Reply;
use crate::problem::{Code, Problem};

/// A group as it is told.
#[derive(Serialize)]
struct Told {
    uuid: String,
    name: String,
    members: Vec<String>,
}

/// A group in a listing, where its members are counted.
#[derive(Serialize)]
struct Counted {
    uuid: String,
    name: String,
    member_count: usize,
}

/// Answers `POST /auth/groups`.
pub(crate) async fn create(call: Call<'_>, body: Incoming) -> Result<Reply, Problem> {
    call.expect_admin()?;
    call.expect_writable()?;
    Query::read(call.query, &[])?;
    let group = body::read::<WrittenGroup>(call.node, call.headers, body).await?.group()?;
    if call.accounts.directory().groups().len() >= GROUPS_MAX {
        return Err(Problem::new(
            Code::Conflict,
            format!("there are {GROUPS_MAX} groups, and there is no more room"),
        ));
    }
    let uuid = random_uuid()?;
    call.commit(vec![call.put(Place::Group(uuid), group.write())]).await?;
    made(uuid, "/auth/groups/")
}

/// Answers `GET /auth/groups`.
pub(crate) fn list(call: Call<'_>) -> Result<Reply, Problem> {
    #[derive(Serialize)]
    struct Listed {
        groups: Vec<Counted>,
        next: Option<String>,
    }
    call.expect_admin()?;
    let window = Window::read(&Query::read(call.query, &["limit", "cursor"])?)?;
    let directory = call.accounts.directory();
    let (page, next) = window.cut(directory.groups_after(window.after));
    let groups = page
        .iter()
        .map(|(uuid, group)| Counted {
            uuid: uuid.to_string(),
            name: group.name.as_str().to_owned(),
            member_count: group.members.len(),
        })
        .collect();
    json(StatusCode::OK, &Listed { groups, next: next.map(|uuid| uuid.to_string()) })
}

/// Answers `GET /auth/groups/{uuid}`.
pub(crate) fn read(call: Call<'_>, raw: &str) -> Result<Reply, Problem> {
    call.expect_admin()?;
    Query::read(call.query, &[])?;
    let uuid = uuid_of(raw, no_such_group)?;
    let directory = call.accounts.directory();
    told(uuid, directory.group(uuid).ok_or_else(no_such_group)?)
}

/// Answers `PUT /auth/groups/{uuid}`: the whole group.
pub(crate) async fn replace(call: Call<'_>, raw: &str, body: Incoming) -> Result<Reply, Problem> {
    call.expect_admin()?;
    call.expect_writable()?;
    Query::read(call.query, &[])?;
    let uuid = uuid_of(raw, no_such_group)?;
    let group = body::read::<WrittenGroup>(call.node, call.headers, body).await?.group()?;
    let place = Place::Group(uuid);
    let record = call.record(place)?.ok_or_else(no_such_group)?;
    call.commit(vec![call.put(place, group.write()).over(&record)]).await?;
    told(uuid, &group)
}

/// Answers `DELETE /auth/groups/{uuid}`.
pub(crate) async fn delete(call: Call<'_>, raw: &str) -> Result<Reply, Problem> {
    call.expect_admin()?;
    call.expect_writable()?;
    Query::read(call.query, &[])?;
    let place = Place::Group(uuid_of(raw, no_such_group)?);
    call.record(place)?.ok_or_else(no_such_group)?;
    call.commit(vec![Step::delete(place)]).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn told(uuid: Uuid, group: &Group) -> Result<Reply, Problem> {
    let members = group.members.iter().map(Uuid::to_string).collect();
    json(StatusCode::OK, &Told { uuid: uuid.to_string(), name: group.name.as_str().to_owned(), members })
}

fn no_such_group() -> Problem {
    Problem::new(Code::NotFound, "there is no such group")
}
