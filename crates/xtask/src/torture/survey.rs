//! What nodes hold in the end, and what their histories remember.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde_json::Value;

use crate::torture::nodes::{NODES, Nodes};
use crate::torture::talk::Talk;

/// What there is.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// The number of the write that each key shows.
    pub(crate) shown: BTreeMap<String, u64>,
    /// Keys that do not show the same on all nodes.
    pub(crate) different: Vec<String>,
    /// Writes found in histories by their number: the rules by which they lost.
    pub(crate) by_id: BTreeMap<u64, BTreeSet<String>>,
    /// The same by their version.
    pub(crate) by_uuid: BTreeMap<String, BTreeSet<String>>,
}

/// Asks all nodes for these keys; `known` are the versions whose numbers are known.
///
/// # Errors
///
/// A node does not answer.
pub(crate) fn take(
    nodes: &Nodes,
    keys: &BTreeSet<String>,
    known: &BTreeSet<String>,
) -> anyhow::Result<Survey> {
    let mut survey = Survey::default();
    let mut all: Vec<BTreeMap<String, u64>> = Vec::new();
    let mut looked_at = BTreeSet::new();
    for node in 0..NODES {
        let mut talk = nodes.talk(node);
        all.push(shown(&mut talk)?);
        for key in keys {
            let Ok(history) = talk.json(&format!("/history/{key}")) else { continue };
            for version in history.as_array().into_iter().flatten() {
                let Some(uuid) = version.get("uuid").and_then(Value::as_str) else { continue };
                let rule = version.get("rule").and_then(Value::as_str).unwrap_or("current");
                survey.by_uuid.entry(uuid.to_owned()).or_default().insert(rule.to_owned());
                let is_value = version.get("op").and_then(Value::as_str) == Some("put");
                // What was written anew under another version shows by its content what it is.
                if is_value && !known.contains(uuid) && looked_at.insert(uuid.to_owned()) {
                    let one = talk.json(&format!("/history/{key}/{uuid}")).unwrap_or_default();
                    if let Some(id) = number(&one) {
                        survey.by_id.entry(id).or_default().insert(rule.to_owned());
                    }
                }
            }
        }
    }
    let first = all.first().cloned().context("no nodes")?;
    let every: BTreeSet<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    for key in every {
        if all.iter().any(|shown| shown.get(key) != first.get(key)) {
            let each: Vec<_> = all.iter().map(|shown| shown.get(key)).collect();
            survey.different.push(format!("{key}: {each:?}"));
        }
    }
    survey.shown = first;
    Ok(survey)
}

/// The uuids behind these nodes.
///
/// # Errors
///
/// Nobody answers.
pub(crate) fn uuids(nodes: &Nodes, of: &BTreeSet<usize>) -> anyhow::Result<Vec<String>> {
    let members = nodes.talk(0).json("/members/")?;
    let names: BTreeSet<String> = of.iter().map(|node| format!("n{node}")).collect();
    let is_meant =
        |member: &&Value| member.get("id").and_then(Value::as_str).is_some_and(|name| names.contains(name));
    let members = members.as_array().into_iter().flatten().filter(is_meant);
    Ok(members.filter_map(|member| Some(member.get("uuid")?.as_str()?.to_owned())).collect())
}

/// The number of the write that each key shows on a node.
fn shown(talk: &mut Talk) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut shown = BTreeMap::new();
    let mut from = String::new();
    loop {
        let page = talk.json(&format!("/kv/_range?limit=1000{from}"))?;
        for found in page.get("items").and_then(Value::as_array).into_iter().flatten() {
            let path = found.get("path").and_then(Value::as_str).context("a row without a path")?;
            shown.insert(path.to_owned(), number(found).unwrap_or(u64::MAX));
        }
        match page.get("next").and_then(Value::as_str) {
            Some(next) => from = format!("&cursor={}", encode(next)),
            None => return Ok(shown),
        }
    }
}

fn number(found: &Value) -> Option<u64> {
    found.get("data")?.get("id")?.as_u64()
}

fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}
