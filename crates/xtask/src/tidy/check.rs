//! Runs every rule over the workspace; also as a test, so that `cargo test -p xtask` is enough to see it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::tidy::finding::Finding;
use crate::tidy::{arrows, circles, links, source};
use crate::workspace::{cargo, root};

/// Folders that hold nothing of ours: build output, version control, and texts of others kept with their licence.
const SKIPPED_FOLDERS: [&str; 5] = ["target", ".git", "data", "backups", "fixtures"];

/// The kinds of files that are read.
const EXTENSIONS: [&str; 5] = ["rs", "md", "toml", "yaml", "yml"];

/// More files than this in one workspace means that the walk went astray.
const MAX_FILES: usize = 20_000;

/// Checks the workspace and prints every finding.
///
/// # Errors
///
/// At least one rule is broken, or a file could not be read.
pub(crate) fn run() -> anyhow::Result<()> {
    let found = check(&root())?;
    for finding in &found {
        println!("tidy: {finding}");
    }
    if !found.is_empty() {
        bail!("tidy: {} finding(s)", found.len());
    }
    println!("tidy: clean");
    Ok(())
}

/// Every finding in the workspace at `root`: arrows, then file by file, then circles of files.
fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut found = arrows::findings(&crates()?);
    let mut sources: BTreeMap<String, Vec<circles::SourceFile>> = BTreeMap::new();
    for path in files(root)? {
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        let text = std::fs::read_to_string(&path).with_context(|| format!("{name} could not be read"))?;
        found.extend(source::findings(&name, &text));
        if source::has_extension(&name, "md") {
            found.extend(links::findings(&name, &text, |target| root.join(target).exists()));
        }
        if source::has_extension(&name, "rs")
            && let Some((one, _)) = name.split_once("/src/")
        {
            sources.entry(one.to_owned()).or_default().push((name, text));
        }
    }
    found.extend(sources.values().flat_map(|files| circles::findings(files)));
    Ok(found)
}

fn crates() -> anyhow::Result<Vec<arrows::Crate>> {
    let output = cargo()
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .output()
        .context("cargo metadata could not be started")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    arrows::parse_metadata(&String::from_utf8_lossy(&output.stdout))
}

/// The files of the workspace that rules apply to, in order.
fn files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = vec![root.to_path_buf()];
    let mut files = vec![root.join(".ci/run")];
    files.retain(|path| path.exists());
    while let Some(folder) = folders.pop() {
        let listing =
            folder.read_dir().with_context(|| format!("{} could not be listed", folder.display()))?;
        for entry in listing {
            let entry = entry.with_context(|| format!("{} could not be listed", folder.display()))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let kind = entry.file_type()?;
            if kind.is_dir() && !SKIPPED_FOLDERS.contains(&name.as_ref()) {
                folders.push(entry.path());
            } else if kind.is_file()
                && EXTENSIONS.iter().any(|extension| source::has_extension(&name, extension))
            {
                files.push(entry.path());
            }
        }
        if files.len() > MAX_FILES {
            bail!("more than {MAX_FILES} files: this is not the workspace");
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let found: Vec<String> = check(&root()).unwrap().iter().map(Finding::to_string).collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn a_small_workspace_with_one_bad_file_and_one_bad_link_yields_both() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("crates/a/src/bad.rs", "fn f() {}\n");
        write("crates/a/src/good.rs", "//! Good.\n");
        write("target/debug/ignored.rs", "fn f() {}\n");
        write("README.md", "[gone](docs/gone.md) [there](crates/a/src/good.rs)\n");
        let found: Vec<String> = check(folder.path()).unwrap().iter().map(Finding::to_string).collect();
        let about = |name: &str| found.iter().filter(|line| line.starts_with(name)).count();
        assert_eq!(about("crates/a/src/bad.rs:1: "), 1, "{found:?}");
        assert_eq!(about("README.md:1: the link `docs/gone.md`"), 1, "{found:?}");
        assert_eq!(about("crates/a/src/good.rs"), 0, "{found:?}");
        assert_eq!(about("target"), 0, "{found:?}");
    }
}
