//! What nodes printed that needs an explanation.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;

/// Errors that follow from what is done to the nodes.
const AHEAD: &str = "this node's clock is ahead of most of its peers'";

/// Said of a peer whose directory was put back, and its audit trail with it: the trail goes on otherwise than before.
const BENT: &str = "a checkpoint of a peer's audit trail contradicts an earlier one";

/// What stands in lines of the log of a node.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// How many lines say each explained thing.
    pub(crate) explained: BTreeMap<&'static str, u64>,
    /// Lines of errors and panics that nothing explains.
    pub(crate) unexplained: Vec<String>,
}

/// Reads the output of a node; `put_back` are the uuids of nodes whose directories were put back.
///
/// # Errors
///
/// It cannot be read.
pub(crate) fn read(folder: &Path, put_back: &[String]) -> anyhow::Result<Lines> {
    let path = folder.join("output.log");
    let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    Ok(sort(&String::from_utf8_lossy(&bytes), put_back))
}

fn sort(text: &str, put_back: &[String]) -> Lines {
    let mut lines = Lines::default();
    for line in text.lines().filter(|line| line.contains(" ERROR ") || line.contains("panicked")) {
        if line.contains(AHEAD) {
            *lines.explained.entry(AHEAD).or_default() += 1;
        } else if line.contains(BENT) && put_back.iter().any(|uuid| line.contains(uuid)) {
            *lines.explained.entry(BENT).or_default() += 1;
        } else {
            lines.unexplained.push(line.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_error_without_an_explanation_is_found() {
        let text = format!(
            "x ERROR {}: a\nx  INFO fine\nx ERROR other\nx ERROR {} peer=p\n",
            super::AHEAD,
            super::BENT
        );
        let lines = super::sort(&text, &["p".to_owned()]);
        assert_eq!((lines.explained.len(), lines.unexplained.len()), (2, 1));
        assert_eq!(super::sort(&text, &[]).unexplained.len(), 2);
    }
}
