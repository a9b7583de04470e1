//! `/meta/{path}`: who owns a path, its group and its mode.
//!
//! `GET` answers what governs the path, wherever that comes from: `{"owner","group","mode"}`, with the mode as text, and
//! owner and group `null` for nobody and none. `PUT` takes any of the three; what is left out stays what it is, and where
//! nothing governed the path before it becomes the caller's, with no group and the mode `cdwr|---r|---r`. From then on the
//! path has metadata of its own, which governs what lies below it too, whether there is a value or not.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use hyper::body::Incoming;
use kvs_auth::caller::{Caller, ROOT};
use kvs_auth::decision::Action;
use kvs_auth::metadata;
use kvs_auth::mode::Mode;
use kvs_auth::rights::{Metadata, Rights};
use kvs_auth::subject::Subject;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::precondition::Precondition;
use kvs_core::record::Principal;
use kvs_store::clock::Clock;
use kvs_store::commit::write::Change;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::access::visitor::Visitor;
use crate::access::warrant::Otherwise;
use crate::context::Node;
use crate::http::body;
use crate::http::query::Query;
use crate::http::reply::{AnswerBody, Reply};
use crate::http::write::{bad_json, expect_scope, expect_writable};
use crate::problem::{Code, Problem};

/// Largest body of a change of metadata, in bytes.
const METADATA_BODY_BYTES_MAX: usize = 4096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked<'a> {
    #[serde(borrow, default)]
    owner: Option<Cow<'a, str>>,
    /// `Some(None)` takes the group away.
    #[serde(borrow, default, deserialize_with = "present")]
    group: Option<Option<Cow<'a, str>>>,
    #[serde(borrow, default)]
    mode: Option<AskedMode<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AskedMode<'a> {
    Bits(u16),
    Text(#[serde(borrow)] Cow<'a, str>),
}

/// A member that is there, `null` included.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Cow<'de, str>>>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

#[derive(Serialize)]
struct Shown<'a> {
    owner: Option<&'a str>,
    group: Option<&'a str>,
    mode: String,
}

/// Answers `GET /meta/{path}`.
pub(crate) async fn read(
    node: &Arc<Node>,
    visitor: &Visitor,
    raw_path: &str,
    query: Option<&str>,
) -> Result<Reply, Problem> {
    expect_scope(visitor, Action::Read)?;
    Query::read(query, &[])?;
    let path = Path::parse_encoded(raw_path.as_bytes())?;
    let (reading, asking) = (Arc::clone(node), visitor.clone());
    let governed = node
        .scans
        .run(move || reading.vault.governed(&asking.identity.caller(), &path, reading.clock.now_ms()))
        .await?;
    match governed {
        Some(governed) if governed.is_there() => show(&governed.rights),
        _ => Err(Problem::new(Code::NotFound, "nothing governs this path, and it has no value")),
    }
}

