//! The rules for one text file: header, size, what a `lib.rs` may hold, unfinished marks, paths outside the project.
//!
//! They work on lines, not on a syntax tree: a rule that needs more than that belongs into a lint.

use crate::tidy::finding::Finding;

/// No source file outside the tests is longer.
const MAX_LINES: usize = 500;

/// Marks of unfinished work. Written in halves, so that this file does not break its own rule.
const UNFINISHED: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!("), concat!("unimpl", "emented!(")];

/// A folder beside the checkout, which a fresh clone does not have.
const OUTSIDE: &str = concat!("../", "shared");

/// Every rule that applies to the file at `path` (relative to the root, with `/`).
pub(crate) fn findings(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    if has_extension(path, "rs") {
        found.extend(missing_header(path, text));
        found.extend(too_long(path, text));
        found.extend(definitions_in_a_list_of_modules(path, text));
    }
    found.extend(unfinished_marks(path, text));
    found.extend(mentions_of_outside(path, text));
    found
}

/// Whether the file name ends in `.extension`.
pub(crate) fn has_extension(path: &str, extension: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|found| found == extension)
}

fn missing_header(path: &str, text: &str) -> Option<Finding> {
    let documented = text.lines().next().is_some_and(|line| line.starts_with("//!"));
    (!documented)
        .then(|| Finding::at(path, 1, "the file must open with `//!`: what it holds, in one sentence"))
}

fn too_long(path: &str, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    (lines > MAX_LINES && !is_test_code(path))
        .then(|| Finding::of(path, format!("{lines} lines, the bound is {MAX_LINES}: split it by concept")))
}

/// Files of test folders, and files that hold nothing but tests, may be longer.
fn is_test_code(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// A `lib.rs` or `mod.rs` says what there is and where: docs, attributes and `mod` lines.
fn definitions_in_a_list_of_modules(path: &str, text: &str) -> Option<Finding> {
    let name = path.rsplit('/').next().unwrap_or(path);
    // A folder of test helpers has its `mod.rs` because cargo wants it so; it holds the helpers.
    if (name != "lib.rs" && name != "mod.rs") || is_test_code(path) {
        return None;
    }
    let mut open_brackets = 0;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        let in_attribute = open_brackets > 0 || line.starts_with("#[") || line.starts_with("#![");
        if in_attribute {
            open_brackets += line.matches('[').count();
            open_brackets = open_brackets.saturating_sub(line.matches(']').count());
        } else if !(line.is_empty() || line.starts_with("//") || is_module_line(line)) {
            let message =
                "only docs, attributes and `mod` lines belong here: move the definition into its own file";
            return Some(Finding::at(path, number, message));
        }
    }
    None
}

fn is_module_line(line: &str) -> bool {
    let rest = line.strip_prefix("pub(crate) ").or_else(|| line.strip_prefix("pub ")).unwrap_or(line);
    rest.strip_prefix("mod ")
        .is_some_and(|name| name.split(';').next().is_some_and(is_identifier) && name.contains(';'))
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn unfinished_marks(path: &str, text: &str) -> Vec<Finding> {
    lines_with(text, &UNFINISHED)
        .map(|(line, mark)| Finding::at(path, line, format!("`{mark}`: finish it or write an issue")))
        .collect()
}

fn mentions_of_outside(path: &str, text: &str) -> Vec<Finding> {
    lines_with(text, &[OUTSIDE])
        .map(|(line, what)| {
            Finding::at(path, line, format!("`{what}` is no part of the repository: name the topic"))
        })
        .collect()
}

/// The numbers of the lines that hold one of the needles, with the first needle found on it.
fn lines_with<'a>(text: &'a str, needles: &'a [&'a str]) -> impl Iterator<Item = (usize, &'a str)> {
    (1..).zip(text.lines()).filter_map(move |(number, line)| {
        needles.iter().find(|needle| line.contains(**needle)).map(|needle| (number, *needle))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        findings(path, text).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn a_proper_file_has_no_findings() {
        assert_eq!(messages("crates/a/src/b.rs", "//! A file.\n\nfn f() {}\n"), Vec::<String>::new());
    }

    #[test]
    fn a_file_without_a_header_is_found() {
        let found = messages("crates/a/src/b.rs", "// A file.\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("crates/a/src/b.rs:1: the file must open"), "{found:?}");
        assert_eq!(findings("crates/a/src/b.rs", "").len(), 1);
    }

    #[test]
    fn a_file_of_more_than_500_lines_is_found_unless_it_is_a_test() {
        let text = |lines: usize| format!("//! A file.\n{}", "// line\n".repeat(lines - 1));
        assert!(findings("crates/a/src/b.rs", &text(500)).is_empty());
        assert!(messages("crates/a/src/b.rs", &text(501))[0].contains("501 lines"));
        assert!(findings("crates/a/tests/it/b.rs", &text(501)).is_empty());
        assert!(findings("crates/a/src/b/tests.rs", &text(501)).is_empty());
    }

    #[test]
    fn a_list_of_modules_may_hold_docs_attributes_and_mod_lines_only() {
        let good = "//! Docs.\n\n// Why.\n#![expect(\n    clippy::panic,\n    reason = \"[x]\"\n)]\npub mod a;\nmod b_1;\n\
                    #[cfg(test)]\npub(crate) mod c; // note\n";
        assert_eq!(messages("crates/a/src/lib.rs", good), Vec::<String>::new());
        for bad in ["pub use a::B;", "fn f() {}", "mod inline { }", "const A: u8 = 1;"] {
            let found = messages("crates/a/src/x/mod.rs", &format!("//! Docs.\nmod a;\n{bad}\n"));
            assert!(found.len() == 1 && found[0].contains("mod.rs:3: only docs"), "{bad}: {found:?}");
        }
        assert!(findings("crates/a/src/a.rs", "//! Docs.\npub use a::B;\n").is_empty());
        assert!(findings("crates/a/tests/support/mod.rs", "//! Docs.\npub fn f() {}\n").is_empty());
    }

    #[test]
    fn marks_of_unfinished_work_are_found_in_any_text() {
        for mark in UNFINISHED {
            let found = messages("README.md", &format!("One.\nTwo {mark} three.\n"));
            assert!(found.len() == 1 && found[0].starts_with("README.md:2: "), "{mark}: {found:?}");
        }
    }

    #[test]
    fn a_path_outside_the_project_is_found() {
        let found = messages("docs/a.md", &format!("See {OUTSIDE}/notes.md\n"));
        assert!(found.len() == 1 && found[0].contains("docs/a.md:1: "), "{found:?}");
    }
}
