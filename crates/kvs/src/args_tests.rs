//! What the command line takes and refuses.

use super::{Cli, Command};
use clap::{CommandFactory, Parser};
use std::path::PathBuf;

#[test]
fn the_tree_of_commands_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn a_negative_number_is_a_value() {
    let cli = Cli::try_parse_from(["kvs", "put", "a", "-1.5", "--ttl", "1h"]).expect("a put");
    assert!(matches!(cli.command, Some(Command::Put(args)) if args.value.as_deref() == Some("-1.5")));
}

#[test]
fn a_restore_needs_exactly_one_target() {
    let parse = |args: &[&str]| Cli::try_parse_from([&["kvs", "restore", "f"], args].concat()).is_ok();
    assert!(parse(&["--data-dir", "d"]) && parse(&["--config", "c"]));
    assert!(!parse(&[]) && !parse(&["--data-dir", "d", "--config", "c"]));
}

#[test]
fn a_backup_is_made_with_and_without_the_word() {
    for args in [&["kvs", "backup", "--json"][..], &["kvs", "backup", "create", "--url", "u"]] {
        assert!(Cli::try_parse_from(args).is_ok(), "{args:?}");
    }
    assert!(Cli::try_parse_from(["kvs", "backup", "--json", "list"]).is_err());
}

#[test]
fn a_first_word_that_is_no_command_is_a_configuration() {
    let cli = Cli::try_parse_from(["kvs", "node1"]).expect("a configuration");
    assert_eq!((cli.config, cli.command.is_none()), (Some(PathBuf::from("node1")), true));
    let cli = Cli::try_parse_from(["kvs", "version"]).expect("a command");
    assert!(matches!((cli.config, cli.command), (None, Some(Command::Version))));
}
