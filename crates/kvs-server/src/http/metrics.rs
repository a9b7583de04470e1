//! `GET /metrics`: everything the node counts, in the Prometheus text format.

use std::sync::atomic::Ordering;

use kvs_store::clock::Clock;
use kvs_store::shared::State;

use crate::context::Node;
use crate::http::query::Query;
use crate::http::reply::Reply;
use crate::metrics_text::{CONTENT_TYPE, Kind, MetricsText, Unit};
use crate::problem::Problem;
use crate::routes::Family;
use kvs_core::version::Rule;
use kvs_protocol::mode::Mode;

/// Answers `/metrics`. Looks at the engine's files, so it may wait for the disk.
pub(crate) fn metrics(node: &Node, query: Option<&str>) -> Result<Reply, Problem> {
    Query::read(query, &[])?;
    let mut text = MetricsText::default();
    requests(node, &mut text);
    connections(node, &mut text);
    store(node, &mut text);
    cache(node, &mut text);
    backups(node, &mut text);
    Ok(Reply::text(CONTENT_TYPE, text.into_text()))
}

fn requests(node: &Node, text: &mut MetricsText) {
    let samples = Family::ALL.iter().flat_map(|family| {
        let label = move |class: u16| format!("route=\"{}\",status=\"{}xx\"", family.name(), class / 100);
        let classes = node.metrics.requests(*family);
        classes.into_iter().filter(|(class, _)| *class > 100).map(move |(class, count)| (label(class), count))
    });
    text.labelled(
        Kind::Counter,
        "kvs_http_requests_total",
        "Answered requests by route and class of status.",
        samples,
    );
    let times = Family::ALL
        .iter()
        .map(|family| (format!("route=\"{}\"", family.name()), node.metrics.latency(*family)));
    text.distributions(
        "kvs_http_request_duration_seconds",
        "From a request's head to its answer being ready, by route; of cached reads one in 16 is timed.",
        Unit::Nanoseconds,
        times,
    );
}

fn connections(node: &Node, text: &mut MetricsText) {
    let counts = node.registry.counts();
    text.single(Kind::Gauge, "kvs_connections_open", "Open connections.", counts.open as u64);
    text.single(Kind::Counter, "kvs_connections_total", "Connections since the start.", counts.accepted);
    text.single(
        Kind::Counter,
        "kvs_connections_refused_total",
        "Connections closed at once because there were too many.",
        counts.turned_away,
    );
    text.single(
        Kind::Counter,
        "kvs_connections_timed_out_total",
        "Connections closed because they were too slow or idle for too long.",
        counts.overdue,
    );
}

fn store(node: &Node, text: &mut MetricsText) {
    let status = node.vault.status();
    text.single(
        Kind::Gauge,
        "kvs_keys",
        "Records with a value, those of accounts and metadata included.",
        status.keys,
    );
    text.single(Kind::Gauge, "kvs_bytes", "Bytes of their JSON as sent.", status.bytes);
    text.single(Kind::Gauge, "kvs_tombstones", "Keys with a tombstone.", status.tombstones);
    text.single(Kind::Gauge, "kvs_disk_bytes", "Bytes that the store takes on the disk.", status.disk_bytes);
    text.single(
        Kind::Gauge,
        "kvs_write_queue_length",
        "Transactions that wait for the committer.",
        status.queue_len as u64,
    );
    let is_writable = status.state == State::Open && node.mode() == Mode::Normal;
    text.single(Kind::Gauge, "kvs_writable", "1 while clients can write.", u64::from(is_writable));
    text.distributions(
        "kvs_commit_batch_transactions",
        "Transactions per commit.",
        Unit::Count,
        std::iter::once((String::new(), node.metrics.batch_transactions.distribution())),
    );
    text.distributions(
        "kvs_commit_duration_seconds",
        "Time per commit, fsync included.",
        Unit::Nanoseconds,
        std::iter::once((String::new(), node.metrics.commit_ns.distribution())),
    );
    text.single(
        Kind::Counter,
        "kvs_committed_keys_total",
        "Keys changed by commits.",
        node.metrics.committed_keys.load(Ordering::Relaxed),
    );
    text.single(
        Kind::Counter,
        "kvs_committed_bytes_total",
        "Bytes handed to the engine by commits.",
        node.metrics.committed_bytes.load(Ordering::Relaxed),
    );
    text.single(
        Kind::Gauge,
        "kvs_uptime_seconds",
        "Seconds since the start.",
        node.clock.monotonic().as_secs_f64(),
    );
    let rules = [Rule::Newer, Rule::OlderNode, Rule::SmallerUuid]
        .map(|rule| (format!("rule=\"{}\"", rule.name()), node.metrics.resolutions(rule)));
    text.labelled(
        Kind::Counter,
        "kvs_conflicts_resolved_total",
        "Versions of a key that met and lost, by the rule that decided; the losers are in the history.",
        rules.into_iter(),
    );
    text.single(
        Kind::Gauge,
        "kvs_parked_records",
        "Records stamped too far ahead of this node's clock.",
        status.parked,
    );
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    text.labelled(Kind::Gauge, "kvs_build_info", "Always 1.", std::iter::once((version, 1_u64)));
}

fn cache(node: &Node, text: &mut MetricsText) {
    let counts = node.answers.counts();
    let (hits, misses) = node.metrics.lookups();
    text.single(Kind::Counter, "kvs_cache_hits_total", "Reads answered from the cache.", hits);
    text.single(Kind::Counter, "kvs_cache_misses_total", "Reads that went to the store.", misses);
    text.single(Kind::Gauge, "kvs_cache_bytes", "Bytes in the cache.", counts.bytes);
    text.single(Kind::Gauge, "kvs_cache_answers", "Answers in the cache.", counts.answers);
}

fn backups(node: &Node, text: &mut MetricsText) {
    let last = node.backups.last();
    let seconds = |ms: Option<u64>| ms.unwrap_or_default() / 1000;
    text.single(
        Kind::Gauge,
        "kvs_backup_last_success_timestamp_seconds",
        "When the last backup was made, 0 for never.",
        seconds(last.last_success),
    );
    text.single(
        Kind::Gauge,
        "kvs_backup_last_failure_timestamp_seconds",
        "When the last backup of this process failed, 0 for never.",
        seconds(last.last_failure),
    );
}
