//! What happens when: steps, in the order of their moments, and what each of them does.

use std::time::Duration;

use kvs_cluster::contract::Event as ReplicationEvent;
use kvs_protocol::call::CallFailure;
use kvs_protocol::membership::contract::Event as MembershipEvent;
use kvs_store::engine::device::Faults;
use rand::RngExt;

use crate::network::Season;
use crate::step::{Step, TURN_PAUSE};
use crate::world::World;

/// How often vectors are compared with what is held.
const VECTOR_CHECK_PAUSE: Duration = Duration::from_millis(900);

impl World {
    /// Puts a step on the agenda.
    pub fn after(&mut self, pause: Duration, step: Step) {
        self.agenda_number += 1;
        self.agenda.insert((self.now() + pause, self.agenda_number), step);
    }

    /// Takes all steps up to a moment.
    ///
    /// # Errors
    ///
    /// The promise that is broken by one of them.
    pub fn run_until(&mut self, end: Duration) -> Result<(), String> {
        while let Some(entry) = self.agenda.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), step) = entry.remove_entry();
            self.clock.set(at);
            self.steps += 1;
            self.take(step)?;
        }
        self.clock.set(end);
        Ok(())
    }

    pub(crate) fn take(&mut self, step: Step) -> Result<(), String> {
        let now = self.now();
        match step {
            Step::Start { place } => self.start(place),
            Step::End { place, comes_back } => {
                self.end(place, comes_back);
                Ok(())
            }
            Step::FreeDisk { place } => {
                if let Some(node) = self.node_mut(place) {
                    node.device.set_faults(Faults::default());
                }
                Ok(())
            }
            Step::MembershipTimer { place, process } => match self.process_mut(place, process) {
                // A timer that was set anew since has another step.
                Some(process) if process.swim_at == Some(now) => {
                    process.swim_at = None;
                    self.drive_membership(place, MembershipEvent::Timer)?;
                    self.settle(place)
                }
                _ => Ok(()),
            },
            Step::ReplicationTimer { place, process } => match self.process_mut(place, process) {
                Some(process) if process.replicator_at == Some(now) => {
                    process.replicator_at = None;
                    self.drive_replication(place, ReplicationEvent::Timer)?;
                    self.settle(place)
                }
                _ => Ok(()),
            },
            Step::Work { place, process } => self.work(place, process),
            Step::Turn { place, process } => {
                if let Some(process) = self.process_mut(place, process) {
                    process.store.turn();
                    let process = process.number;
                    self.after(TURN_PAUSE, Step::Turn { place, process });
                    self.settle(place)?;
                }
                Ok(())
            }
            Step::Request(call) => self.serve(*call),
            Step::Answer(call, result) => self.answer(&call, result),
            Step::Timeout(call) => {
                self.answer(&call, Err(CallFailure::Unreachable("it took too long".into())))
            }
            Step::Client => {
                if self.network.season() == Season::Rough {
                    let pause = self.random.random_range(self.weather.client_pause_ms.clone());
                    self.after(Duration::from_millis(pause), Step::Client);
                    self.request()?;
                }
                Ok(())
            }
            Step::Fault => {
                if self.network.season() == Season::Rough {
                    let pause = self.random.random_range(self.weather.fault_pause_ms.clone());
                    self.after(Duration::from_millis(pause), Step::Fault);
                    self.fault()?;
                }
                Ok(())
            }
            Step::GiveUp { ticket } => self.give_up(ticket),
            Step::Fate | Step::PutBack(_) | Step::FromAhead { .. } | Step::Forget { .. }
                if self.network.season() == Season::Calm =>
            {
                Ok(())
            }
            Step::Fate => {
                let pause = self.fates.random_range(1_500..9_000);
                self.after(Duration::from_millis(pause), Step::Fate);
                self.fate()
            }
            Step::PutBack(copied) => {
                self.go_back(&copied);
                Ok(())
            }
            Step::FromAhead { source } => self.join_from(source),
            Step::Forget { place } => self.forget(place),
            Step::Reach { place } => {
                self.tell(|| format!("fault: {place} can be reached again"));
                self.network.reach(place);
                Ok(())
            }
            Step::ClockRight { place } => {
                self.turn_clock_right(place);
                Ok(())
            }
            Step::CheckVectors => {
                self.after(VECTOR_CHECK_PAUSE, Step::CheckVectors);
                self.check_vectors()
            }
        }
    }
}
