//! The rule for Markdown: a link to a file of the repository leads to one.
//!
//! Links into the web are left alone (a check that needs the network fails for reasons that are not the change's).
//! Text in code fences and code spans is no link.

use std::path::{Component, Path, PathBuf};

use crate::tidy::finding::Finding;

/// The links of one Markdown file that lead nowhere. `exists` answers for a path relative to the root.
pub(crate) fn findings(path: &str, text: &str, exists: impl Fn(&Path) -> bool) -> Vec<Finding> {
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let mut found = Vec::new();
    let mut fence: Option<&str> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let trimmed = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (Some(_), _) => {}
            (None, None) => found.extend(
                targets(&without_code_spans(line))
                    .into_iter()
                    .filter(|target| !leads_somewhere(folder, target, &exists))
                    .map(|target| Finding::at(path, number, format!("the link `{target}` leads to no file"))),
            ),
        }
    }
    found
}

fn leads_somewhere(folder: &Path, target: &str, exists: impl Fn(&Path) -> bool) -> bool {
    let file = target.split('#').next().unwrap_or(target);
    let in_the_web = file.contains("://") || file.starts_with("mailto:");
    in_the_web || file.is_empty() || normalised(&folder.join(file)).is_some_and(|path| exists(&path))
}

/// The path without `.` and `..`; `None` when it leaves the repository.
fn normalised(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir if clean.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

fn without_code_spans(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

/// The targets of `[text](target)`, `[text](target "title")` and `[name]: target`.
fn targets(line: &str) -> Vec<String> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let definition = line
        .trim_start()
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
        .filter(|(name, _)| !name.contains(']'))
        .map(|(_, target)| target);
    inline
        .chain(definition)
        .filter_map(|target| target.split_whitespace().next())
        .map(|target| target.trim_matches(['<', '>']).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> Vec<String> {
        let files = ["README.md", "docs/api.md", "docs/design"];
        let exists = |path: &Path| files.iter().any(|file| Path::new(file) == path);
        findings(path, text, exists).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn links_to_files_folders_sections_and_the_web_are_fine() {
        let text = "[a](api.md) and [b](../README.md#top), [c](#here), [d](https://example.org/x.md),\n\
                    [e](mailto:a@example.org) ![f](./design/ \"title\")\n[g]: ../README.md\n";
        assert_eq!(broken("docs/index.md", text), Vec::<String>::new());
    }

    #[test]
    fn a_link_to_a_missing_file_is_found_with_its_line() {
        let found = broken("README.md", "Fine.\nSee [x](docs/missing.md#part) and [y](docs/api.md).\n");
        assert_eq!(found, ["README.md:2: the link `docs/missing.md#part` leads to no file"]);
        assert_eq!(broken("README.md", "[x]: missing.md\n").len(), 1);
    }

    #[test]
    fn a_link_out_of_the_repository_is_found() {
        assert_eq!(broken("docs/index.md", "[x](../../elsewhere.md)").len(), 1);
        assert_eq!(broken("docs/index.md", "[x](/README.md)").len(), 1);
    }

    #[test]
    fn code_is_no_link() {
        assert!(
            broken("README.md", "`[x](missing.md)`\n```\n[x](missing.md)\n```\n~~~\n```\n[x](no.md)\n~~~\n")
                .is_empty()
        );
        assert_eq!(broken("README.md", "```\n```\n[x](missing.md)\n").len(), 1);
    }
}
