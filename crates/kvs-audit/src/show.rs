//! Looking for entries: by who did it, by key, by time. Reads line by line, while a node writes too, and proves nothing.

use std::ops::ControlFlow;
use std::path::Path;

use crate::entry::Entry;
use crate::error::AuditError;
use crate::walk::{Step, Walk};

/// Which entries to show; an empty filter shows all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those of this principal.
    pub who: Option<String>,
    /// Only those about this key or one below it; slashes at its ends do not count.
    pub path: Option<String>,
    /// Only those from this time on, in milliseconds since 1970-01-01 UTC.
    pub since_ms: u64,
}

impl Filter {
    /// Whether the filter lets an entry through.
    pub fn admits(&self, entry: &Entry) -> bool {
        entry.time_ms >= self.since_ms
            && self.who.as_ref().is_none_or(|who| entry.who == *who)
            && self.path.as_ref().is_none_or(|path| is_at_or_below(entry.path.as_deref(), path))
    }
}

/// Whether `path` is `top` or lies below it, by whole segments.
fn is_at_or_below(path: Option<&str>, top: &str) -> bool {
    let Some(path) = path else { return false };
    let top = top.trim_matches('/');
    let rest = path.trim_start_matches('/').strip_prefix(top);
    top.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What was walked over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shown {
    /// How many entries the filter let through.
    pub entries: u64,
    /// How many lines are no entries, or are not what was hashed: `verify` says more.
    pub unsound: u64,
}

/// Calls `show` for every entry that the filter lets through, the oldest first, with its line as it stands in the file,
/// until it says that it has seen enough. An entry whose bytes are not those that were hashed is counted and not shown.
///
/// # Errors
///
/// Files cannot be read.
pub fn show(
    audit_dir: &Path,
    filter: &Filter,
    show: &mut dyn FnMut(&Entry, &[u8]) -> ControlFlow<()>,
) -> Result<Shown, AuditError> {
    let mut walk = Walk::begin(audit_dir)?;
    let mut shown = Shown::default();
    loop {
        match walk.step()? {
            Step::Line(_, Ok(line)) if line.is_whole() => {
                if filter.admits(&line.entry) {
                    shown.entries += 1;
                    if show(&line.entry, walk.bytes()).is_break() {
                        return Ok(shown);
                    }
                }
            }
            Step::Line(..) => shown.unsound += 1,
            Step::Segment(_) | Step::Torn(_) => {}
            Step::End => return Ok(shown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_at_or_below;

    #[test]
    fn a_path_means_itself_and_what_is_below() {
        for (path, top, expected) in [
            ("a/b", "a", true),
            ("a/b", "/a/", true),
            ("a", "a", true),
            ("ab", "a", false),
            ("a", "a/b", false),
            ("x/a", "a", false),
            ("anything", "", true),
        ] {
            assert_eq!(is_at_or_below(Some(path), top), expected, "{path} {top}");
        }
        assert!(!is_at_or_below(None, "a"));
        assert!(!is_at_or_below(None, ""));
    }
}
