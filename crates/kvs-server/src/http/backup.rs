//! `/backup`: the backups of the node.

use std::sync::Arc;

use crate::context::Node;
use crate::http::query::Query;
use crate::http::reply::Reply;
use crate::problem::Problem;

pub(crate) async fn list(_node: &Arc<Node>, query: Option<&str>) -> Result<Reply, Problem> {
    Query::read(query, &[])?;
    Err(Problem::no_such_route())
}

pub(crate) async fn create(_node: &Arc<Node>, query: Option<&str>) -> Result<Reply, Problem> {
    Query::read(query, &[])?;
    Err(Problem::no_such_route())
}
