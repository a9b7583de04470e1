//! The failure detector's part: frames in and out, its timers, suspicion, this node's own health.
//!
//! foca decides who is probed and who is suspected. Three things are kept from it on purpose:
//!
//! - It never hears of a life whose record, and so whose address, is not known here; the unequal hash brings the record.
//! - A suspicion timer reaches it only while the member is still suspect at that incarnation: foca 2.0 tells a member
//!   that refuted in time that it is dead all the same, which makes a healthy node begin a new life.
//! - A probe during which this process was late is taken for answered: it proves nothing (`lateness.rs`).
//! - How long suspicion lasts is decided here: by the size of the cluster, stretched by this node's own health and by
//!   the time that this process stood still.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use foca::{AccumulatingRuntime, Header, Message, State, Timer};
use uuid::Uuid;

use crate::call::{CallFailure, CallKind};
use crate::membership::alarm::Alarm;
use crate::membership::frame::{Frame, decode_body, encode_body};
use crate::membership::life::Life;
use crate::membership::probe::Probe;
use crate::membership::purpose::Purpose;
use crate::membership::record::Standing;
use crate::membership::settings::{
    HEALTH_WORST, PROBE_TIMEOUT, SMALL_CLUSTER, SUSPICION_SECONDS, SUSPICION_SMALL,
};
use crate::membership::swim::Swim;

fn standing(state: State) -> Standing {
    match state {
        State::Alive => Standing::Alive,
        State::Suspect => Standing::Suspect,
        State::Down => Standing::Down,
    }
}

fn ignored(what: &str, result: Result<(), foca::Error>) {
    if let Err(error) = result {
        tracing::debug!(%error, "the failure detector did not take {what}");
    }
}

impl Swim {
    /// Frames of a peer; the answer carries what the detector sends back to it.
    pub(crate) fn on_frames_request(&mut self, reply_to: u64, body: &Bytes, from: Uuid) {
        if self.is_running() {
            self.take_frames(body, from);
            self.take_stock();
        }
        let frames = self.frames_by_life().remove(&from).unwrap_or_default();
        let body = encode_body(self.hash, &frames);
        self.respond(reply_to, body);
    }

    /// What a peer answered to frames.
    pub(crate) fn on_frames_reply(&mut self, node: Uuid, is_probe: bool, result: Result<Bytes, CallFailure>) {
        if !self.is_running() {
            return;
        }
        match result {
            Ok(body) => {
                if is_probe {
                    self.health = self.health.saturating_sub(1);
                }
                let theirs = self.take_frames(&body, node);
                self.take_stock();
                match theirs {
                    Some(hash) if hash == self.hash => self.pace.found_equal(),
                    Some(_) => self.exchange_for_unequal(node),
                    None => {}
                }
            }
            Err(CallFailure::Refused) => self.on_hint(node),
            Err(CallFailure::Unreachable(_)) if is_probe => self.worsen_health(),
            Err(error) => tracing::debug!(%node, %error, "frames were not delivered"),
        }
    }

    pub(crate) fn worsen_health(&mut self) {
        self.health = (self.health + 1).min(HEALTH_WORST);
    }

    /// Hands the frames of a body to the detector. Answers the sender's hash.
    fn take_frames(&mut self, body: &[u8], from: Uuid) -> Option<u64> {
        let own = *self.foca.identity();
        let (hash, frames) = match decode_body(body, &own) {
            Ok(read) => read,
            Err(error) => {
                tracing::debug!(%from, %error, "a body of frames cannot be read");
                return None;
            }
        };
        self.registry.seen(&from, Duration::ZERO, self.now);
        self.hints.remove(&from);
        for mut frame in frames {
            let knows = |life: &Life| *life == own || (life.node != own.node && self.registry.knows(life));
            let is_named = frame.third().is_none_or(|third| knows(&third));
            if frame.header.src.node != from || !knows(&frame.header.src) || !is_named {
                continue;
            }
            frame.updates.retain(|update| knows(update.id()));
            self.touch_for(&frame);
            let Ok(bytes) = frame.encode() else { continue };
            ignored("a frame", self.foca.handle_data(&bytes, &mut self.runtime));
        }
        Some(hash)
    }

