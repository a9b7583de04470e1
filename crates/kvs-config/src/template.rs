//! The text of a new configuration file: every key of the table with its default, its range and one line about it.
//!
//! Invariant: the file that is written reads back as the defaults.

use std::fmt::Write as _;

use crate::host::valid_node_id;
use crate::keys::{KEYS, Key};

const HEAD: &str = "\
# Configuration of a kvs node. Every key is optional and shown with its default.
# Relative paths start at the folder of this file. The variable KVS_<KEY> of the environment overrides a key,
# for example KVS_PORT=9000; lists are divided by commas there.
";

/// A commented and complete configuration with all defaults, where `node_id` is `host_name`.
#[must_use]
pub fn default_text(host_name: &str) -> String {
    let mut text = HEAD.to_owned();
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            section = key.section;
            add(&mut text, format_args!("\n# ---- {section} ----\n"));
        }
        add(
            &mut text,
            format_args!(
                "\n# {}\n# Takes {}.\n{}: {}\n",
                key.doc,
                key.kind.expected(),
                key.name,
                value(key, host_name)
            ),
        );
    }
    text
}

fn value(key: &Key, host_name: &str) -> String {
    if key.default.is_empty() { quoted(&valid_node_id(host_name)) } else { key.default.to_owned() }
}

/// A text in the double quotes of YAML. `text` holds no control characters.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn add(text: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing into a String does not fail.
    if text.write_fmt(part).is_err() {
        debug_assert!(false, "a String takes every text");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_the_file_once_with_its_explanation() {
        let text = default_text("alpha");
        for key in KEYS {
            let start = format!("{}: ", key.name);
            let lines = text.lines().filter(|line| line.starts_with(&start)).count();
            assert_eq!(lines, 1, "{}", key.name);
            assert!(text.contains(key.doc), "{}", key.name);
        }
        assert!(text.lines().all(|line| line.len() <= 120), "a line is too long to read");
    }
}
