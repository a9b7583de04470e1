//! `docs/benchmarks.md`: a generated part above a marker line, hand-written text below it, which is kept.

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
    fn a_document_without_the_marker_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docs/benchmarks.md");
        write(&path, "# One\n").unwrap();
        std::fs::write(&path, "By hand only.\n").unwrap();
        assert!(write(&path, "# Two\n").is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "By hand only.\n");
    }
}
