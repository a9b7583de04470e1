//! Verifying a trail: the chain from its first entry to its last, then what was signed about it.
//!
//! Only reads, and works while a node writes: statements are read before the entries that they are about, so the trail is
//! never shorter than they say because of the order of reading.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::anchors::{Anchors, signed_node};
use crate::checkpoint::Retirement;
use crate::entry::Entry;
use crate::error::AuditError;
use crate::event::EventKind;
use crate::fault::{Fault, FaultKind, Place};
use crate::hash::EntryHash;
use crate::link_check::LinkCheck;
use crate::position::Position;
use crate::report::Report;
use crate::trail::{read_retirement, retirement_text};
use crate::walk::{Step, Walk};

/// How often a look is begun again because the node removed old segments meanwhile.
const ATTEMPTS_MAX: u32 = 5;

/// What to hold a trail against.
#[derive(Debug, Clone, Copy, Default)]
pub struct Against<'a> {
    /// Files of checkpoints that other nodes have kept, folders of such files, or data directories of other nodes.
    pub peer_paths: &'a [PathBuf],
    /// The node whose trail it is; without it the trail's own files say so.
    pub node: Option<Uuid>,
}

/// Reads the whole trail in `audit_dir` and says what is wrong with it, if anything. `progress` is called with the number of
/// entries read so far, now and then.
///
/// # Errors
///
/// There is no trail, or files cannot be read; what is wrong with a trail is no error but in the report.
pub fn verify(
    audit_dir: &Path,
    against: Against<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, AuditError> {
    let mut attempt = 1;
    loop {
        let before = read_retired(audit_dir)?;
        let outcome = verify_once(audit_dir, against, &before, progress);
        // A node that removes old segments while they are read has said so in its statement.
        if attempt == ATTEMPTS_MAX || read_retired(audit_dir)? == before {
            return outcome;
        }
        attempt += 1;
    }
}

/// The statement where the kept part begins, or that the file is no such statement.
fn read_retired(audit_dir: &Path) -> Result<Result<Option<Retirement>, &'static str>, AuditError> {
    match read_retirement(audit_dir) {
        Ok(retired) => Ok(Ok(retired)),
        Err(AuditError::File { reason, .. }) => Ok(Err(reason)),
        Err(error) => Err(error),
    }
}

fn verify_once(
    audit_dir: &Path,
    against: Against<'_>,
    retired: &Result<Option<Retirement>, &'static str>,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, AuditError> {
    let node = match against.node {
        Some(node) => Some(node),
        None => match signed_node(audit_dir)? {
            Some(node) => Some(node),
            None => opened_node(audit_dir)?,
        },
    };
    let anchors = Anchors::read(audit_dir, against.peer_paths, node.unwrap_or_default())?;
    let mut look = Look {
        report: Report { node, peer_checkpoints: anchors.peer_count, ..Report::default() },
        anchors,
        retired: retired.ok().flatten(),
        opened: None,
        is_retirement_noted: false,
    };
    let fault = match retired {
        Err(reason) => Some(Fault::of(FaultKind::BadCheckpoints, format!("retired.json: {reason}"))),
        Ok(_) => look.walk(audit_dir, progress)?,
    };
    let fault = fault.or_else(|| look.after());
    Ok(Report { fault, ..look.report })
}

/// The node that the last entry `opened` names, where no checkpoint does.
fn opened_node(audit_dir: &Path) -> Result<Option<Uuid>, AuditError> {
    let mut walk = Walk::begin(audit_dir)?;
    let mut node = None;
    while let Some(line) = walk.next_whole()? {
        if line.entry.event == EventKind::Opened.name() {
            node = line.entry.subject.as_deref().and_then(|subject| Uuid::try_parse(subject).ok()).or(node);
        }
    }
    Ok(node)
}

struct Look {
    report: Report,
    anchors: Anchors,
    retired: Option<Retirement>,
    /// The last entry `opened`: who the trail itself says the node is, and with which key.
    opened: Option<(Place, Entry)>,
    /// Whether an entry says what the statement about removed entries says.
    is_retirement_noted: bool,
}