/// Answers `PUT /meta/{path}`.
pub(crate) async fn write(
    node: &Arc<Node>,
    visitor: &Visitor,
    raw_path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Reply, Problem> {
    expect_writable(node)?;
    expect_scope(visitor, Action::Govern)?;
    Query::read(query, &[])?;
    let path = Path::parse_encoded(raw_path.as_bytes())?;
    body::expect_json(headers)?;
    let body = body::read(headers, body, METADATA_BODY_BYTES_MAX, &node.budget).await?;
    let asked: Asked<'_> = serde_json::from_slice(&body.bytes).map_err(|error| bad_json(&error))?;
    let (reading, key) = (Arc::clone(node), path.clone());
    // Only to know what stays as it is. Whether the caller may change it is decided by the commit.
    let before = node.scans.run(move || Ok(reading.vault.governing(&key, reading.clock.now_ms())?)).await?;
    expect_own_below(node, visitor, &path, &before).await?;
    let (changed, action) = apply(node, visitor, &asked, &before)?;
    let content = node.vault.prepare(Bytes::from(metadata::encode(&changed)));
    let put = Change::Put { content, lifetime: None };
    let write = (Namespace::Meta, path, put, Precondition::default());
    let write = node.vault.allow_in(visitor, action, Otherwise::Refuse, write)?;
    node.vault.commit(vec![write]).await?;
    show(&Rights::Governed(changed))
}

/// Refuses an owner whose metadata would come to govern what others have made below the path: whoever makes a key above
/// theirs would give itself rights to them. Of anybody else the commit decides.
async fn expect_own_below(
    node: &Arc<Node>,
    visitor: &Visitor,
    path: &Path,
    before: &Rights,
) -> Result<(), Problem> {
    let caller = visitor.identity.caller();
    let is_admin = match &caller {
        Caller::Everybody | Caller::Anonymous(_) => return Ok(()),
        Caller::Bearer(bearer) => bearer.is_admin(),
    };
    let is_owner = matches!(before, Rights::Governed(metadata) if metadata.owner == caller.principal());
    if is_admin || !is_owner {
        return Ok(());
    }
    let (looking, asking, path) = (Arc::clone(node), visitor.clone(), path.clone());
    let covers = node.scans.run(move || {
        let now_ms = looking.clock.now_ms();
        Ok(looking.vault.would_cover_others(&asking.identity.caller(), &path, now_ms)?)
    });
    if covers.await? {
        return Err(Problem::new(
            Code::Forbidden,
            "others have keys below this path that would be governed by it: this takes an administrator",
        ));
    }
    Ok(())
}

/// What the metadata becomes, and which right that takes.
fn apply(
    node: &Node,
    visitor: &Visitor,
    asked: &Asked<'_>,
    before: &Rights,
) -> Result<(Metadata, Action), Problem> {
    let own = || {
        let name = visitor.identity.caller().principal();
        if name.as_str().is_empty() { Principal::named(ROOT).unwrap_or_default() } else { name }
    };
    let mut metadata = match before {
        Rights::Governed(metadata) => metadata.clone(),
        Rights::Open => Metadata { owner: own(), group: Principal::nobody(), mode: Mode::DEFAULT },
    };
    let owner_before = metadata.owner.clone();
    if let Some(owner) = &asked.owner {
        metadata.owner = owner_named(node, owner)?;
    }
    if let Some(group) = &asked.group {
        metadata.group =
            group.as_deref().map_or_else(|| Ok(Principal::nobody()), |group| group_named(node, group))?;
    }
    metadata.mode = match &asked.mode {
        None => metadata.mode,
        Some(AskedMode::Bits(bits)) => Mode::from_bits(*bits).ok_or_else(bad_mode)?,
        Some(AskedMode::Text(text)) => Mode::parse(text).ok_or_else(bad_mode)?,
    };
    // Whoever is no administrator cannot learn by this either whether somebody else owns the path.
    let gives_away = metadata.owner != owner_before;
    Ok((metadata, if gives_away { Action::GiveAway } else { Action::Govern }))
}

fn bad_mode() -> Problem {
    Problem::new(
        Code::BadMetadata,
        "mode takes three groups such as \"cdwr|---r|---r\" (owner, group, others), or a number from 0 to 4095",
    )
}

/// A user that there is, or root.
fn owner_named(node: &Node, name: &str) -> Result<Principal, Problem> {
    let unknown =
        || Problem::new(Code::BadMetadata, "owner takes the uuid of a user that there is, or \"root\"");
    let subject = Subject::parse(name).ok_or_else(unknown)?;
    let is_known = subject.user().is_none_or(|user| {
        node.guard.accounts().is_none_or(|accounts| accounts.directory().user(user).is_some())
    });
    if is_known { Ok(subject.principal()) } else { Err(unknown()) }
}

/// A group that there is.
fn group_named(node: &Node, name: &str) -> Result<Principal, Problem> {
    let unknown =
        || Problem::new(Code::BadMetadata, "group takes the uuid of a group that there is, or null for none");
    let group = Uuid::try_parse(name).map_err(|_| unknown())?;
    let is_known = node.guard.accounts().is_none_or(|accounts| accounts.directory().group(group).is_some());
    if is_known { Principal::named(&group.to_string()).ok_or_else(unknown) } else { Err(unknown()) }
}

fn show(rights: &Rights) -> Result<Reply, Problem> {
    let shown = match rights {
        Rights::Open => Shown { owner: None, group: None, mode: "cdwr|cdwr|cdwr".to_owned() },
        Rights::Governed(metadata) => Shown {
            owner: Some(metadata.owner.as_str()),
            group: Some(metadata.group.as_str()).filter(|group| !group.is_empty()),
            mode: metadata.mode.to_string(),
        },
    };
    let body = serde_json::to_vec(&shown).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(Reply::json(StatusCode::OK, AnswerBody::free(body.into())))
}
