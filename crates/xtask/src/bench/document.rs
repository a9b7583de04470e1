//! `docs/benchmarks.md`: a generated part above a marker line, hand-written text below it, which is kept; within that
//! text, generated sections between two marker lines each.

use std::path::Path;

use anyhow::{Context as _, bail};

/// Everything below this line belongs to people.
const MARKER: &str =
    "<!-- Written by hand from here on; `cargo xtask bench node --write` replaces what is above. -->";

/// Replaces the generated part of the document at `path`, or begins the document.
///
/// # Errors
///
/// The document exists but has no marker line, or cannot be written; it is unchanged then.
pub(crate) fn write(path: &Path, generated: &str) -> anyhow::Result<()> {
    let old = match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("{} could not be read", path.display())),
    };
    let text = merged(old.as_deref(), generated).with_context(|| path.display().to_string())?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text).with_context(|| format!("{} could not be written", path.display()))
}

/// The marker lines around a generated section.
#[derive(Clone, Copy)]
pub(crate) struct Section {
    /// The line above it.
    pub(crate) begin: &'static str,
    /// The line below it.
    pub(crate) end: &'static str,
}

/// Replaces a section of the document at `path`, or adds it at the end. Everything else stays.
///
/// # Errors
///
/// The document cannot be read or written, or holds one marker line without the other; it is unchanged then.
pub(crate) fn write_section(path: &Path, section: Section, generated: &str) -> anyhow::Result<()> {
    let old =
        std::fs::read_to_string(path).with_context(|| format!("{} could not be read", path.display()))?;
    let text = with_section(&old, section, generated).with_context(|| path.display().to_string())?;
    std::fs::write(path, text).with_context(|| format!("{} could not be written", path.display()))
}

fn with_section(old: &str, section: Section, generated: &str) -> anyhow::Result<String> {
    let Section { begin, end } = section;
    let generated = generated.trim_end();
    match (old.split_once(begin), old.split_once(end)) {
        (None, None) => Ok(format!("{}\n\n{begin}\n\n{generated}\n\n{end}\n", old.trim_end())),
        (Some((above, rest)), Some(_)) if rest.contains(end) => {
            let below = rest.split_once(end).map_or("", |(_, below)| below);
            Ok(format!("{above}{begin}\n\n{generated}\n\n{end}{below}"))
        }
        _ => bail!("one of these lines is missing or in the wrong place: {begin} {end}"),
    }
}

fn merged(old: Option<&str>, generated: &str) -> anyhow::Result<String> {
    let by_hand = match old {
        None => "\n",
        Some(old) => match old.split_once(MARKER) {
            Some((_, by_hand)) => by_hand,
            None => {
                bail!("no marker line; what is generated and what is not cannot be told apart. Add: {MARKER}")
            }
        },
    };
    Ok(format!("{}\n\n{MARKER}{by_hand}", generated.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_below_the_marker_is_kept_and_text_above_replaced() {
        let first = merged(None, "# One\n").unwrap();
        assert_eq!(first, format!("# One\n\n{MARKER}\n"));
        let edited = format!("{first}\nBy hand.\n");
        let second = merged(Some(&edited), "# Two\n").unwrap();
        assert_eq!(second, format!("# Two\n\n{MARKER}\n\nBy hand.\n"));
        assert_eq!(merged(Some(&second), "# Two\n").unwrap(), second);
    }

    #[test]
    fn a_section_is_added_once_and_then_replaced_and_the_rest_is_kept() {
        let section = Section { begin: "<!-- b -->", end: "<!-- e -->" };
        let first = with_section("# One\n\nBy hand.\n", section, "## Two\n").unwrap();
        assert_eq!(first, "# One\n\nBy hand.\n\n<!-- b -->\n\n## Two\n\n<!-- e -->\n");
        let edited = format!("{first}\nMore by hand.\n");
        let second = with_section(&edited, section, "## Three\n").unwrap();
        let expected = "# One\n\nBy hand.\n\n<!-- b -->\n\n## Three\n\n<!-- e -->\n\nMore by hand.\n";
        assert_eq!(second, expected);
        for broken in ["<!-- b -->", "<!-- e -->", "<!-- e --><!-- b -->"] {
            assert!(with_section(broken, section, "x").is_err(), "{broken}");
        }
    }

    #[test]
    fn a_document_without_the_marker_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docs/benchmarks.md");
        write(&path, "# One\n").unwrap();
        std::fs::write(&path, "By hand only.\n").unwrap();
        assert!(write(&path, "# Two\n").is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "By hand only.\n");
    }
}
