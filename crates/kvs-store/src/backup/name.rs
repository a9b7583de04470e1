//! The names of backup files: `kvs-NODE-20260101T000000Z.kvsb`.

use chrono::DateTime;

/// How backup files begin.
pub(crate) const PREFIX: &str = "kvs-";

/// How backup files end.
pub(crate) const SUFFIX: &str = ".kvsb";

/// Most characters of the node id in a file's name.
const NODE_CHARACTERS_MAX: usize = 64;

/// The name of a backup of this node at this time (ms since 1970); `copy` from 1 numbers backups of one second.
///
/// The node id is made a plain name: what is neither an ASCII letter nor a digit, dot, dash or underscore becomes an
/// underscore.
pub(crate) fn file_name(node_id: &str, created_at_ms: u64, copy: u32) -> String {
    let plain = |character: char| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' => character,
        _ => '_',
    };
    let mut node: String = node_id.chars().take(NODE_CHARACTERS_MAX).map(plain).collect();
    if node.is_empty() {
        node.push_str("node");
    }
    let time = time_text(created_at_ms);
    match copy {
        0 | 1 => format!("{PREFIX}{node}-{time}{SUFFIX}"),
        _ => format!("{PREFIX}{node}-{time}-{copy}{SUFFIX}"),
    }
}

/// The UTC second, as `20260101T000000Z`; for times that no calendar reaches, the milliseconds.
fn time_text(ms: u64) -> String {
    let date = i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis);
    date.map_or_else(|| format!("{ms}ms"), |date| date.format("%Y%m%dT%H%M%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn names_tell_node_and_second() {
        assert_eq!(file_name("node-alpha", 0, 1), "kvs-node-alpha-19700101T000000Z.kvsb");
        assert_eq!(file_name("a", 951_782_399_999, 1), "kvs-a-20000228T235959Z.kvsb");
        assert_eq!(file_name("a", 951_782_400_000, 2), "kvs-a-20000229T000000Z-2.kvsb");
        assert_eq!(file_name("a", 1_785_542_399_000, 1), "kvs-a-20260731T235959Z.kvsb");
    }

    #[test]
    fn a_node_id_cannot_lead_out_of_the_folder() {
        assert_eq!(file_name("../etc/pass wd\n", 0, 1), "kvs-.._etc_pass_wd_-19700101T000000Z.kvsb");
        assert_eq!(file_name("", 0, 1), "kvs-node-19700101T000000Z.kvsb");
        assert!(file_name(&"é".repeat(500), u64::MAX, u32::MAX).len() < 150);
    }
}
