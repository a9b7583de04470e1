//! What became of each acknowledged write.
//!
//! A write that was sent after another one had been answered is *later*. What a key shows in the end must not be earlier than
//! any acknowledged write of it, unless every disk that this write was on for certain was put back to before it. Clocks of
//! nodes may differ by [`SLACK_MS`] without anybody noticing, so less than that is no order.

use std::collections::{BTreeMap, BTreeSet};

use crate::torture::ledger::{Loss, Write};
use crate::torture::survey::Survey;

/// Beyond this one write is later than another, whatever the clocks of the nodes said: what is configured, and a second.
const SLACK_MS: u64 = 3_000;

/// A write that was older than this when its disk was put back must have reached others: no fault lasts that long.
const TRAVEL_MS: u64 = 30_000;

/// How a write is accounted for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// It is what the key shows, or the delete by which it shows nothing.
    Current,
    /// It is in a history, by this rule.
    History(String),
    /// A delete after which the key was written again.
    Followed,
    /// A later write or delete of the key took its place, and no history has it: every disk that had it for certain was put
    /// back to before it.
    Forgotten,
    /// The same without such an excuse.
    Silent,
    /// Every disk that had it for certain was put back to before it, and the key shows something earlier.
    Excused,
    /// The key shows something earlier, and nothing excuses it.
    Lost,
}

/// Judges every acknowledged write.
pub(crate) fn judge<'a>(writes: &'a [Write], losses: &[Loss], survey: &Survey) -> Vec<(&'a Write, Class)> {
    let mut keys: BTreeMap<&str, Vec<&Write>> = BTreeMap::new();
    for write in writes {
        keys.entry(&write.key).or_default().push(write);
    }
    let mut judged = Vec::new();
    for (key, all) in keys {
        let shown = survey.shown.get(key).copied();
        let last_ms = end_of_state(&all, shown);
        for write in all.iter().filter(|write| write.copies > 0) {
            let found = match class(write, shown, last_ms, losses, survey) {
                Class::Silent if is_overtaken(write, &all, losses) => Class::Forgotten,
                found => found,
            };
            judged.push((*write, found));
        }
    }
    judged
}

/// The last moment at which what the key shows can have been written; `None` when nobody wrote that.
fn end_of_state(all: &[&Write], shown: Option<u64>) -> Option<u64> {
    let end = |write: &&Write| {
        write.ended_ms.map_or(u64::MAX, |ended| ended.saturating_add(write.ttl_ms.unwrap_or(0)))
    };
    match shown {
        Some(id) => all.iter().find(|write| write.id == id).map(|write| write.ended_ms.unwrap_or(u64::MAX)),
        None => all
            .iter()
            .filter(|write| {
                (write.is_delete && (write.copies > 0 || write.ended_ms.is_none())) || write.ttl_ms.is_some()
            })
            .map(end)
            .max(),
    }
}

