//! What goes wrong: crashes, full and slow disks, cut links, wrong clocks, nodes that come, go, and come back from an
//! old copy of their directory.

use std::ops::Bound;
use std::time::Duration;

use kvs_core::origin::{Origin, push_epoch};
use kvs_core::version::JOINED_YOUNGEST_MS;
use kvs_protocol::membership::contract::Event as MembershipEvent;
use kvs_store::engine::contract::{Batch, Engine, Order, Sync};
use kvs_store::engine::device::{Device, Faults, Torn};
use kvs_store::engine::memory::MemoryEngine;
use kvs_store::table::Table;
use rand::RngExt;
use uuid::Uuid;

use crate::clock::NodeClock;
use crate::node::{Node, Standing};
use crate::step::{Copied, Step};
use crate::weather::{JUMP_MS_MAX, PLACES_MAX};
use crate::world::World;

/// Tables of a directory that an old copy brings along; the rest belongs to its identity.
const COPIED: [Table; 6] =
    [Table::Records, Table::History, Table::Log, Table::ByTime, Table::Expiry, Table::Tombstones];

impl World {
    /// One fault.
    ///
    /// # Errors
    ///
    /// The promise that is broken by it.
    pub fn fault(&mut self) -> Result<(), String> {
        let running: Vec<usize> = self.running().collect();
        let Some(place) = running.get(self.random.random_range(0..running.len().max(1))).copied() else {
            return Ok(());
        };
        let other = running.get(self.random.random_range(0..running.len())).copied().unwrap_or(place);
        match self.random.random_range(0..100) {
            0..18 => {
                let torn = self.draw_torn();
                self.crash(place, torn);
            }
            18..26 => self.crash_within_next_commit(place),
            26..34 => self.restart(place),
            34..46 => {
                self.tell(|| format!("fault: cut {place} -> {other}"));
                self.network.cut(place, other);
            }
            46..56 => {
                self.tell(|| format!("fault: cut {place} <-> {other}"));
                self.network.cut(place, other);
                self.network.cut(other, place);
            }
            56..72 => {
                self.tell(|| "fault: links mended".into());
                self.network.mend();
            }
            72..78 => self.slow_disk(place),
            78..84 if self.weather.disks_fill => self.fill_disk(place),
            84..88 if self.weather.clocks_jump => self.jump_clock(place),
            88..92 if self.weather.comes_and_goes => self.join()?,
            92..95 if self.weather.comes_and_goes => self.leave(place)?,
            95..97 if self.weather.restores => self.keep_copy(place),
            97..100 if self.weather.restores => self.restore_copy()?,
            _ => {}
        }
        Ok(())
    }

    fn draw_torn(&mut self) -> Torn {
        match self.random.random_range(0..4) {
            0 => Torn::Clean,
            1 => Torn::After(self.random.random_range(0..600)),
            2 => Torn::Garbled(self.random.random_range(0..600)),
            _ => Torn::Nothing,
        }
    }

    /// The power goes; it comes back after a while.
    pub fn crash(&mut self, place: usize, torn: Torn) {
        self.tell(|| format!("fault: {place} crashes, {torn:?}"));
        if let Some(node) = self.node_mut(place) {
            node.crash(torn);
        }
        let pause = Duration::from_millis(self.random.random_range(50..12_000));
        self.after(pause, Step::Start { place });
    }

    fn crash_within_next_commit(&mut self, place: usize) {
        self.tell(|| format!("fault: {place} will crash within its next commit"));
        if let Some(node) = self.node_mut(place) {
            let next = node.device.syncs() + 1;
            node.device.set_faults(Faults { sync_fails_from: Some(next), ..Faults::default() });
        }
    }

    fn restart(&mut self, place: usize) {
        self.tell(|| format!("fault: {place} is stopped in order"));
        if let Some(node) = self.node_mut(place) {
            node.stop();
        }
        let pause = Duration::from_millis(self.random.random_range(50..5_000));
        self.after(pause, Step::Start { place });
    }

    fn slow_disk(&mut self, place: usize) {
        let delay = Duration::from_millis(self.random.random_range(0..600));
        self.tell(|| format!("fault: the disk of {place} takes {delay:?}"));
        if let Some(node) = self.node_mut(place) {
            node.disk_delay = delay;
        }
    }

    fn fill_disk(&mut self, place: usize) {
        let is_sudden = self.random.random_bool(0.5);
        self.tell(|| format!("fault: the disk of {place} is full, {is_sudden}"));
        if let Some(node) = self.node_mut(place) {
            let faults = if is_sudden {
                Faults { capacity_bytes: Some(node.device.len()), ..Faults::default() }
            } else {
                Faults { free_bytes: Some(0), ..Faults::default() }
            };
            node.device.set_faults(faults);
        }
        let pause = Duration::from_millis(self.random.random_range(500..6_000));
        self.after(pause, Step::FreeDisk { place });
    }

