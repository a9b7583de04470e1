//! docs/configuration.md says what the table of keys says: it is made from the table, and this test holds it to that.
//!
//! After a change of the table: `KVS_UPDATE_DOCS=1 cargo test -p kvs-config --test reference`.

#![expect(clippy::expect_used, reason = "a failing step must fail the test")]

use std::fmt::Write;
use std::path::Path;

use kvs_config::keys::KEYS;

const HEAD: &str = "\
# Configuration

A node reads one YAML file: `./config.yaml`, or the one named on the command line (the extension is optional). The first run
writes it with every key, its default and a line of explanation. Every key is optional.

- Relative paths start at the folder of the file, so a node finds its data whatever folder it is started from.
- `KVS_<KEY>` in the environment overrides a key, for example `KVS_PORT=9000`; lists are divided by commas there.
- Durations are texts such as `\"90s\"`, `\"15m\"`, `\"1h30m\"` or `\"7d\"`, or a number of seconds.
- An unknown key, a wrong type or a value out of range stops the start with one line that names file, line, key, what was
  expected and, for an unknown key, the nearest known one.
";

fn reference() -> String {
    let mut text = HEAD.to_owned();
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            section = key.section;
            write!(
                text,
                "\n## {section}\n\n| key | default | takes | what it does |\n| --- | --- | --- | --- |\n"
            )
            .expect("a text takes every text");
        }
        let default =
            if key.default.is_empty() { "the host name".to_owned() } else { format!("`{}`", key.default) };
        writeln!(text, "| `{}` | {default} | {} | {} |", key.name, key.kind.expected(), key.doc)
            .expect("a text takes every text");
    }
    text
}

#[test]
fn the_reference_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    if std::env::var_os("KVS_UPDATE_DOCS").is_some() {
        std::fs::write(&path, reference()).expect("the reference can be written");
    }
    let written = std::fs::read_to_string(&path).expect("docs/configuration.md is there");
    assert!(
        written == reference(),
        "docs/configuration.md is out of date: run KVS_UPDATE_DOCS=1 cargo test -p kvs-config --test reference"
    );
}
