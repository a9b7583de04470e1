//! `kvs token`: the token of root, or one that is minted for somebody.

use anyhow::{Context, Result};
use kvs_client::accounts::users_named;
use kvs_config::config::Config;
use kvs_server::local_token::{self, Grant};

use super::connect::connect;
use super::settings;
use crate::args::NodeArgs;
use crate::exit::{Exit, UsageError};
use crate::printer::Printer;
use crate::token_args::TokenArgs;

/// Prints a token, and nothing else on standard output.
pub(super) fn token(args: TokenArgs, printer: &Printer) -> Result<Exit> {
    let config = settings::read(args.config.as_deref())?;
    let token = match args.user {
        None => local_token::root(&config)?,
        Some(user) => {
            let grant = Grant::read(&args.scopes, args.ttl.as_deref(), &args.paths).map_err(UsageError)?;
            let name = if local_token::is_subject(&user) { user } else { look_up(&user, &config)? };
            local_token::for_subject(&config, &name, grant)?
        }
    };
    printer.line(&token)?;
    Ok(Exit::Done)
}

/// The uuid of the one user with this nickname, from the running node, which is asked as root.
fn look_up(nickname: &str, config: &Config) -> Result<String> {
    let node = NodeArgs {
        url: None,
        token: Some(local_token::root(config)?),
        token_file: None,
        ca: None,
        config: Some(config.source.clone()),
        timeout: None,
    };
    let asked = connect(node).and_then(|http| Ok(users_named(&http, nickname)?));
    let users = asked.with_context(|| {
        format!("{nickname:?} is no uuid, and the node could not be asked who has this nickname")
    })?;
    match users.as_slice() {
        [user] => Ok(user.clone()),
        [] => Err(UsageError(format!("there is no user {nickname:?}")).into()),
        many => Err(UsageError(format!("several users are called {nickname:?}: {}", many.join(", "))).into()),
    }
}