fn class(write: &Write, shown: Option<u64>, last_ms: Option<u64>, losses: &[Loss], survey: &Survey) -> Class {
    if shown == Some(write.id) {
        return Class::Current;
    }
    let is_hidden = last_ms.is_some_and(|last| last.saturating_add(SLACK_MS) >= write.began_ms);
    if !is_hidden {
        return if is_excused(write, losses, TRAVEL_MS) { Class::Excused } else { Class::Lost };
    }
    if write.is_delete {
        return if shown.is_none() { Class::Current } else { Class::Followed };
    }
    let by_uuid = write.uuid.as_ref().and_then(|uuid| survey.by_uuid.get(uuid));
    let rules: BTreeSet<&String> = by_uuid.into_iter().chain(survey.by_id.get(&write.id)).flatten().collect();
    match rules.first() {
        Some(_) => Class::History(rules.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ")),
        // Other nodes need not have heard of a version that was replaced soon.
        None if is_excused(write, losses, u64::MAX) => Class::Forgotten,
        None => Class::Silent,
    }
}

/// Whether its own disk was put back to before it and others may never have had it: who has a newer version has none of it, and
/// counts as a copy all the same. Such a newer one was sent before this one was answered.
fn is_overtaken(write: &Write, all: &[&Write], losses: &[Loss]) -> bool {
    let ended_ms = write.ended_ms.unwrap_or(u64::MAX);
    let overlaps = |other: &&&Write| {
        other.id != write.id
            && other.began_ms <= ended_ms
            && other.ended_ms.is_none_or(|ended| ended >= write.began_ms)
    };
    let alone = Write { copies: 1, ..write.clone() };
    all.iter().any(|other| overlaps(&other)) && is_excused(&alone, losses, u64::MAX)
}

/// Whether so many disks as have it for certain were put back to before it, its own among them, within so many milliseconds.
fn is_excused(write: &Write, losses: &[Loss], within_ms: u64) -> bool {
    let Some(ended_ms) = write.ended_ms else { return false };
    let is_of_it = |loss: &&Loss| {
        loss.since_ms < ended_ms
            && write.began_ms < loss.until_ms
            && ended_ms.saturating_add(within_ms) > loss.until_ms
    };
    let lost: BTreeSet<usize> = losses.iter().filter(is_of_it).map(|loss| loss.node).collect();
    lost.contains(&write.node) && lost.len() >= write.copies
}

#[cfg(test)]
mod tests {
    use super::{Class, judge};
    use crate::torture::ledger::{Loss, Write};
    use crate::torture::survey::Survey;

    fn write(id: u64, at_ms: u64, is_delete: bool) -> Write {
        let (key, uuid) = ("k".to_owned(), Some(format!("u{id}")));
        let ended_ms = Some(at_ms + 10);
        Write { id, key, is_delete, ttl_ms: None, node: 0, began_ms: at_ms, ended_ms, copies: 1, uuid }
    }

    fn survey(shown: Option<u64>, remembered: &[u64]) -> Survey {
        let mut survey = Survey::default();
        survey.shown.extend(shown.map(|id| ("k".to_owned(), id)));
        for id in remembered {
            survey.by_uuid.entry(format!("u{id}")).or_default().insert("newer".to_owned());
        }
        survey
    }

    fn classes(writes: &[Write], losses: &[Loss], survey: &Survey) -> Vec<Class> {
        judge(writes, losses, survey).into_iter().map(|(_, class)| class).collect()
    }

    #[test]
    fn each_write_is_current_remembered_or_followed() {
        let writes = [write(1, 0, false), write(2, 10_000, false), write(3, 20_000, false)];
        let newer = Class::History("newer".to_owned());
        let seen = survey(Some(3), &[2]);
        assert_eq!(classes(&writes, &[], &seen), [Class::Silent, newer.clone(), Class::Current]);
        let loss = Loss { node: 0, since_ms: 0, until_ms: 99_000 };
        assert_eq!(classes(&writes, &[loss], &seen), [Class::Forgotten, newer, Class::Current]);
    }

    #[test]
    fn a_copy_may_be_a_newer_version() {
        let on_all = |id, at_ms| Write { copies: 5, ..write(id, at_ms, false) };
        let loss = Loss { node: 0, since_ms: 0, until_ms: 99_000 };
        let seen = survey(Some(2), &[]);
        let overtaken = [on_all(1, 10_000), on_all(2, 10_005)];
        assert_eq!(classes(&overtaken, &[loss], &seen), [Class::Forgotten, Class::Current]);
        assert_eq!(classes(&overtaken, &[], &seen), [Class::Silent, Class::Current]);
        let apart = [on_all(1, 10_000), on_all(2, 20_000)];
        assert_eq!(classes(&apart, &[loss], &seen), [Class::Silent, Class::Current]);
    }

    #[test]
    fn an_earlier_value_in_the_end_is_a_loss_unless_the_disk_was_put_back() {
        let writes = [write(1, 0, false), write(2, 10_000, false)];
        assert_eq!(classes(&writes, &[], &survey(Some(1), &[2])), [Class::Current, Class::Lost]);
        let loss = |node| Loss { node, since_ms: 5_000, until_ms: 12_000 };
        assert_eq!(classes(&writes, &[loss(0)], &survey(Some(1), &[])), [Class::Current, Class::Excused]);
        assert_eq!(classes(&writes, &[loss(1)], &survey(Some(1), &[])), [Class::Current, Class::Lost]);
        let late = Loss { until_ms: 90_000, ..loss(0) };
        assert_eq!(classes(&writes, &[late], &survey(Some(1), &[])), [Class::Current, Class::Lost]);
    }

    #[test]
    fn a_delete_must_hold_and_a_value_must_not_vanish() {
        let writes = [write(1, 0, false), write(2, 10_000, true)];
        assert_eq!(classes(&writes, &[], &survey(None, &[])), [Class::Silent, Class::Current]);
        assert_eq!(classes(&writes, &[], &survey(Some(1), &[])), [Class::Current, Class::Lost]);
        let writes = [write(1, 0, true), write(2, 10_000, false)];
        assert_eq!(classes(&writes, &[], &survey(None, &[2])), [Class::Current, Class::Lost]);
    }
}
