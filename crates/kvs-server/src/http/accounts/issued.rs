//! The records of issued tokens: read page by page from the disk, since nobody keeps them in memory.

use std::sync::Arc;

use bytes::Bytes;
use kvs_auth::accounts::issued::Issued;
use kvs_auth::accounts::place::Place;
use kvs_auth::accounts::revocation::Revocation;
use kvs_auth::subject::Subject;
use kvs_core::namespace::Namespace;
use kvs_store::clock::Clock;
use kvs_store::engine::contract::Order;
use kvs_store::read::range::{self, PageRow, Position, RangeQuery};
use uuid::Uuid;

use crate::context::Node;
use crate::http::accounts::call::{Call, Step};
use crate::problem::{Code, Problem};

/// Rows that are in memory at once.
const CHUNK_ROWS: usize = 256;

/// Rows that one request looks at, at most.
const EXAMINED_ROWS_MAX: usize = 20_000;

/// Tokens that one call revokes by their numbers, beside the floor; what a user can make in the seconds that clocks
/// differ by.
const REVOKED_AT_ONCE_MAX: usize = 500;

/// Some of the issued tokens, by number.
pub(crate) struct Found {
    /// Those that were looked for.
    pub(crate) tokens: Vec<(Uuid, Issued)>,
    /// Where to go on; `None` at the end.
    pub(crate) next: Option<Uuid>,
}

/// The live records of tokens behind `after` that are wanted, up to `limit`; fewer when many others lie on the way.
/// Reads from the disk.
///
/// # Errors
///
/// It cannot be read.
pub(crate) fn find(
    node: &Node,
    after: Option<Uuid>,
    limit: usize,
    is_wanted: impl Fn(&Issued) -> bool,
) -> Result<Found, Problem> {
    let view = node.vault.view()?;
    let key = |jti: Uuid| Bytes::from(Place::Token(jti).to_string());
    let mut query = RangeQuery {
        namespace: Namespace::Auth,
        start: Bytes::new(),
        end: Bytes::new(),
        prefix: Bytes::from_static(b"tokens/"),
        delimiter: None,
        limit: CHUNK_ROWS,
        order: Order::Ascending,
        after: after.map(|jti| Position::Key(key(jti))),
    };
    let (mut tokens, mut examined) = (Vec::new(), 0);
    loop {
        let page = range::page(&view, &query, node.clock.now_ms())?;
        for row in &page.rows {
            let PageRow::Key(path, record) = row else { continue };
            let Some(Place::Token(jti)) = Place::parse(path.as_str()) else { continue };
            examined += 1;
            // A record that cannot be read tells nothing; the token itself says what it may.
            if let Ok(issued) = Issued::read(&node.vault.json(record)?)
                && is_wanted(&issued)
            {
                tokens.push((jti, issued));
            }
            if tokens.len() == limit || examined == EXAMINED_ROWS_MAX {
                return Ok(Found { tokens, next: Some(jti) });
            }
        }
        query.after = page.next;
        if query.after.is_none() {
            return Ok(Found { tokens, next: None });
        }
    }
}

/// The steps that revoke those known tokens of a subject one by one that a floor does not reach: they were issued by a
/// clock that is ahead of this one.
///
/// # Errors
///
/// The disk cannot be read, or [`Code::Conflict`] when there are too many.
pub(crate) async fn revocations_above(
    call: Call<'_>,
    subject: Subject,
    floor: u64,
) -> Result<Vec<Step>, Problem> {
    let floor_ms = floor.saturating_mul(1000);
    let node = Arc::clone(call.node);
    let is_above = move |issued: &Issued| issued.user == subject && issued.issued_at_ms > floor_ms;
    let found = call
        .node
        .scans
        .run(move || {
            let (mut all, mut after) = (Vec::new(), None);
            loop {
                let found = find(&node, after, REVOKED_AT_ONCE_MAX, is_above)?;
                all.extend(found.tokens);
                after = found.next;
                if after.is_none() || all.len() >= REVOKED_AT_ONCE_MAX {
                    return Ok(all);
                }
            }
        })
        .await?;
    if found.len() >= REVOKED_AT_ONCE_MAX {
        return Err(Problem::new(
            Code::Conflict,
            "the clock of another node is ahead and has made too many tokens: ask there",
        ));
    }
    let now_ms = call.now_ms();
    let revoke = |(jti, issued): (Uuid, Issued)| {
        let revocation = Revocation {
            user: Some(issued.user),
            expires_at_ms: Some(issued.expires_at_ms),
            revoked_at_ms: now_ms,
        };
        call.put(Place::Revoked(jti), revocation.write())
    };
    // Those that are refused already too: that begins before their commit, which may have failed.
    Ok(found.into_iter().map(revoke).collect())
}
