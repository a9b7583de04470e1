//! Variables of the environment that look like keys and are none.

use crate::keys::{KEYS, nearest};

/// What the names of all variables begin with.
const PREFIX: &str = "KVS_";

/// Those that other parts of the program read: the command line, where to find a node and how to prove who asks.
const OTHERS: &[&str] = &["KVS_URL", "KVS_TOKEN", "KVS_CA"];

/// What the value of a variable begins with that Kubernetes sets for a service of the name `kvs`.
const SERVICE_LINK: &str = "tcp://";

/// What to do about such a variable.
pub(crate) const SERVICE_LINK_HINT: &str = "; Kubernetes sets this variable for a service of the name kvs: say \
    'enableServiceLinks: false' in the pod, or give the service another name";

/// Whether Kubernetes set a variable to this.
pub(crate) fn is_service_link(value: &str) -> bool {
    value.starts_with(SERVICE_LINK)
}

/// A sentence for each of these variables that begins like a key's and belongs to none: what it may have been meant to be. What
/// Kubernetes sets for a service of the name `kvs` is left out.
pub fn unknown<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let is_known = |name: &str| {
        let is_key = KEYS.iter().any(|key| key.variable() == name);
        let is_service = name.starts_with("KVS_SERVICE_") || name.starts_with("KVS_PORT_");
        is_key || is_service || OTHERS.contains(&name) || name.starts_with("KVS_TEST_")
    };
    let wrong = names.filter(|name| name.starts_with(PREFIX) && !is_known(name));
    let sentence = |name: &str| {
        let meant = nearest(name.trim_start_matches(PREFIX));
        let meant = meant.map(|key| format!("; KVS_{} was probably meant", key.to_ascii_uppercase()));
        format!("{name}: no key is set by this variable{}", meant.unwrap_or_default())
    };
    wrong.map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::unknown;

    #[test]
    fn a_misspelt_variable_is_named_with_what_was_meant() {
        let names =
            ["KVS_PROT", "KVS_PORT", "KVS_TOKEN", "HOME", "KVS_PORT_8080_TCP", "KVS_SERVICE_HOST", "KVS_XQ"];
        let said = unknown(names.into_iter());
        assert_eq!(
            said,
            [
                "KVS_PROT: no key is set by this variable; KVS_PORT was probably meant",
                "KVS_XQ: no key is set by this variable"
            ]
        );
    }
}
