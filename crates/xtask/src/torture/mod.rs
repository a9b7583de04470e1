//! `cargo xtask torture`: five real nodes under random faults, and every acknowledged write accounted for at the end.
//!
//! `run` tells the story of a run. `nodes` starts, stops, freezes and puts back; `faults` chooses what to do to them;
//! `clients` write meanwhile, through `talk`, and tell the `ledger`. When all is mended, `settle` waits until the nodes are
//! equal, `survey` reads what they hold and remember, `verdict` accounts for each write, `logs` reads what nodes printed and
//! `report` prints the table. `random` is the seeded chance, `faketime` the other clock.

pub(crate) mod clients;
pub(crate) mod faketime;
pub(crate) mod faults;
pub(crate) mod ledger;
pub(crate) mod logs;
pub(crate) mod nodes;
pub(crate) mod options;
pub(crate) mod random;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod settle;
pub(crate) mod survey;
pub(crate) mod talk;
pub(crate) mod verdict;
