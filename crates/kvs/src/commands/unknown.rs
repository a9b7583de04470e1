//! A first word that is neither a command nor a configuration: most often a typo.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Command as Tree, Subcommand};
use kvs_config::name::resolve;
use strsim::normalized_damerau_levenshtein;

use crate::args::Command;
use crate::exit::{Exit, UsageError};

/// Says why the command line could not be read: `--help` and `--version` end here too.
pub(crate) fn explain(error: &clap::Error) -> Result<Exit> {
    // With more behind it, the parser takes a mistyped command for a configuration and complains about the rest.
    let first = std::env::args_os().nth(1).map(PathBuf::from).unwrap_or_default();
    let is_word = first.to_str().is_some_and(|word| !word.is_empty() && !word.starts_with('-'));
    if error.use_stderr() && is_word && !is_command(&first) {
        refuse_typo(&first)?;
    }
    error.print()?;
    Ok(if error.use_stderr() { Exit::Usage } else { Exit::Done })
}

/// Returns when `given` names a configuration that is there, or a file that the user surely means as one.
///
/// # Errors
///
/// The command that was probably meant, or that there is no such configuration.
pub(super) fn refuse_typo(given: &Path) -> Result<()> {
    let path = resolve(given)?;
    if path.exists() || given.components().count() > 1 || given.extension().is_some() {
        return Ok(());
    }
    let word = given.display().to_string();
    let message = match suggestion(&word) {
        Some(command) => format!("'{word}' is no command; did you mean `kvs {command}`? (See `kvs --help`.)"),
        None => format!("'{word}' is no command, and there is no configuration {}", path.display()),
    };
    Err(UsageError(message).into())
}

fn is_command(word: &Path) -> bool {
    let tree = Command::augment_subcommands(Tree::new("kvs"));
    word == Path::new("help") || tree.get_subcommands().any(|command| word == Path::new(command.get_name()))
}

/// The command that looks most like `word`, if one looks like it at all.
fn suggestion(word: &str) -> Option<String> {
    /// From 0 (nothing in common) to 1 (equal): one wrong letter of three is enough to be meant.
    const SIMILARITY_MIN: f64 = 0.6;
    let tree = Command::augment_subcommands(Tree::new("kvs"));
    tree.get_subcommands()
        .filter(|command| !command.is_hide_set())
        .map(|command| (normalized_damerau_levenshtein(word, command.get_name()), command.get_name()))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, command)| command.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{is_command, refuse_typo, suggestion};
    use std::path::Path;

    #[test]
    fn a_typo_names_the_command_that_was_meant() {
        assert_eq!(suggestion("strat").as_deref(), Some("start"));
        assert_eq!(suggestion("improt").as_deref(), Some("import"));
        assert_eq!(suggestion("gte").as_deref(), Some("get"));
        assert_eq!(suggestion("zzzzzz"), None);
        assert_eq!(suggestion("node1"), None);
    }

    #[test]
    fn every_command_is_known_as_one() {
        assert!(is_command(Path::new("start")) && is_command(Path::new("help")));
        assert!(!is_command(Path::new("node1")));
    }

    #[test]
    fn a_word_that_is_neither_is_refused_and_a_path_is_left_to_the_configuration() {
        let error = refuse_typo(Path::new("statsu")).expect_err("a typo").to_string();
        assert!(error.contains("kvs status"), "{error}");
        let error = refuse_typo(Path::new("zzzzzz")).expect_err("nothing").to_string();
        assert!(error.contains("zzzzzz.yaml"), "{error}");
        assert!(refuse_typo(Path::new("some/where")).is_ok());
        assert!(refuse_typo(Path::new("node1.yaml")).is_ok());
    }
}
