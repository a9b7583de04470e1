//! What a node remembers of a million client addresses that it limits, in resident memory.
//!
//! The load generator is the proxy that the node trusts, and tells another address with each request. A node without a limit
//! gets the same requests: what it grows by is not the limit's.

use std::net::Ipv4Addr;

use anyhow::Context as _;

use crate::bench::auth::caller::{self, Caller};
use crate::bench::auth::nodes::{self, Node};
use crate::bench::auth::options::AuthOptions;
use crate::bench::auth::turns::BUSY;
use crate::bench::cluster::finding::{Findings, Goal, Unit};
use crate::bench::load::{self, Stop};
use crate::bench::reader::Protocol;
use crate::bench::scratch::Scratch;
use crate::bench::transport::Way;
use crate::bench::values::Documents;
use crate::bench::{client, procfs, quiet};

/// Requests and addresses before the first figure, so that connections and caches have what they need.
const WARM_UP: u64 = 40_000;
const WARM_UP_ADDRESSES: u64 = 1_000;

/// More than this is refused in a minute: by default, so that the figure is that of a default node.
const LIMIT: u32 = 100;

const MEGABYTE: f64 = 1e6;

/// Lines of configuration besides the limit itself.
const PROXY: &str =
    "auth_enabled: false\ntamper_logging_enabled: false\ntrusted_proxies: [\"127.0.0.1/32\"]\n";

/// Resident memory of one node, in bytes, and how long the requests took.
struct Growth {
    before: u64,
    after: u64,
    most: u64,
    seconds: f64,
}

impl Growth {
    fn megabytes(&self) -> f64 {
        (self.after as f64 - self.before as f64) / MEGABYTE
    }
}

/// Measures both nodes and adds the growth.
///
/// # Errors
///
/// A node does not start, does not limit by address, or refuses a request.
pub(crate) fn run(options: &AuthOptions, scratch: &Scratch, findings: &mut Findings) -> anyhow::Result<()> {
    let count = options.addresses();
    let lines = format!(
        "{PROXY}rate_limiting_enabled: true\nrate_limit_requests: {LIMIT}\nrate_limit_window: \"1m\"\n"
    );
    let limited = nodes::start(scratch, "addresses", &lines, Way::Plain)?;
    let lines = format!("{PROXY}rate_limiting_enabled: false\n");
    let unlimited = nodes::start(scratch, "addresses-unlimited", &lines, Way::Plain)?;
    let documents = Documents::new(1);
    for node in [&limited, &unlimited] {
        nodes::fill(&node.server, &Caller::nobody(), Way::Plain, &documents, 1)?;
    }
    let [one, other] = [address(count + 1), address(count + 2)];
    let rest = [remaining(&limited, one)?, remaining(&limited, one)?, remaining(&limited, other)?];
    anyhow::ensure!(
        rest == [LIMIT - 1, LIMIT - 2, LIMIT - 1],
        "addresses are not counted one by one: {rest:?}"
    );

    let grown = drive(&limited, count)?;
    let beside = drive(&unlimited, count)?;
    let beside = format!(
        "from {:.1} to {:.1} MB in {:.0} s, {:.1} MB at most; without the limit {:.1} MB more",
        grown.before as f64 / MEGABYTE,
        grown.after as f64 / MEGABYTE,
        grown.seconds,
        grown.most as f64 / MEGABYTE,
        beside.megabytes()
    );
    findings.add_beside(
        &format!(
            "{count} client addresses, one request each, through the limit of requests: resident memory"
        ),
        grown.megabytes(),
        Unit { name: "MB more", digits: 1 },
        Goal::AtMost(20.0),
        beside,
    );
    Ok(())
}

/// The address of this number; different numbers have different ones, scattered as addresses are.
fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(number.wrapping_mul(2_654_435_761))
}

/// One request of a client at this address; gives how many more the node says that it may make.
fn remaining(node: &Node, address: Ipv4Addr) -> anyhow::Result<u32> {
    let mut request = Vec::new();
    caller::get_for(address, &mut request);
    let (_, bytes) = client::fetch(node.server.address, Protocol::Http, &request)?;
    let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    let value = text.lines().find_map(|line| line.strip_prefix("ratelimit-remaining:"));
    value.and_then(|value| value.trim().parse().ok()).context("the node does not limit this address")
}

/// Sends one request for each of the addresses `1..=count`.
fn drive(node: &Node, count: u32) -> anyhow::Result<Growth> {
    let pid = node.server.process.pid();
    let load = |requests| nodes::load(node.server.address, BUSY, Stop::Count(requests));
    // Addresses beyond those that count, fewer times than the limit.
    let warm = &mut |number: u64, out: &mut Vec<u8>| {
        let number = u32::try_from(number % WARM_UP_ADDRESSES).unwrap_or(0);
        caller::get_for(address(count + 3 + number), out);
    };
    load::run(load(WARM_UP), warm)?.verified().context("before the addresses")?;
    quiet::wait([&node.server]);
    let before = procfs::memory_bytes(pid, "VmRSS")?;
    let ask = &mut |number: u64, out: &mut Vec<u8>| {
        caller::get_for(address(u32::try_from(number).unwrap_or(0) + 1), out);
    };
    let outcome = load::run(load(count.into()), ask)?.verified()?;
    Ok(Growth {
        before,
        after: procfs::memory_bytes(pid, "VmRSS")?,
        most: procfs::memory_bytes(pid, "VmHWM")?,
        seconds: outcome.elapsed.as_secs_f64(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn different_numbers_are_different_addresses() {
        let addresses: BTreeSet<Ipv4Addr> = (1..=100_000).map(address).collect();
        assert_eq!(addresses.len(), 100_000);
    }
}
