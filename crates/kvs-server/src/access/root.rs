//! Keeps the token of root good while the node runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kvs_audit::event::EventKind;
use kvs_auth::subject::Subject;
use kvs_store::clock::Clock;

use crate::access::guard::Accounts;
use crate::audit::recorder::Recorder;
use crate::context::Node;
use crate::limits::ROOT_TOKEN_LOOK_INTERVAL;
use crate::root_token;

/// Makes sure that the data directory holds a token of root that is good for a while, and notes in the trail when it made one.
///
/// # Errors
///
/// It cannot be read or written.
pub(crate) fn ensure(
    data_dir: &Path,
    accounts: &Accounts,
    recorder: &Recorder,
    now_s: u64,
) -> io::Result<()> {
    if let Some(token) = root_token::read(data_dir)?
        && let Ok(bearer) = accounts.verify(&token, now_s)
        && bearer.is_admin()
        && root_token::is_fresh(bearer.expires_at_s, now_s)
    {
        return Ok(());
    }
    let floor_s = accounts.directory().floor(Subject::Root);
    let token = root_token::mint_root(accounts.keys(), now_s, floor_s)?;
    root_token::write(data_dir, &token)?;
    let number = accounts.verify(&token, now_s).map(|bearer| bearer.jti.to_string());
    // Right after a floor by a clock that is ahead it is not good yet, and nobody can use its number.
    let made = format!("root.token {}", number.unwrap_or_default());
    recorder.note(EventKind::TokenIssued, "", made.trim_end());
    Ok(())
}

/// Looks after the token for ever.
pub(crate) async fn keep(node: Arc<Node>, data_dir: PathBuf) {
    if node.guard.accounts().is_none() {
        return;
    }
    let mut ticks = tokio::time::interval(ROOT_TOKEN_LOOK_INTERVAL);
    loop {
        ticks.tick().await;
        let (keeping, dir) = (Arc::clone(&node), data_dir.clone());
        let kept = tokio::task::spawn_blocking(move || match keeping.guard.accounts() {
            Some(accounts) => ensure(&dir, accounts, &keeping.recorder, keeping.clock.now_ms() / 1000),
            None => Ok(()),
        });
        match kept.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the token of root cannot be kept in root.token"),
            Err(error) => tracing::warn!(%error, "looking after the token of root ended early"),
        }
    }
}
