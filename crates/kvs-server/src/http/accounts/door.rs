//! From a call about accounts to its handler.

use std::sync::Arc;

use http::request::Parts;
use hyper::body::Incoming;

use crate::access::visitor::Visitor;
use crate::account_routes::AccountRoute;
use crate::context::Node;
use crate::http::accounts::call::Call;
use crate::http::accounts::{groups, tokens, users, whoami};
use crate::http::reply::Reply;
use crate::problem::Problem;

/// Answers a call about accounts. Where there are none (`auth_enabled: false`) it is as if the resource were not there.
pub(crate) async fn answer(
    node: &Arc<Node>,
    visitor: &Visitor,
    route: AccountRoute<'_>,
    parts: &Parts,
    body: Incoming,
) -> Result<Reply, Problem> {
    let accounts = node.guard.accounts().ok_or_else(Problem::no_such_route)?;
    let call = Call { node, accounts, visitor, query: parts.uri.query(), headers: &parts.headers };
    match route {
        AccountRoute::CreateUser => users::create(call, body).await,
        AccountRoute::ListUsers => users::list(call),
        AccountRoute::ReadUser(user) => users::read(call, user),
        AccountRoute::ReplaceUser(user) => users::replace(call, user, body).await,
        AccountRoute::DeleteUser(user) => users::delete(call, user).await,
        AccountRoute::RevokeAll(user) => users::revoke_all(call, user).await,
        AccountRoute::CreateGroup => groups::create(call, body).await,
        AccountRoute::ListGroups => groups::list(call),
        AccountRoute::ReadGroup(group) => groups::read(call, group),
        AccountRoute::ReplaceGroup(group) => groups::replace(call, group, body).await,
        AccountRoute::DeleteGroup(group) => groups::delete(call, group).await,
        AccountRoute::MintToken => tokens::create(call, body).await,
        AccountRoute::ListTokens => tokens::list(call).await,
        AccountRoute::RevokeToken(jti) => tokens::revoke(call, jti).await,
        AccountRoute::WhoAmI => whoami::whoami(call),
    }
}
