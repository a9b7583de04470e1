//! `GET /kv/_range` with delimiters other than `/`: any text folds, in both directions, and hides no key.

use super::oracle::Asked;
use super::range::fill;
use crate::support::node::Node;
use crate::support::sandbox::Sandbox;

#[test]
fn any_text_folds_deeper_keys_and_hides_none() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[]);
    let mut client = node.client();
    let keys = fill(&mut client);
    for delimiter in ["b", "/b", "o/", "\u{e9}", "/"] {
        for prefix in [None, Some("a"), Some("a/"), Some("a/b"), Some("users/")] {
            for reverse in [false, true] {
                for limit in [None, Some(1), Some(2)] {
                    let asked =
                        Asked { prefix, delimiter: Some(delimiter), reverse, limit, ..Asked::default() };
                    assert_eq!(asked.read(&mut client), asked.expected(&keys), "{asked:?}");
                }
            }
        }
    }
}
