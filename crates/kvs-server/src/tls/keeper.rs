//! The endpoint that holds now, exchanged when the files change.
//!
//! A change is taken up once two looks in a row find the files the same, so that a certificate and a key that are written
//! one after the other are taken up together. Files that cannot be used are told once and change nothing.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use chrono::DateTime;
use kvs_config::config::Config;
use kvs_store::clock::Clock as _;

use super::endpoint::Endpoint;
use super::files::{Stamp, TlsFiles};
use crate::clock::SystemClock;
use crate::error::ServerError;
use crate::limits::{TLS_EXPIRY_NOTICE, TLS_EXPIRY_NOTICE_INTERVAL, TLS_LOOK_INTERVAL};
use crate::peer::complaints::Complaints;

/// The TLS of one node.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsFiles,
    current: RwLock<Arc<Endpoint>>,
    seen: Mutex<Seen>,
    complaints: Complaints<IpAddr>,
}

/// What earlier looks found.
#[derive(Debug)]
struct Seen {
    /// At the last look.
    last: Stamp,
    /// When the files were last read, whatever came of it.
    read: Stamp,
}

/// What a look came to.
#[derive(Debug)]
enum Found {
    /// Nothing to do, yet.
    Nothing,
    /// Other files, which hold from now on.
    Exchanged,
    /// Other files that cannot be used.
    Unusable(ServerError),
}

impl Tls {
    /// Reads what a configuration names; `None` when it does not turn TLS on. Blocks for as long as the disk takes.
    ///
    /// # Errors
    ///
    /// [`ServerError::Tls`].
    pub(crate) fn open(config: &Config) -> Result<Option<Arc<Self>>, ServerError> {
        let Some(files) = TlsFiles::of(config) else { return Ok(None) };
        // Before they are read, so that a change meanwhile is seen at the next look.
        let stamp = files.stamp();
        let endpoint = Endpoint::load(&files)?;
        Ok(Some(Arc::new(Self {
            files,
            current: RwLock::new(Arc::new(endpoint)),
            seen: Mutex::new(Seen { last: stamp, read: stamp }),
            complaints: Complaints::default(),
        })))
    }

    /// What holds for a new connection.
    pub(crate) fn current(&self) -> Arc<Endpoint> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells, once in a while for each address, that a client certificate was refused.
    pub(crate) fn complain(&self, from: IpAddr, reason: &rustls::Error, now: Duration) {
        if self.complaints.is_due(from, now) {
            tracing::warn!(%from, %reason, "a client certificate was refused");
        }
    }

    /// Looks at the files.
    fn look(&self) -> Found {
        let stamp = self.files.stamp();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_settled = std::mem::replace(&mut seen.last, stamp) == stamp;
        if stamp == seen.read || !is_settled {
            return Found::Nothing;
        }
        seen.read = stamp;
        match Endpoint::load(&self.files) {
            Ok(endpoint) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(endpoint);
                Found::Exchanged
            }
            Err(error) => Found::Unusable(error),
        }
    }
}

/// Takes up changed files and tells when the certificate ends soon, for ever.
pub(crate) async fn keep(tls: Arc<Tls>, clock: SystemClock) {
    let mut ticks = tokio::time::interval(TLS_LOOK_INTERVAL);
    let mut noticed: Option<Duration> = None;
    loop {
        ticks.tick().await;
        let looking = Arc::clone(&tls);
        match tokio::task::spawn_blocking(move || looking.look()).await {
            Ok(Found::Exchanged) => {
                noticed = None;
                tracing::info!("new TLS certificates hold for new connections");
            }
            Ok(Found::Unusable(error)) => {
                tracing::error!(%error, "the new TLS files cannot be used; the old ones stay");
            }
            Ok(Found::Nothing) | Err(_) => {}
        }
        let now = clock.monotonic();
        if noticed.is_none_or(|at| now.saturating_sub(at) >= TLS_EXPIRY_NOTICE_INTERVAL) {
            noticed = Some(now);
            tell_end(tls.current().valid_until_ms, clock.now_ms());
        }
    }
}

/// Warns when the node's own certificate ends soon or has ended.
fn tell_end(valid_until_ms: Option<u64>, now_ms: u64) {
    let Some(end_ms) = valid_until_ms else { return };
    let end = i64::try_from(end_ms).ok().and_then(DateTime::from_timestamp_millis);
    let end = end.map(|end| end.to_rfc3339()).unwrap_or_default();
    let soon_ms = u64::try_from(TLS_EXPIRY_NOTICE.as_millis()).unwrap_or(u64::MAX);
    if end_ms <= now_ms {
        tracing::error!(end, "the certificate in tls_cert has expired: clients and peers refuse it");
    } else if end_ms.saturating_sub(now_ms) < soon_ms {
        tracing::warn!(end, "the certificate in tls_cert expires soon");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use kvs_certs::authority::Authority;
    use kvs_certs::node_certificate::{Earlier, NodeCertificate, Wanted};
    use kvs_config::config::{Config, parse};

    use super::{Found, Tls};

    const NOW_MS: u64 = 1_800_000_000_000;

    fn make(folder: &Path) {
        let authority = Authority::open_or_make(folder, NOW_MS).unwrap();
        let wanted = Wanted { node: "n", hosts: Vec::new(), days: 1, earlier: Earlier::Replace };
        NodeCertificate::make(folder, &authority, &wanted, NOW_MS).unwrap();
    }

    fn config(folder: &Path) -> Config {
        let text = "tls_cert: n.pem\ntls_key: n.key\ntls_client_ca: ca.pem\n";
        parse(text, folder.join("config.yaml"), &|_| None, "node").unwrap()
    }

    #[test]
    fn changed_files_are_taken_up_at_the_second_look() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        let tls = Tls::open(&config(folder.path())).unwrap().unwrap();
        let first = tls.current();
        assert!(matches!(tls.look(), Found::Nothing));
        make(folder.path());
        assert!(matches!(tls.look(), Found::Nothing));
        assert!(matches!(tls.look(), Found::Exchanged));
        assert!(!Arc::ptr_eq(&first, &tls.current()));
        assert!(matches!(tls.look(), Found::Nothing));
    }

    #[test]
    fn unusable_files_are_told_once_and_the_old_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        let tls = Tls::open(&config(folder.path())).unwrap().unwrap();
        let first = tls.current();
        std::fs::write(folder.path().join("n.pem"), "nothing").unwrap();
        assert!(matches!(tls.look(), Found::Nothing));
        assert!(matches!(tls.look(), Found::Unusable(_)));
        assert!(matches!(tls.look(), Found::Nothing));
        assert!(Arc::ptr_eq(&first, &tls.current()));
        make(folder.path());
        tls.look();
        assert!(matches!(tls.look(), Found::Exchanged));
    }

    #[test]
    fn without_a_certificate_there_is_no_tls() {
        let config = parse("", "/tmp/config.yaml".into(), &|_| None, "node").unwrap();
        assert!(Tls::open(&config).unwrap().is_none());
    }
}
