//! The audit trail of a node that starts, at once or as soon as its disk has room.
//!
//! A node whose disk is full serves reads without a trail; what must be noted before it is done is refused meanwhile.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kvs_audit::audit_log::AuditLog;
use kvs_audit::error::AuditError;
use kvs_audit::event::EventKind;
use kvs_audit::files::audit_dir;
use kvs_audit::trail::Options;
use kvs_store::clock::Clock;
use uuid::Uuid;

use crate::audit::recorder::Recorder;
use crate::context::Node;
use crate::error::ServerError;
use crate::limits::AUDIT_LOOK_INTERVAL;
use crate::random::random_bytes;

/// Opens the trail and records into it; where the disk has no room for that, the recorder waits for it.
///
/// # Errors
///
/// It cannot be opened, and not for want of room.
pub(crate) fn begin(
    recorder: &Recorder,
    data_dir: &Path,
    node: Uuid,
    now_ms: u64,
) -> Result<(), ServerError> {
    let options = Options::new(node, random_bytes()?);
    match AuditLog::open(&audit_dir(data_dir), options, now_ms) {
        Ok(log) => {
            if let Some(damage) = &log.opening().damage {
                tracing::error!(
                    damage,
                    "the audit trail is damaged: kvs audit verify says where; it goes on behind that"
                );
            }
            recorder.begin(Arc::new(log));
            Ok(())
        }
        Err(error) if lacks_room(&error) => {
            if !recorder.is_awaited() {
                tracing::error!(
                    %error,
                    "disk_full: the audit trail cannot be opened yet; what it must tell of is refused meanwhile"
                );
            }
            recorder.await_trail();
            Ok(())
        }
        Err(error) => Err(ServerError::Audit(error)),
    }
}

/// Opens the trail that a node could not open when it started.
pub(crate) async fn open(node: Arc<Node>, data_dir: PathBuf, summary: String) {
    if !node.recorder.is_awaited() {
        return;
    }
    let mut ticks = tokio::time::interval(AUDIT_LOOK_INTERVAL);
    while node.recorder.is_awaited() {
        ticks.tick().await;
        let (opening, dir) = (Arc::clone(&node), data_dir.clone());
        let opened = tokio::task::spawn_blocking(move || {
            begin(&opening.recorder, &dir, opening.vault.own().node(), opening.clock.now_ms())
        });
        match opened.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the audit trail cannot be opened yet"),
            Err(error) => tracing::error!(%error, "opening the audit trail ended early"),
        }
    }
    note_start(&node, &summary);
    tracing::info!("the audit trail is open");
}

/// Notes that the node began and how it is configured; nothing while there is no trail.
pub(crate) fn note_start(node: &Node, summary: &str) {
    node.recorder.note(EventKind::Config, "", summary);
    let started = format!("version {}, listening on {}", env!("CARGO_PKG_VERSION"), node.listening);
    node.recorder.note(EventKind::Start, "", &started);
}

/// Whether a file could not be written because the disk is full.
pub(crate) fn is_want_of_room(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

fn lacks_room(error: &AuditError) -> bool {
    match error {
        AuditError::Full { .. } => true,
        AuditError::Create { source, .. } | AuditError::Write { source, .. } => is_want_of_room(source),
        _ => false,
    }
}
