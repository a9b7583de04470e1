//! From the arguments that name a node to a connection to it.

use std::time::Duration;

use anyhow::Result;
use kvs_client::http::Http;
use kvs_client::limits::REQUEST_TIMEOUT;
use kvs_client::target::{Surroundings, Target, Wanted, read_token};

use super::service::listening;
use super::settings::env;
use crate::args::NodeArgs;

/// The node that these arguments, the environment and the current folder name. Nothing is sent yet.
pub(super) fn connect(node: NodeArgs) -> Result<Http> {
    connect_within(node, REQUEST_TIMEOUT)
}

/// The same, where a request takes `default` at most unless the arguments say otherwise.
pub(super) fn connect_within(node: NodeArgs, default: Duration) -> Result<Http> {
    let NodeArgs { url, token, token_file, ca, config, timeout } = node;
    let token = token_file.map_or(Ok(token), |file| read_token(&file).map(Some))?;
    let surroundings = Surroundings { env: &env, listening: &listening };
    let target = Target::resolve(&Wanted { url, token, ca, config }, surroundings)?;
    Ok(Http::new(target, timeout.unwrap_or(default))?)
}
