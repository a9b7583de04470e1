//! The table at the end, and the story of a key whose write is lost.

use std::collections::BTreeMap;

use crate::bench::table::Table;
use crate::torture::ledger::{Ledger, Write};
use crate::torture::survey::Survey;
use crate::torture::verdict::Class;

/// Prints counts and classes.
pub(crate) fn print(ledger: &Ledger, judged: &[(&Write, Class)]) {
    let mut table = Table::new(&["what", "how often"]);
    for (name, count) in ledger.counts() {
        table.push(vec![name, count.to_string()]);
    }
    let mut classes: BTreeMap<String, usize> = BTreeMap::new();
    for (write, class) in judged {
        let kind = if write.is_delete { "delete" } else { "write" };
        *classes.entry(format!("acknowledged {kind}: {}", name(class))).or_default() += 1;
    }
    for (name, count) in classes {
        table.push(vec![name, count.to_string()]);
    }
    println!("\n{}", table.terminal());
}

fn name(class: &Class) -> String {
    match class {
        Class::Current => "is what the key shows".to_owned(),
        Class::History(rule) => format!("in a history ({rule})"),
        Class::Followed => "written again later".to_owned(),
        Class::Forgotten => "a later one took its place, its disks were put back".to_owned(),
        Class::Silent => "UNACCOUNTED, a later one took its place and no history has it".to_owned(),
        Class::Excused => "excused, its disks were put back to before it".to_owned(),
        Class::Lost => "UNACCOUNTED, the key shows something earlier".to_owned(),
    }
}

/// Prints all that happened to a key.
pub(crate) fn story(lost: &Write, writes: &[Write], survey: &Survey, ledger: &Ledger) {
    println!("UNACCOUNTED {lost:?}");
    println!("  {} shows {:?}; the writes of it:", lost.key, survey.shown.get(&lost.key));
    for write in writes.iter().filter(|write| write.key == lost.key) {
        let rules = write.uuid.as_ref().and_then(|uuid| survey.by_uuid.get(uuid));
        println!("  {write:?} in histories as {rules:?}, by content as {:?}", survey.by_id.get(&write.id));
    }
    for loss in ledger.losses() {
        println!("  {loss:?}");
    }
}
