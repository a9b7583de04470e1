//! A model of listings: what `_range` must answer, worked out from the keys alone.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::client::{Client, encode};

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    pub(super) start_key: Option<&'static str>,
    pub(super) end_key: Option<&'static str>,
    pub(super) prefix: Option<&'static str>,
    pub(super) delimiter: Option<&'static str>,
    pub(super) reverse: bool,
    pub(super) limit: Option<usize>,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Line {
    Key(String),
    Prefix(String),
}

impl Line {
    fn text(&self) -> &str {
        match self {
            Self::Key(text) | Self::Prefix(text) => text,
        }
    }
}

impl Asked {
    /// The target, with a cursor from the second page on.
    pub(super) fn target(&self, cursor: Option<&str>) -> String {
        let mut target = "/kv/_range?".to_owned();
        let mut add = |name: &str, value: &str| target += &format!("{name}={}&", encode(value));
        for (name, value) in [
            ("start_key", self.start_key),
            ("end_key", self.end_key),
            ("prefix", self.prefix),
            ("delimiter", self.delimiter),
            ("cursor", cursor),
        ] {
            if let Some(value) = value {
                add(name, value);
            }
        }
        if self.reverse {
            add("reverse", "true");
        }
        if let Some(limit) = self.limit {
            add("limit", &limit.to_string());
        }
        target.pop();
        target
    }

    /// All lines that must come, in their order.
    pub(super) fn expected(&self, keys: &BTreeSet<String>) -> Vec<Line> {
        let prefix = self.prefix.unwrap_or_default();
        let wanted = keys.iter().filter(|key| {
            self.start_key.is_none_or(|start| key.as_str() >= start)
                && self.end_key.is_none_or(|end| key.as_str() < end)
                && key.starts_with(prefix)
        });
        let mut lines: Vec<Line> = Vec::new();
        for key in wanted {
            let folded = self.delimiter.and_then(|delimiter| {
                let end = key[prefix.len()..].find(delimiter)? + prefix.len() + delimiter.len();
                // A key that ends there is no deeper one.
                (end < key.len()).then(|| Line::Prefix(key[..end].to_owned()))
            });
            let line = folded.unwrap_or_else(|| Line::Key(key.clone()));
            if lines.last() != Some(&line) {
                lines.push(line);
            }
        }
        if self.reverse {
            lines.reverse();
        }
        lines
    }

    /// Reads all pages and checks each for what a page must be; the lines in their order.
    #[track_caller]
    pub(super) fn read(&self, client: &mut Client) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..1000 {
            let page = client.get(&self.target(cursor.as_deref())).expect(200).json();
            let found = self.lines_of(&page);
            assert!(found.len() <= self.limit.unwrap_or(100), "a page is longer than its limit: {page}");
            lines.extend(found);
            match &page["next"] {
                Value::Null => return lines,
                Value::String(next) => {
                    assert_ne!(cursor.as_ref(), Some(next), "the listing does not move on");
                    cursor = Some(next.clone());
                }
                other => panic!("next is neither a text nor null: {other}"),
            }
        }
        panic!("the listing has no end: {self:?}");
    }

    /// Keys and prefixes of a page, merged into one order; each list must be in that order already.
    fn lines_of(&self, page: &Value) -> Vec<Line> {
        let items = page["items"].as_array().unwrap();
        let keys: Vec<Line> =
            items.iter().map(|item| Line::Key(item["path"].as_str().unwrap().to_owned())).collect();
        let prefixes = page["prefixes"].as_array().unwrap();
        let prefixes: Vec<Line> =
            prefixes.iter().map(|prefix| Line::Prefix(prefix.as_str().unwrap().to_owned())).collect();
        for list in [&keys, &prefixes] {
            let mut sorted = list.clone();
            sorted.sort_by(|one, other| one.text().cmp(other.text()));
            if self.reverse {
                sorted.reverse();
            }
            assert_eq!(list, &sorted, "a page is not in order");
        }
        let mut lines = [keys, prefixes].concat();
        lines.sort_by(|one, other| one.text().cmp(other.text()));
        if self.reverse {
            lines.reverse();
        }
        lines
    }
}
