//! Waits until nodes that are all well again know each other and are equal.

use std::thread;
use std::time::Duration;

use anyhow::bail;
use serde_json::Value;

use crate::clock;
use crate::torture::ledger::Ledger;
use crate::torture::nodes::{NODES, Nodes};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// Pause between two looks.
const POLL: Duration = Duration::from_millis(250);

/// Waits; answers how long it took.
///
/// # Errors
///
/// It did not come to that: the last reason.
pub(crate) fn wait(nodes: &mut Nodes, ledger: &Ledger) -> anyhow::Result<Duration> {
    let begin = clock::now();
    loop {
        nodes.revive()?.into_iter().for_each(|said| ledger.wrong(said));
        let Err(reason) = look(nodes) else { return Ok(begin.elapsed()) };
        if begin.elapsed() > PATIENCE {
            bail!("the nodes are not equal after {} s: {reason:#}", PATIENCE.as_secs());
        }
        thread::sleep(POLL);
    }
}

/// Whether all are alive, have nothing to fetch or to send, park nothing and show one root.
fn look(nodes: &Nodes) -> anyhow::Result<()> {
    let mut roots = Vec::new();
    for node in 0..NODES {
        let mut talk = nodes.talk(node);
        let report = talk.json("/cluster/convergence")?;
        let peers = report.get("peers").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_near = |peer: &&Value| {
            peer.get("status").and_then(Value::as_str) == Some("alive")
                && peer.get("reachable") == Some(&Value::Bool(true))
                && peer.get("lag_records").and_then(Value::as_u64) == Some(0)
                && peer.get("equal") == Some(&Value::Bool(true))
        };
        let is_still = report.get("parked").and_then(Value::as_u64) == Some(0)
            && report.get("bootstrap").is_none_or(Value::is_null);
        if peers.iter().filter(is_near).count() + 1 < NODES || !is_still {
            bail!("n{node} says {report}");
        }
        roots.push(talk.json("/sync/merkle/root")?);
    }
    if roots.windows(2).any(|pair| pair.first() != pair.last()) {
        bail!("roots differ: {roots:?}");
    }
    Ok(())
}
