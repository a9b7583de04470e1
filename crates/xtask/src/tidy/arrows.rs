//! The rule for the crates: arrows point downward only.
//!
//! The compiler refuses circles between crates but not an arrow that should not be; this table does. A crate that is not
//! in the table is a finding too, so that a new crate gets its place on purpose.

use serde_json::Value;

use crate::tidy::finding::Finding;

/// Each crate and the crates of this workspace it may depend on, from the bottom up.
const ALLOWED: &[(&str, &[&str])] = &[
    ("kvs-core", &[]),
    ("kvs-audit", &[]),
    ("kvs-auth", &["kvs-core"]),
    ("kvs-certs", &[]),
    ("kvs-config", &[]),
    ("kvs-store", &["kvs-core"]),
    ("kvs-daemon", &["kvs-config"]),
    ("kvs-client", &["kvs-certs", "kvs-config", "kvs-core"]),
    ("kvs-protocol", &["kvs-core"]),
    ("kvs-cluster", &["kvs-core", "kvs-protocol", "kvs-store"]),
    ("kvs-sim", &["kvs-cluster", "kvs-core", "kvs-protocol", "kvs-store"]),
    (
        "kvs-server",
        &[
            "kvs-audit",
            "kvs-auth",
            "kvs-certs",
            "kvs-cluster",
            "kvs-config",
            "kvs-core",
            "kvs-protocol",
            "kvs-store",
        ],
    ),
    // `kvs-protocol` for its tests alone, which speak to nodes as a peer.
    (
        "kvs",
        &[
            "kvs-audit",
            "kvs-auth",
            "kvs-certs",
            "kvs-client",
            "kvs-config",
            "kvs-core",
            "kvs-daemon",
            "kvs-protocol",
            "kvs-server",
            "kvs-store",
        ],
    ),
    ("xtask", &[]),
];

/// A crate of the workspace and what its manifest names, of every kind (normal, dev, build).
#[derive(Debug)]
pub(crate) struct Crate {
    /// The package's name.
    pub(crate) name: String,
    /// The names of all packages it depends on.
    pub(crate) dependencies: Vec<String>,
}

/// The crates in the answer of `cargo metadata --no-deps --format-version 1`.
///
/// # Errors
///
/// The text is not such an answer.
pub(crate) fn parse_metadata(text: &str) -> anyhow::Result<Vec<Crate>> {
    use anyhow::Context as _;
    let metadata: Value = serde_json::from_str(text).context("the answer of cargo metadata is not JSON")?;
    let packages =
        metadata.get("packages").and_then(Value::as_array).context("no packages in cargo metadata")?;
    packages
        .iter()
        .map(|package| {
            let name = name_of(package).context("a package without a name in cargo metadata")?;
            let dependencies = package.get("dependencies").and_then(Value::as_array);
            Ok(Crate { name, dependencies: dependencies.into_iter().flatten().filter_map(name_of).collect() })
        })
        .collect()
}

fn name_of(value: &Value) -> Option<String> {
    value.get("name").and_then(Value::as_str).map(str::to_owned)
}

/// The arrows that the table does not allow, and the crates that it does not know.
pub(crate) fn findings(crates: &[Crate]) -> Vec<Finding> {
    let mut found = Vec::new();
    for one in crates {
        let manifest = format!("crates/{}/Cargo.toml", one.name);
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == one.name) else {
            found.push(Finding::of(
                &manifest,
                "this crate has no place in the table of arrows (xtask, arrows.rs)",
            ));
            continue;
        };
        let inside = one.dependencies.iter().filter(|name| crates.iter().any(|other| other.name == **name));
        for dependency in inside.filter(|name| !allowed.contains(&name.as_str())) {
            let message =
                format!("`{}` may not depend on `{dependency}`: arrows point downward only", one.name);
            found.push(Finding::of(&manifest, message));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(arrows: &[(&str, &[&str])]) -> Vec<Crate> {
        arrows
            .iter()
            .map(|(name, dependencies)| Crate {
                name: (*name).to_owned(),
                dependencies: dependencies.iter().map(|d| (*d).to_owned()).collect(),
            })
            .collect()
    }

    #[test]
    fn arrows_that_point_downward_are_fine() {
        let crates = workspace(&[
            ("kvs-core", &["bytes"]),
            ("kvs-store", &["kvs-core", "fjall"]),
            ("kvs-audit", &[]),
            ("kvs-auth", &["kvs-core"]),
            ("kvs-certs", &[]),
            ("kvs-config", &[]),
            ("kvs-server", &["kvs-core", "kvs-store", "kvs-config", "tokio"]),
        ]);
        assert_eq!(findings(&crates), Vec::new());
    }

    #[test]
    fn an_arrow_that_points_upward_or_sideways_is_found() {
        for (from, to) in [
            ("kvs-core", "kvs-config"),
            ("kvs-store", "kvs-config"),
            ("kvs-config", "kvs-store"),
            ("kvs-daemon", "kvs-server"),
            ("kvs-client", "kvs-server"),
            ("kvs-server", "kvs"),
            ("xtask", "kvs-core"),
        ] {
            let found = findings(&workspace(&[(from, &[to]), (to, &[])]));
            assert_eq!(found.len(), 1, "{from} -> {to}: {found:?}");
            assert!(found[0].message.contains(&format!("`{from}` may not depend on `{to}`")), "{found:?}");
        }
    }

    #[test]
    fn a_crate_without_a_place_in_the_table_is_found() {
        let found = findings(&workspace(&[("kvs-extra", &[])]));
        assert!(found.len() == 1 && found[0].path == "crates/kvs-extra/Cargo.toml", "{found:?}");
    }

    #[test]
    fn the_table_lists_crates_from_the_bottom_up() {
        for (position, (name, allowed)) in ALLOWED.iter().enumerate() {
            let below: Vec<&str> = ALLOWED.iter().take(position).map(|(lower, _)| *lower).collect();
            assert!(allowed.iter().all(|lower| below.contains(lower)), "{name}");
        }
    }

    #[test]
    fn metadata_is_read_with_dependencies_of_every_kind() {
        let text = r#"{"packages":[{"name":"a","dependencies":[{"name":"b","kind":null},{"name":"c","kind":"dev"}]}]}"#;
        let crates = parse_metadata(text).unwrap();
        assert_eq!(crates[0].name, "a");
        assert_eq!(crates[0].dependencies, ["b", "c"]);
        assert!(parse_metadata("{}").is_err());
    }
}
