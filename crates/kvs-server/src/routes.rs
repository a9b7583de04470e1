//! Which handler a request goes to: a total function of its method and raw path.
//!
//! The path is looked at as it came, before any decoding, so that `%5Frange` can never be taken for `_range`, nor
//! `a%2Fb` for two segments; each handler reads its part of it once, by the rules of `kvs_core::path`.
//! One table gives both the handler and what `Allow` says.

use http::Method;
use kvs_protocol::call::CallKind;

use crate::account_routes::{self, AccountRoute};
use crate::conditions::uuid_of;
use crate::peer::marks::PEER_PREFIX;

/// What a request asks for. Texts are the raw, encoded parts of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// `GET /kv/{path}`; `HEAD` too, as everywhere.
    Read(&'a str),
    /// `PUT /kv/{path}`.
    Write(&'a str),
    /// `DELETE /kv/{path}`.
    Delete(&'a str),
    /// `GET /kv/_range`.
    Range,
    /// `POST /kv/_batch`.
    Batch,
    /// `POST /kv/_get`.
    ReadMany,
    /// `GET /history/{path}`, where the last segment may be a version's uuid.
    History(&'a str),
    /// `POST /history/{path}/{uuid}/restore`: path and uuid.
    Restore(&'a str, &'a str),
    /// `GET /meta/{path}`.
    Metadata(&'a str),
    /// `PUT /meta/{path}`.
    SetMetadata(&'a str),
    /// Everything below `/auth/`.
    Accounts(AccountRoute<'a>),
    /// `GET /health`.
    Health,
    /// `GET /ready`.
    Ready,
    /// `GET /metrics`.
    Metrics,
    /// `GET /members/`.
    Members,
    /// `POST /members/join`.
    Join,
    /// `POST /members/forget`.
    Forget,
    /// `POST` or `DELETE /members/leave`.
    Leave,
    /// `GET /sync/merkle/root`.
    MerkleRoot,
    /// `GET /cluster/convergence`.
    Convergence,
    /// `GET /cluster/tombstones`.
    Tombstones,
    /// `GET /cluster/parked`.
    Parked,
    /// `POST /cluster/parked/discard`.
    DiscardParked,
    /// `GET /backup`.
    Backups,
    /// `POST /backup`.
    BackUp,
    /// `POST /peer/v1/{kind}`.
    Peer(CallKind),
}

/// Why there is no handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unrouted {
    /// No such resource.
    NotFound,
    /// A resource without this method; it has these.
    MethodNotAllowed(&'static str),
}

/// A family of requests, the label of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Family {
    /// One key is read.
    KvGet,
    /// One key is written.
    KvPut,
    /// One key or a subtree is deleted.
    KvDelete,
    /// Keys are listed.
    Range,
    /// Several writes at once.
    Batch,
    /// Several reads at once.
    ReadMany,
    /// Versions are listed, read or restored.
    History,
    /// Owner, group and mode.
    Metadata,
    /// Users, groups and tokens.
    Accounts,
    /// Health, readiness, metrics.
    Health,
    /// Backups.
    Backup,
    /// Calls of other nodes.
    Peer,
    /// The members and what they agree on.
    Cluster,
    /// What was refused before it had a handler.
    Unrouted,
}

impl Family {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 14] = [
        Self::KvGet,
        Self::KvPut,
        Self::KvDelete,
        Self::Range,
        Self::Batch,
        Self::ReadMany,
        Self::History,
        Self::Metadata,
        Self::Accounts,
        Self::Health,
        Self::Backup,
        Self::Peer,
        Self::Cluster,
        Self::Unrouted,
    ];

    /// The label.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::KvGet => "kv_get",
            Self::KvPut => "kv_put",
            Self::KvDelete => "kv_delete",
            Self::Range => "kv_range",
            Self::Batch => "kv_batch",
            Self::ReadMany => "kv_read_many",
            Self::History => "history",
            Self::Metadata => "metadata",
            Self::Accounts => "auth",
            Self::Health => "health",
            Self::Backup => "backup",
            Self::Peer => "peer",
            Self::Cluster => "cluster",
            Self::Unrouted => "unrouted",
        }
    }
}

impl Route<'_> {
    /// The family that it is counted in.
    pub(crate) const fn family(&self) -> Family {
        match self {
            Self::Read(_) => Family::KvGet,
            Self::Write(_) => Family::KvPut,
            Self::Delete(_) => Family::KvDelete,
            Self::Range => Family::Range,
            Self::Batch => Family::Batch,
            Self::ReadMany => Family::ReadMany,
            Self::History(_) | Self::Restore(..) => Family::History,
            Self::Metadata(_) | Self::SetMetadata(_) => Family::Metadata,
            Self::Accounts(_) => Family::Accounts,
            Self::Health | Self::Ready | Self::Metrics => Family::Health,
            Self::Backups | Self::BackUp => Family::Backup,
            Self::Peer(_) => Family::Peer,
            Self::Members
            | Self::Join
            | Self::Forget
            | Self::Leave
            | Self::MerkleRoot
            | Self::Convergence
            | Self::Tombstones
            | Self::Parked
            | Self::DiscardParked => Family::Cluster,
        }
    }
}

/// A resource, before the method is looked at.
#[derive(Clone, Copy)]
enum Resource<'a> {
    Key(&'a str),
    Range,
    Batch,
    ReadMany,
    History(&'a str),
    Restore { path: &'a str, uuid: &'a str, whole: &'a str },
    Metadata(&'a str),
    Health,
    Ready,
    Metrics,
    Backup,
    Members,
    Join,
    Forget,
    Leave,
    MerkleRoot,
    Convergence,
    Tombstones,
    Parked,
    DiscardParked,
    Peer(CallKind),
}

/// Finds the handler of `method` on `path` (without query, percent-encoded as sent).
///
/// # Errors
///
/// [`Unrouted`].
pub(crate) fn route<'a>(method: &Method, path: &'a str) -> Result<Route<'a>, Unrouted> {
    if let Some(rest) = path.strip_prefix("/auth/")
        && let Some(found) = account_routes::route(method, rest)
    {
        return found.map(Route::Accounts).map_err(Unrouted::MethodNotAllowed);
    }
    let resource = match resource(path) {
        Some(resource) => resource,
        // Methods that no resource has are told so even where there is none (`OPTIONS *`, `CONNECT host`).
        None if matches!(*method, Method::OPTIONS | Method::TRACE | Method::CONNECT) => {
            return Err(Unrouted::MethodNotAllowed("GET, HEAD, PUT, POST, DELETE"));
        }
        None => return Err(Unrouted::NotFound),
    };
    // HEAD is GET whose body is not sent.
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    resource
        .methods()
        .iter()
        .find(|(verb, _)| verb == method)
        .map(|(_, handler)| handler(resource))
        .ok_or(Unrouted::MethodNotAllowed(resource.allow()))
}

type Handler = for<'a> fn(Resource<'a>) -> Route<'a>;

impl<'a> Resource<'a> {
    /// The one table of methods.
    fn methods(self) -> &'static [(Method, Handler)] {
        match self {
            Self::Key(_) => &[
                (Method::GET, |this| Route::Read(this.text())),
                (Method::PUT, |this| Route::Write(this.text())),
                (Method::DELETE, |this| Route::Delete(this.text())),
            ],
            Self::Range => &[(Method::GET, |_| Route::Range)],
            Self::Batch => &[(Method::POST, |_| Route::Batch)],
            Self::ReadMany => &[(Method::POST, |_| Route::ReadMany)],
            Self::History(_) => &[(Method::GET, |this| Route::History(this.text()))],
            Self::Restore { .. } => {
                &[(Method::GET, |this| Route::History(this.text())), (Method::POST, |this| this.restore())]
            }
            Self::Metadata(_) => &[
                (Method::GET, |this| Route::Metadata(this.text())),
                (Method::PUT, |this| Route::SetMetadata(this.text())),
            ],
            Self::Health => &[(Method::GET, |_| Route::Health)],
            Self::Ready => &[(Method::GET, |_| Route::Ready)],
            Self::Metrics => &[(Method::GET, |_| Route::Metrics)],
            Self::Members => &[(Method::GET, |_| Route::Members)],
            Self::Join => &[(Method::POST, |_| Route::Join)],
            Self::Forget => &[(Method::POST, |_| Route::Forget)],
            Self::Leave => &[(Method::POST, |_| Route::Leave), (Method::DELETE, |_| Route::Leave)],
            Self::MerkleRoot => &[(Method::GET, |_| Route::MerkleRoot)],
            Self::Convergence => &[(Method::GET, |_| Route::Convergence)],
            Self::Tombstones => &[(Method::GET, |_| Route::Tombstones)],
            Self::Parked => &[(Method::GET, |_| Route::Parked)],
            Self::DiscardParked => &[(Method::POST, |_| Route::DiscardParked)],
            Self::Backup => &[(Method::GET, |_| Route::Backups), (Method::POST, |_| Route::BackUp)],
            Self::Peer(_) => &[(Method::POST, |this| this.peer())],
        }
    }

    /// What `Allow` says; a test compares it with the table.
    const fn allow(self) -> &'static str {
        match self {
            Self::Key(_) => "GET, HEAD, PUT, DELETE",
            Self::Metadata(_) => "GET, HEAD, PUT",
            Self::Range
            | Self::History(_)
            | Self::Health
            | Self::Ready
            | Self::Metrics
            | Self::Members
            | Self::MerkleRoot
            | Self::Convergence
            | Self::Tombstones
            | Self::Parked => "GET, HEAD",
            Self::Leave => "POST, DELETE",
            Self::Batch
            | Self::ReadMany
            | Self::Join
            | Self::Forget
            | Self::DiscardParked
            | Self::Peer(_) => "POST",
            Self::Restore { .. } | Self::Backup => "GET, HEAD, POST",
        }
    }

    /// The path behind the resource's name.
    const fn text(self) -> &'a str {
        match self {
            Self::Key(text) | Self::History(text) | Self::Metadata(text) => text,
            Self::Restore { whole, .. } => whole,
            _ => "",
        }
    }

    const fn restore(self) -> Route<'a> {
        match self {
            Self::Restore { path, uuid, .. } => Route::Restore(path, uuid),
            other => Route::History(other.text()),
        }
    }

    const fn peer(self) -> Route<'a> {
        match self {
            Self::Peer(kind) => Route::Peer(kind),
            other => Route::History(other.text()),
        }
    }
}