    /// Whom the detector may see otherwise after a frame: those that are named in it. Its sender is not, as long as nothing
    /// is new about it, so that an idle cluster looks nobody up.
    fn touch_for(&mut self, frame: &Frame) {
        let source = &frame.header.src;
        let is_known = self.registry.peer(&source.node).is_some_and(|peer| {
            (peer.life(), peer.incarnation, peer.standing)
                == (*source, frame.header.src_incarnation, Standing::Alive)
        });
        if !is_known {
            self.touched.insert(source.node);
        }
        self.touched.extend(frame.updates.iter().map(|update| update.id().node));
        if frame.header.message == Message::TurnUndead {
            self.touched.insert(self.own.node);
        }
    }

    /// Tells the detector what a list says. What lists bring travels on as lists, not as updates in frames.
    pub(crate) fn apply_quietly(&mut self, updates: Vec<foca::Member<Life>>) {
        self.touched.extend(updates.iter().map(|update| update.id().node));
        ignored("a list", self.foca.apply_many(updates.into_iter(), false, &mut self.runtime));
    }

    /// Tells the detector whom the registry was given with all that it knows of them.
    pub(crate) fn meet_quietly(&mut self, known: Vec<foca::Member<Life>>) {
        ignored("a roster", self.foca.apply_many(known.into_iter(), false, &mut self.runtime));
    }

    /// Tells the detector what this node found out; the change of the row is told on as a rumour.
    pub(crate) fn declare(&mut self, life: Life, incarnation: u16, state: State) {
        self.touched.insert(life.node);
        let update = foca::Member::new(life, incarnation, state);
        ignored("a finding", self.foca.apply_many(std::iter::once(update), true, &mut self.runtime));
    }

    /// Takes a life from the detector without a word to others.
    pub(crate) fn drop_from_detector(&mut self, life: Life) {
        self.apply_quietly(vec![foca::Member::down(life)]);
        ignored("a removal", self.foca.handle_timer(Timer::RemoveDown(life), &mut self.runtime));
    }

    pub(crate) fn leave_detector(&mut self) {
        ignored("a goodbye", self.foca.leave_cluster(&mut self.runtime));
        self.send_frames();
    }

    /// The registry takes over standing, rejoins and incarnations of those whom the detector may see otherwise now.
    pub(crate) fn mirror_detector(&mut self) {
        if !self.is_running() {
            return;
        }
        let own = *self.foca.identity();
        if self.touched.remove(&own.node) || own != self.own_life {
            self.own_life = own;
            self.read_own_incarnation();
        }
        self.touched.extend(self.registry.changed());
        let touched = std::mem::take(&mut self.touched);
        if touched.is_empty() {
            return;
        }
        for found in self.foca.iter_membership_state() {
            if !touched.contains(&found.id().node) {
                continue;
            }
            let life = found.id();
            let Some(peer) = self.registry.peer(&life.node) else { continue };
            let thought = (life.rejoins, found.incarnation(), standing(found.state()));
            let is_told = (peer.rejoins, peer.incarnation, peer.standing) == thought;
            if !is_told && peer.record.generation == life.generation && !peer.is_forgotten {
                self.registry.change(&life.node, |peer| {
                    (peer.rejoins, peer.incarnation, peer.standing) = thought;
                });
            }
        }
    }

    /// The detector tells its own incarnation in headers only, so one is written for nobody.
    fn read_own_incarnation(&mut self) {
        let mut nobody = AccumulatingRuntime::new();
        let own = *self.foca.identity();
        ignored("a question", self.foca.announce(own, &mut nobody));
        let frame = nobody.to_send().and_then(|(_, bytes)| Frame::decode(&bytes).ok());
        self.incarnation = frame.map_or(self.incarnation, |frame| frame.header.src_incarnation);
    }

