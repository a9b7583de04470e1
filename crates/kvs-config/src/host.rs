//! The name of this machine, the default of `node_id`.
//!
//! A machine can be called anything, also nothing; the default must nevertheless be a valid `node_id`.

use crate::limits::NODE_ID_BYTES_MAX;

/// Where Linux keeps the host name.
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

/// What a machine without a usable name is called.
const NAMELESS: &str = "node";

/// The host name as the kernel knows it, made a valid `node_id`; `node` when there is none.
#[must_use]
pub fn host_name() -> String {
    valid_node_id(&std::fs::read_to_string(HOST_NAME_FILE).unwrap_or_default())
}

/// `name` without what a `node_id` may not hold: control characters, spaces around it, more than 255 bytes.
pub(crate) fn valid_node_id(name: &str) -> String {
    let mut node_id = String::new();
    for c in name.trim().chars().filter(|c| !c.is_control()) {
        if node_id.len() + c.len_utf8() > NODE_ID_BYTES_MAX {
            break;
        }
        node_id.push(c);
    }
    if node_id.is_empty() { NAMELESS.to_owned() } else { node_id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_host_name_becomes_a_valid_node_id() {
        assert_eq!(valid_node_id("alpha\n"), "alpha");
        assert_eq!(valid_node_id("\u{7}\n"), "node");
        assert_eq!(valid_node_id(&"é".repeat(200)).len(), 254);
    }
}
