//! The node's part in its cluster: taken at the start, or once the start is on the disk.

use std::sync::Arc;

use kvs_config::config::Config;
use kvs_protocol::peer_auth::keyring::Keyring;

use super::handle::End;
use super::start::{self, Parts, Queues, Threads};
use super::wake::Wake;
use crate::context::Node;
use crate::error::ServerError;
use crate::limits::LATE_START_LOOK_INTERVAL;

/// What a node needs that is to take part in its cluster.
pub(crate) struct Waiting {
    /// The queues of its threads.
    pub(crate) queues: Queues,
    /// The keys of the cluster.
    pub(crate) keyring: Keyring,
    /// What the committer sets.
    pub(crate) wake: Arc<Wake>,
}

/// The node's part in its cluster.
pub(crate) enum Part {
    /// It is alone.
    None,
    /// Its start is not on the disk yet, so it must not speak to its peers.
    Waiting(Box<Waiting>),
    /// It takes part.
    Taken(Threads),
}

impl Part {
    /// Takes part from now on, if it waited for that.
    ///
    /// # Errors
    ///
    /// As [`start::start`].
    pub(crate) fn take(&mut self, node: &Node, config: &Config) -> Result<(), ServerError> {
        match std::mem::replace(self, Self::None) {
            Self::Waiting(waiting) => {
                let Waiting { queues, keyring, wake } = *waiting;
                let (store, tls) = (Arc::clone(node.vault.own()), node.tls.clone());
                let (listening, clock) = (node.listening, node.clock);
                let parts = Parts { config, listening, keyring, store, clock, wake, tls };
                let (started, answers_peers) = tokio::task::block_in_place(|| start::start(queues, parts))?;
                if let Some(gate) = &node.gate {
                    gate.serve(answers_peers);
                }
                *self = Self::Taken(started);
            }
            same => *self = same,
        }
        Ok(())
    }
}

/// Takes part in the cluster as soon as that may be; completes when the cluster says that this node must not go on.
pub(crate) async fn ended_by_cluster(part: &mut Part, node: &Node, config: &Config) -> ServerError {
    if matches!(part, Part::Waiting(_)) {
        while !node.vault.own().has_begun() {
            tokio::time::sleep(LATE_START_LOOK_INTERVAL).await;
        }
        if let Err(error) = part.take(node, config) {
            return error;
        }
        tracing::info!("the node takes part in its cluster");
    }
    if let Part::Taken(threads) = part {
        match threads.end.recv().await {
            Some(End::Refused(reason)) => return ServerError::Cluster { reason },
            Some(End::Forgotten) => return ServerError::Forgotten,
            None => {}
        }
    }
    std::future::pending().await
}
