//! What happens to machines in some profiles only: directories put back, clocks far from the truth, members forgotten.
//!
//! All of it is drawn from the second stream of chance, so that a run of the ordinary profile is what it was before.

use std::time::Duration;

use kvs_protocol::membership::contract::{Event as MembershipEvent, Membership as _};
use kvs_protocol::membership::member::Status;
use rand::RngExt;

use crate::clock::EPOCH_MS;
use crate::node::Standing;
use crate::profile::Profile;
use crate::step::{Copied, Step};
use crate::weather::PLACES_MAX;
use crate::world::World;

/// Copies of directories that are kept; the oldest goes first.
const COPIES_MAX: usize = 8;

/// A moment in the year 9999, in milliseconds since 1970.
const YEAR_9999_MS: u64 = 253_390_000_000_000;

const SECOND_MS: i64 = 1_000;
const HOUR_MS: i64 = 3_600 * SECOND_MS;
const YEAR_MS: i64 = 365 * 24 * HOUR_MS;

type Fate = fn(&mut World) -> Result<(), String>;

impl World {
    /// One fate of the run's profile.
    ///
    /// # Errors
    ///
    /// The promise that is broken by it.
    pub fn fate(&mut self) -> Result<(), String> {
        let profile = self.profile;
        if profile == Profile::Bootstrap {
            self.begin_from_ahead();
            return Ok(());
        }
        let mut kinds: Vec<Fate> = Vec::new();
        if profile.puts_back() {
            kinds.push(Self::put_back_fate);
        }
        if profile.has_wrong_clocks() {
            kinds.push(Self::clock_fate);
        }
        if profile.forgets() {
            kinds.push(Self::membership_fate);
        }
        let chosen = self.fates.random_range(0..kinds.len().max(1));
        kinds.get(chosen).map_or(Ok(()), |fate| fate(self))
    }

    fn draw_running(&mut self) -> Option<usize> {
        let running: Vec<usize> = self.running().collect();
        running.get(self.fates.random_range(0..running.len().max(1))).copied()
    }

