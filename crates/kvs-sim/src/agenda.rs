//! What happens when: steps, in the order of their moments, and what each of them does.

use std::time::Duration;

use bytes::Bytes;
use kvs_cluster::contract::Event as ReplicationEvent;
use kvs_protocol::call::{CallFailure, CallId, CallKind};
use kvs_protocol::membership::contract::Event as MembershipEvent;
use kvs_store::engine::device::Faults;
use rand::RngExt;
use uuid::Uuid;

use crate::network::Season;
use crate::world::{Copied, World};

/// How often stores look after expiry, collection and parked records.
pub(crate) const TURN_PAUSE: Duration = Duration::from_millis(250);

/// How often vectors are compared with what is held.
const VECTOR_CHECK_PAUSE: Duration = Duration::from_millis(900);

/// A call under way.
#[derive(Debug, Clone)]
pub struct Call {
    pub(crate) caller: usize,
    pub(crate) process: u64,
    pub(crate) call: CallId,
    pub(crate) from: Uuid,
    pub(crate) node: Option<Uuid>,
    pub(crate) target: usize,
    pub(crate) kind: CallKind,
    pub(crate) body: Bytes,
}

/// What happens at a moment.
#[derive(Debug)]
pub enum Step {
    /// A machine starts its process.
    Start {
        /// The machine.
        place: usize,
    },
    /// A process that said goodbye ends.
    End {
        /// The machine.
        place: usize,
        /// Whether it is started again later.
        comes_back: bool,
    },
    /// A full disk has room again.
    FreeDisk {
        /// The machine.
        place: usize,
    },
    /// A timer of membership.
    MembershipTimer {
        /// The machine.
        place: usize,
        /// The process.
        process: u64,
    },
    /// A timer of replication.
    ReplicationTimer {
        /// The machine.
        place: usize,
        /// The process.
        process: u64,
    },
    /// Stores do their chores.
    Turn {
        /// The machine.
        place: usize,
        /// The process.
        process: u64,
    },
    /// A request arrives.
    Request(Box<Call>),
    /// An answer arrives.
    Answer(Box<Call>, Result<Bytes, CallFailure>),
    /// A call took too long.
    Timeout(Box<Call>),
    /// A client asks.
    Client,
    /// Something goes wrong.
    Fault,
    /// Vectors are compared with what is held.
    CheckVectors,
    /// Something happens that only some profiles have.
    Fate,
    /// A directory goes back to a copy of it.
    PutBack(Box<Copied>),
    /// A machine that was cut off can be reached again.
    Reach {
        /// The machine.
        place: usize,
    },
    /// A clock comes right.
    ClockRight {
        /// The machine.
        place: usize,
    },
    /// The others go away, and a new machine begins from one whose clock is ahead.
    FromAhead {
        /// The machine that is ahead.
        source: usize,
    },
    /// An operator has a member forgotten.
    Forget {
        /// The machine.
        place: usize,
    },
    /// A client waits no longer.
    GiveUp {
        /// Its wait.
        ticket: u64,
    },
}

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