    /// What the detector wants to send, by receiver; its timers become alarms.
    fn frames_by_life(&mut self) -> BTreeMap<Uuid, Vec<Bytes>> {
        while let Some((after, timer)) = self.runtime.to_schedule() {
            let after =
                if matches!(timer, Timer::ChangeSuspectToDown { .. }) { self.suspicion() } else { after };
            let (since, credit) = (self.now.monotonic, self.lateness.credit());
            self.alarm_in(after, Alarm::Foca { timer, since, credit });
        }
        while self.runtime.to_notify().is_some() {}
        let mut frames: BTreeMap<Uuid, Vec<Bytes>> = BTreeMap::new();
        while let Some((life, frame)) = self.runtime.to_send() {
            if let Ok(Frame { header: Header { message: Message::Ping(number), .. }, .. }) =
                Frame::decode(&frame)
            {
                self.probe = Some(Probe { life, number, since: self.now.monotonic });
            }
            frames.entry(life.node).or_default().push(frame);
        }
        frames
    }

    /// Sends what the detector wants to send.
    pub(crate) fn send_frames(&mut self) {
        for (node, frames) in self.frames_by_life() {
            let Some(address) = self.registry.peer(&node).map(|peer| peer.record.address.clone()) else {
                continue;
            };
            let is_probe = frames.iter().any(|frame| frame.first() == Some(&0));
            let body = encode_body(self.hash, &frames);
            let purpose = Purpose::Frames { node, is_probe };
            self.call((Some(node), address), CallKind::Swim, body, PROBE_TIMEOUT, purpose);
        }
    }

    /// How long suspicion lasts now.
    pub(crate) fn suspicion(&self) -> Duration {
        let count = 1 + self.registry.active_count();
        let many = u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
        let base = Duration::from_secs_f64(SUSPICION_SECONDS * many.log10().max(1.0));
        let base = if count < SMALL_CLUSTER { base.max(SUSPICION_SMALL) } else { base };
        base * (1 + self.health)
    }

    pub(crate) fn on_detector_timer(&mut self, timer: Timer<Life>, since: Duration, credit: Duration) {
        if let Timer::ChangeSuspectToDown { member_id, incarnation, .. } = &timer {
            self.touched.insert(member_id.node);
            let is_suspect = self.registry.peer(&member_id.node).is_some_and(|peer| {
                peer.life() == *member_id
                    && peer.incarnation == *incarnation
                    && peer.standing == Standing::Suspect
            });
            if !is_suspect {
                return;
            }
            let due = since + self.suspicion() + self.lateness.credit().saturating_sub(credit);
            if due > self.now.monotonic {
                self.alarms.set(due, Alarm::Foca { timer, since, credit });
                return;
            }
        }
        if matches!(timer, Timer::ProbeRandomMember(_)) {
            self.touched.extend(self.probe.map(|probe| probe.life.node));
            self.excuse_probe();
        }
        ignored("a timer", self.foca.handle_timer(timer, &mut self.runtime));
    }

    /// A probe ends. If this process was late meanwhile, the answer may wait to be heard, or was asked for too late: the
    /// detector is told that it came. Whoever is dead will be found by others, or by a later probe.
    fn excuse_probe(&mut self) {
        let Some(probe) = self.probe.take() else { return };
        let peer = self.registry.peer(&probe.life.node);
        let Some(peer) = peer.filter(|peer| peer.life() == probe.life && peer.is_active()) else { return };
        if !self.lateness.was_late_since(probe.since) {
            return;
        }
        let header = Header {
            src: probe.life,
            src_incarnation: peer.incarnation,
            dst: *self.foca.identity(),
            message: Message::Ack(probe.number),
        };
        let Ok(bytes) = (Frame { header, updates: Vec::new() }).encode() else { return };
        tracing::debug!(node = %probe.life.node, "this process was late while it probed; nothing follows from it");
        ignored("an excuse", self.foca.handle_data(&bytes, &mut self.runtime));
    }
}