fn resource(path: &str) -> Option<Resource<'_>> {
    if let Some(rest) = path.strip_prefix("/kv/") {
        return match rest {
            "_range" => Some(Resource::Range),
            "_batch" => Some(Resource::Batch),
            "_get" => Some(Resource::ReadMany),
            // Part of the contract that this version does not have.
            "_changes" => None,
            // Other reserved names are bad paths, which the reader of paths says.
            key => Some(Resource::Key(key)),
        };
    }
    if let Some(rest) = path.strip_prefix("/history/") {
        return Some(match rest.strip_suffix("/restore").and_then(split_version) {
            Some((path, uuid)) => Resource::Restore { path, uuid, whole: rest },
            None => Resource::History(rest),
        });
    }
    if let Some(path) = path.strip_prefix("/meta/") {
        return Some(Resource::Metadata(path));
    }
    if let Some(kind) = path.strip_prefix(PEER_PREFIX) {
        return CallKind::named(kind).map(Resource::Peer);
    }
    match path {
        "/health" => Some(Resource::Health),
        "/ready" => Some(Resource::Ready),
        "/metrics" => Some(Resource::Metrics),
        "/backup" => Some(Resource::Backup),
        "/members/" | "/members" => Some(Resource::Members),
        "/members/join" => Some(Resource::Join),
        "/members/forget" => Some(Resource::Forget),
        "/members/leave" => Some(Resource::Leave),
        "/sync/merkle/root" => Some(Resource::MerkleRoot),
        "/cluster/convergence" => Some(Resource::Convergence),
        "/cluster/tombstones" => Some(Resource::Tombstones),
        "/cluster/parked" => Some(Resource::Parked),
        "/cluster/parked/discard" => Some(Resource::DiscardParked),
        _ => None,
    }
}

/// Splits `{path}/{uuid}` where the last segment is a version's uuid in its written form.
pub(crate) fn split_version(path: &str) -> Option<(&str, &str)> {
    let (path, last) = path.rsplit_once('/')?;
    uuid_of(last.as_bytes()).map(|_| (path, last))
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