    fn draw_pause(&mut self, ms: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.fates.random_range(ms))
    }

    /// No message passes between a machine and any other.
    pub fn cut_off(&mut self, place: usize) {
        for other in (0..self.places()).filter(|other| *other != place) {
            self.network.cut(place, other);
            self.network.cut(other, place);
        }
    }

    fn put_back_fate(&mut self) -> Result<(), String> {
        match self.fates.random_range(0..100) {
            0..40 => {
                if let Some(copied) = self.draw_running().and_then(|place| self.copy(place)) {
                    self.tell(|| format!("fault: the directory of {} is kept", copied.place));
                    self.copies.push(copied);
                    let surplus = self.copies.len().saturating_sub(COPIES_MAX);
                    self.copies.drain(..surplus);
                }
            }
            40..75 => {
                let chosen = self.fates.random_range(0..self.copies.len().max(1));
                let Some(copied) = self.copies.get(chosen).cloned() else { return Ok(()) };
                if self.fates.random_bool(0.5) {
                    self.cut_off(copied.place);
                    let pause = self.draw_pause(3_000..20_000);
                    self.after(pause, Step::Reach { place: copied.place });
                }
                self.go_back(&copied);
            }
            // A life that nobody hears of, put back to where it began to be unheard.
            _ => {
                let Some(place) = self.draw_running() else { return Ok(()) };
                self.tell(|| format!("fault: {place} goes on unheard, and will be put back"));
                self.cut_off(place);
                if let Some(copied) = self.copy(place) {
                    let pause = self.draw_pause(2_000..10_000);
                    self.after(pause, Step::PutBack(Box::new(copied)));
                    let until = pause + self.draw_pause(3_000..15_000);
                    self.after(until, Step::Reach { place });
                }
            }
        }
        Ok(())
    }

    /// A machine's directory goes back, and it starts again soon.
    pub(crate) fn go_back(&mut self, copied: &Copied) {
        let is_past = copied.node.is_some_and(|node| self.past.contains(&node));
        let is_its_own = self.node(copied.place).is_some_and(|node| {
            let is_same = node.uuid.is_some() && node.uuid == copied.node && !is_past;
            is_same && node.standing == Standing::Member
        });
        if is_its_own {
            self.put_back(copied);
            let pause = self.draw_pause(10..3_000);
            self.after(pause, Step::Start { place: copied.place });
        }
    }

    fn clock_fate(&mut self) -> Result<(), String> {
        match self.fates.random_range(0..100) {
            0..55 => self.turn_clocks(),
            55..70 => {
                for place in 0..self.places() {
                    self.turn_clock_right(place);
                }
            }
            70..90 => self.begin_from_ahead(),
            _ => {
                if let Some(place) = self.draw_running() {
                    self.cut_off(place);
                    let pause = self.draw_pause(3_000..15_000);
                    self.after(pause, Step::Reach { place });
                }
            }
        }
        Ok(())
    }

    /// How wrong a clock is, in milliseconds.
    fn draw_error(&mut self) -> i64 {
        let now_ms = i64::try_from(self.clock.wall_ms()).unwrap_or(i64::MAX);
        match self.fates.random_range(0..20) {
            0..6 => self.fates.random_range(5 * SECOND_MS..=60 * SECOND_MS),
            6..9 => self.fates.random_range(60 * SECOND_MS..=HOUR_MS),
            9..11 => self.fates.random_range(HOUR_MS..=48 * HOUR_MS),
            11..14 => self.fates.random_range(YEAR_MS..=10 * YEAR_MS),
            14..16 => i64::try_from(YEAR_9999_MS).unwrap_or(i64::MAX) - now_ms,
            16..18 => -self.fates.random_range(10 * SECOND_MS..=HOUR_MS),
            // 1970.
            _ => self.fates.random_range(0..=HOUR_MS) - i64::try_from(EPOCH_MS).unwrap_or(i64::MAX),
        }
    }

    /// One clock, most or all are wrong from now on, all in the same way or each in its own, until they come right.
    fn turn_clocks(&mut self) {
        let running: Vec<usize> = self.running().collect();
        let Some(one) = self.draw_running() else { return };
        let places: Vec<usize> = match self.fates.random_range(0..10) {
            0..6 => vec![one],
            6..8 => running.iter().copied().take(running.len() / 2 + 1).collect(),
            _ => running,
        };
        let is_alike = self.fates.random_bool(0.5);
        let mut error_ms = self.draw_error();
        let right_after = self.draw_pause(5_000..40_000);
        if places.len() == 1 && self.fates.random_bool(0.4) {
            self.cut_off(one);
            let pause = self.draw_pause(2_000..60_000);
            self.after(pause, Step::Reach { place: one });
        }
        for place in places {
            if !is_alike {
                error_ms = self.draw_error();
            }
            self.turn_clock(place, error_ms);
            self.after(right_after, Step::ClockRight { place });
        }
    }

    /// A machine's clock is wrong by so much from now on.
    pub(crate) fn turn_clock(&mut self, place: usize, error_ms: i64) {
        self.tell(|| format!("fault: the clock of {place} is wrong by {error_ms} ms"));
        let skew_ms_max = self.weather.clock_skew_ms_max;
        let is_wrong = error_ms.unsigned_abs() > skew_ms_max;
        self.clocks_jumped |= is_wrong;
        self.clocks_turned += u64::from(is_wrong);
        if let Some(node) = self.node_mut(place) {
            node.was_ahead |= u64::try_from(error_ms).is_ok_and(|ahead_ms| ahead_ms > skew_ms_max);
            node.clock.set_offset(error_ms);
        }
    }

    /// A machine's clock is as right as the configuration demands.
    pub(crate) fn turn_clock_right(&mut self, place: usize) {
        let error = self.weather.clock_error_ms;
        let error_ms = self.fates.random_range(-error..=error);
        self.turn_clock(place, error_ms);
    }

    /// A machine is cut off and ahead, so that clients write there by its clock; then the others hear of it, and a new one
    /// begins from it while they are away.
    fn begin_from_ahead(&mut self) {
        let Some(source) = self.draw_running() else { return };
        if self.places() >= PLACES_MAX {
            return;
        }
        let error_ms = self.draw_error().abs();
        self.cut_off(source);
        self.turn_clock(source, error_ms);
        let heard_after = self.draw_pause(2_000..6_000);
        self.after(heard_after, Step::Reach { place: source });
        let alone_after = heard_after + self.draw_pause(1_500..5_000);
        self.after(alone_after, Step::FromAhead { source });
        let right_after = alone_after + self.draw_pause(8_000..30_000);
        self.after(right_after, Step::ClockRight { place: source });
    }

    /// The others go away for a while; a new machine begins from the one that is left.
    pub(crate) fn join_from(&mut self, source: usize) -> Result<(), String> {
        let is_there = self.node(source).is_some_and(|node| node.process.is_some());
        if !is_there || self.places() >= PLACES_MAX {
            return Ok(());
        }
        let others: Vec<usize> = self.running().filter(|place| *place != source).collect();
        for place in others {
            self.tell(|| format!("fault: {place} is stopped in order"));
            if let Some(node) = self.node_mut(place) {
                node.stop();
            }
            let pause = self.draw_pause(8_000..20_000);
            self.after(pause, Step::Start { place });
        }
        let place = self.add_machine();
        self.tell(|| format!("fault: {place} joins, and {source} alone is there"));
        self.start(place)
    }

    /// A member is silent for a while, down or cut off; an operator has it forgotten, and it comes back.
    fn membership_fate(&mut self) -> Result<(), String> {
        let Some(place) = self.draw_running() else { return Ok(()) };
        let forgotten =
            self.members().filter(|place| self.node(*place).is_some_and(|node| node.is_forgotten));
        if (forgotten.count() + 1) * 2 >= self.members().count() {
            return Ok(());
        }
        let forget_after = self.draw_pause(8_000..16_000);
        let back_after = forget_after + self.draw_pause(500..20_000);
        if self.fates.random_bool(0.5) {
            self.tell(|| format!("fault: {place} is stopped in order, for long"));
            if let Some(node) = self.node_mut(place) {
                node.stop();
            }
            self.after(back_after, Step::Start { place });
        } else {
            self.tell(|| format!("fault: {place} is cut off, for long"));
            self.cut_off(place);
            self.after(back_after, Step::Reach { place });
        }
        self.after(forget_after, Step::Forget { place });
        Ok(())
    }

    /// An operator has a member forgotten that nobody sees, as the product lets him.
    pub(crate) fn forget(&mut self, place: usize) -> Result<(), String> {
        let Some(uuid) = self.node(place).and_then(|node| node.uuid) else { return Ok(()) };
        let sees_it_gone = |teller: &usize| {
            let process =
                self.node(*teller).filter(|node| !node.is_forgotten).and_then(|node| node.process.as_ref());
            process.is_some_and(|process| {
                let members = process.swim.members();
                let mut others = members.iter().skip(1).filter(|member| !member.is_forgotten);
                others.any(|member| member.node == uuid && member.status == Status::Failed)
            })
        };
        let teller = self.running().filter(|teller| *teller != place).find(sees_it_gone);
        let Some(teller) = teller else { return Ok(()) };
        self.tell(|| format!("fault: {place} is forgotten at a word to {teller}"));
        self.forgotten += 1;
        if let Some(node) = self.node_mut(place) {
            node.is_forgotten = true;
        }
        self.ledger.forget(place);
        self.drive_membership(teller, MembershipEvent::Forget(uuid))?;
        self.settle(teller)
    }
}