impl Look {
    /// Walks along the chain up to the first fault.
    fn walk(&mut self, dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<Option<Fault>, AuditError> {
        let mut walk = Walk::begin(dir)?;
        let mut links: Option<LinkCheck> = None;
        loop {
            match walk.step()? {
                Step::Segment(segment) => {
                    self.report.segments = walk.segments();
                    let links = match &links {
                        Some(links) => links,
                        None => {
                            self.report.first_seq = segment.first_seq;
                            links.insert(self.first_links(segment.first_seq))
                        }
                    };
                    if let Err(fault) = links.check_segment(&segment) {
                        return Ok(Some(fault));
                    }
                }
                Step::Line(place, line) => {
                    let Some(links) = &mut links else { continue };
                    if let Err(fault) =
                        links.check(place.clone(), line.as_deref().map_err(|why| *why), &mut walk)?
                    {
                        return Ok(Some(fault));
                    }
                    let (Ok(line), Some(position)) = (line, links.position()) else { continue };
                    self.report.last = Some(position);
                    self.report.entries += 1;
                    if self.report.entries.is_multiple_of(1000) {
                        progress(self.report.entries);
                    }
                    if let Some(fault) = self.compare(position, &place) {
                        return Ok(Some(fault));
                    }
                    self.remember(place, line.entry);
                }
                Step::Torn(bytes) => self.report.torn_bytes = bytes,
                Step::End => break,
            }
        }
        if links.is_none() {
            let what = "there is no segment: the whole trail was removed";
            return Ok(Some(Fault::of(FaultKind::SegmentMissing, what)));
        }
        Ok(None)
    }

    /// Where the chain begins: at its first entry, or behind what was removed because of its age.
    fn first_links(&self, first_seq: u64) -> LinkCheck {
        match &self.retired {
            None => LinkCheck::begin(0, Some(EntryHash::GENESIS)),
            // A crash can leave segments that were signed away; their beginning cannot be checked, but their end can.
            Some(retired) if first_seq <= retired.0.seq => LinkCheck::begin(first_seq - 1, None),
            Some(retired) => LinkCheck::begin(retired.0.seq, Some(retired.0.head)),
        }
    }

    fn compare(&mut self, position: Position, place: &Place) -> Option<Fault> {
        let retired = self.retired.filter(|retired| retired.0.seq == position.seq);
        if retired.is_some_and(|retired| retired.0.head != position.head) {
            let what = "it has another hash than the statement about removed entries says";
            return Some(Fault::at(FaultKind::Forked, place.clone(), what));
        }
        match self.anchors.compare(position, place) {
            Ok(confirmed) => {
                let seq = Some(position.seq);
                self.report.anchored_up_to = seq.filter(|_| confirmed.by_peer).or(self.report.anchored_up_to);
                self.report.own_up_to = seq.filter(|_| confirmed.by_own).or(self.report.own_up_to);
                None
            }
            Err(fault) => Some(fault),
        }
    }

    fn remember(&mut self, place: Place, entry: Entry) {
        if entry.event == EventKind::Opened.name() {
            self.opened = Some((place, entry));
        } else if entry.event == EventKind::Retired.name() {
            let said = self.retired.map(|it| retirement_text(Position { seq: it.0.seq, head: it.0.head }));
            self.is_retirement_noted |= said.is_some() && entry.detail == said;
        } else if entry.event == EventKind::Recovered.name() {
            self.report.recoveries += 1;
        } else if entry.event == EventKind::Damaged.name() {
            self.report.damages += 1;
        }
    }

    /// What is wrong with a chain that is whole.
    fn after(&mut self) -> Option<Fault> {
        if let Some(fault) = self.anchors.beyond(self.report.last_seq()) {
            return Some(fault);
        }
        if self.retired.is_some() && !self.is_retirement_noted {
            let what = "the statement about removed entries has no entry `retired` beside it";
            return Some(Fault::of(FaultKind::SegmentMissing, what));
        }
        if let Some((place, opened)) = &self.opened {
            let node = self.report.node.map(|node| node.to_string());
            if opened.subject != node {
                let named = opened.subject.as_deref().unwrap_or_default();
                let asked = node.unwrap_or_default();
                let what = format!("the trail says that it is of node {named}, not {asked}");
                return Some(Fault::at(FaultKind::Forked, place.clone(), what));
            }
            let key = opened.detail.as_deref().unwrap_or_default();
            if let Some((other, signed)) = self.anchors.other_key(key) {
                let what = format!("the trail names the key {key}, but {signed} is signed with {other}");
                return Some(Fault::at(FaultKind::KeyChanged, place.clone(), what));
            }
            if let Some(retired) = self.retired.filter(|retired| retired.0.key.to_string() != key) {
                let what =
                    format!("retired.json is signed with {}, the trail names the key {key}", retired.0.key);
                return Some(Fault::at(FaultKind::KeyChanged, place.clone(), what));
            }
        }
        self.anchors.faults.drain(..).next()
    }
}