    fn jump_clock(&mut self, place: usize) {
        let jump_ms_max = i64::try_from(JUMP_MS_MAX).unwrap_or(i64::MAX);
        let offset_ms: i64 = self.random.random_range(-jump_ms_max..=jump_ms_max);
        self.tell(|| format!("fault: the clock of {place} is wrong by {offset_ms} ms"));
        self.clocks_jumped = true;
        if let Some(node) = self.node_mut(place) {
            node.clock.set_offset(offset_ms);
        }
    }

    fn join(&mut self) -> Result<(), String> {
        if self.places() == PLACES_MAX {
            return Ok(());
        }
        let place = self.add_machine();
        self.tell(|| format!("fault: {place} joins"));
        self.start(place)
    }

    fn leave(&mut self, place: usize) -> Result<(), String> {
        let members = self.members().count();
        if members <= 3 || self.node(place).is_some_and(|node| node.was_ahead) {
            return Ok(());
        }
        let comes_back = self.random.random_bool(0.7);
        self.tell(|| format!("fault: {place} leaves, comes back: {comes_back}"));
        self.drive_membership(place, MembershipEvent::Leave)?;
        let pause = Duration::from_millis(self.random.random_range(100..2_000));
        self.after(pause, Step::End { place, comes_back });
        Ok(())
    }

    fn keep_copy(&mut self, place: usize) {
        self.tell(|| format!("fault: the directory of {place} is copied"));
        // What the device holds beyond its last sync is not there yet for anyone else.
        if let Some(copied) = self.copy(place) {
            self.copy = Some(copied);
        }
    }

    /// A machine is lost; the old copy of its directory is started elsewhere, as a new node.
    fn restore_copy(&mut self) -> Result<(), String> {
        let is_possible = self.places() < PLACES_MAX && self.members().count() > 2;
        let Some(copied) = self.copy.take().filter(|_| is_possible) else { return Ok(()) };
        let Copied { place: lost, device, mirror, .. } = copied;
        // Stamps ahead of a machine that is gone are an operator's affair.
        if self.node(lost).is_none_or(|node| node.standing != Standing::Member || node.was_ahead) {
            return Ok(());
        }
        let place = self.add_machine();
        self.tell(|| format!("fault: {lost} is lost, its old copy is started as {place}"));
        if let Some(node) = self.node_mut(lost) {
            node.crash(Torn::Clean);
            node.standing = Standing::Gone;
        }
        let uuid = uuid::Builder::from_random_bytes(self.random.random()).into_uuid();
        let copied = self.node(place).map(|node| copy_rows(&device, &node.device, uuid));
        if copied != Some(true) {
            return Err(format!("the copy of {lost} cannot be restored"));
        }
        if let Some(node) = self.node_mut(place) {
            node.is_restored = true;
        }
        self.ledger.restore(place, mirror);
        self.ledger.destroy(lost);
        let parked: Vec<_> = self.parked_elsewhere(lost);
        self.ledger.mark_lost(lost, &|ms, dot| parked.iter().any(|disk| disk.contains(&(ms, *dot))));
        self.start(place)
    }

    /// Another machine, with an empty disk.
    pub fn add_machine(&mut self) -> usize {
        let place = self.places();
        let error = self.weather.clock_error_ms;
        let clock = NodeClock::new(&self.clock, self.random.random_range(-error..=error));
        self.push(Node::new(place, clock));
        place
    }
}

/// Copies what a restored directory keeps, and gives it a new identity, as a restore from a backup does.
fn copy_rows(from: &Device, to: &Device, uuid: Uuid) -> bool {
    let old = MemoryEngine::open(from);
    let snapshot = old.snapshot();
    let mut batch = Batch::default();
    for table in COPIED {
        for row in snapshot.range(table, (Bound::Unbounded, Bound::Unbounded), Order::Ascending) {
            let Ok((key, value)) = row else { return false };
            batch.put(table, key.to_vec(), value.to_vec());
        }
    }
    let Ok(Some(counters)) = snapshot.get(Table::Node, b"counters") else { return false };
    let origin = Origin { node: uuid, epoch: 1 };
    let mut identity = origin.node.as_bytes().to_vec();
    identity.extend_from_slice(&JOINED_YOUNGEST_MS.to_be_bytes());
    push_epoch(origin.epoch, &mut identity);
    batch.put(Table::Node, b"identity".to_vec(), identity);
    let Some((next_local_seq, rest)) = counters.split_first_chunk::<8>() else { return false };
    let Some((_, rest)) = rest.split_first_chunk::<8>() else { return false };
    let counters = [next_local_seq.as_slice(), &1_u64.to_be_bytes(), rest].concat();
    batch.put(Table::Node, b"counters".to_vec(), counters);
    let end = u64::from_be_bytes(*next_local_seq).saturating_sub(1);
    let epochs = [1_u32.to_be_bytes().as_slice(), &end.to_be_bytes(), &0_u64.to_be_bytes()].concat();
    batch.put(Table::Node, b"epochs".to_vec(), epochs);
    batch.put(Table::Node, b"closed".to_vec(), vec![1, 0]);
    MemoryEngine::open(to).commit(batch, Sync::Disk).is_ok()
}
