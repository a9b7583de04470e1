//! What a token, the check of permissions and the audit trail cost a node, for reads and for durable writes.
//!
//! Three nodes hold the same keys: one asks nobody, one asks for tokens and checks permissions, one has the audit trail too.
//! Where there are accounts a user wrote the keys, so each has an owner and a mode by which every request is decided. The
//! same user's token is also sent to the node that does not look at it, which shows what its bytes alone cost.

use crate::bench::auth::accounts::Accounts;
use crate::bench::auth::caller::Caller;
use crate::bench::auth::nodes::{self, ALL_OFF, Node, RIGHTS, RIGHTS_AND_TRAIL};
use crate::bench::auth::options::AuthOptions;
use crate::bench::auth::turns::{self, BUSY, Contestant, KEYS, Scene, Turn, Verb};
use crate::bench::cluster::finding::{Findings, Goal, Unit};
use crate::bench::load::{self, Load, Stop};
use crate::bench::scratch::Scratch;
use crate::bench::transport::Way;
use crate::bench::values::{DOCUMENT_BYTES, Documents};

const TIMES: Unit = Unit { name: "x", digits: 2 };

/// A node and who asks it.
struct Asked {
    node: Node,
    caller: Caller,
}

impl Asked {
    fn contestant(&self, name: &'static str) -> Contestant<'_> {
        Contestant { name, server: &self.node.server, caller: self.caller.clone(), way: Way::Plain }
    }
}

/// Starts a node that asks nobody, with all keys.
fn open(scratch: &Scratch, name: &str, documents: &Documents) -> anyhow::Result<Asked> {
    let node = nodes::start(scratch, name, ALL_OFF, Way::Plain)?;
    let caller = Caller::nobody();
    nodes::fill(&node.server, &caller, Way::Plain, documents, KEYS)?;
    Ok(Asked { node, caller })
}

/// Starts a node with accounts, and a user on it who wrote all keys.
fn guarded(scratch: &Scratch, name: &str, lines: &str, documents: &Documents) -> anyhow::Result<Asked> {
    let node = nodes::start(scratch, name, lines, Way::Plain)?;
    let accounts = Accounts::of(node.server.address, &node.folder)?;
    let caller = accounts.make_token(&accounts.add_user("bench")?)?.bearer;
    nodes::fill(&node.server, &caller, Way::Plain, documents, KEYS)?;
    refuses_strangers(&node)?;
    Ok(Asked { node, caller })
}

/// A node that lets anybody read has nothing to be measured.
fn refuses_strangers(node: &Node) -> anyhow::Result<()> {
    let ask = &mut |number, out: &mut Vec<u8>| Caller::nobody().get(number, out);
    let outcome = load::run(nodes::load(node.server.address, 1, Stop::Count(1)), ask)?;
    anyhow::ensure!(outcome.completed == 0, "a caller without a token may read");
    Ok(())
}

/// Reads every key once, so that no answer is missing from a cache when the rounds begin.
fn read_all(asked: &Asked) -> anyhow::Result<()> {
    let load = nodes::load(asked.node.server.address, BUSY, Stop::Count(KEYS));
    let load = Load { least_body_bytes: DOCUMENT_BYTES, ..load };
    load::run(load, &mut |number, out| asked.caller.get(number, out))?.verified().map(drop)
}

fn scene<'a>(options: &AuthOptions, verb: Verb, connections: usize, documents: &'a Documents) -> Scene<'a> {
    Scene { verb, connections, rounds: options.rounds(), duration: options.duration(), documents }
}

/// Measures reads and adds the ratios.
///
/// # Errors
///
/// A node does not start, or a request fails.
pub(crate) fn reads(options: &AuthOptions, scratch: &Scratch, findings: &mut Findings) -> anyhow::Result<()> {
    let documents = Documents::new(KEYS);
    let off = open(scratch, "get-off", &documents)?;
    let rights = guarded(scratch, "get-rights", RIGHTS, &documents)?;
    read_all(&off)?;
    read_all(&rights)?;
    let ignored = Contestant { caller: rights.caller.clone(), ..off.contestant("off, token sent") };
    let contestants = [rights.contestant("token and permissions"), ignored, off.contestant("off")];
    let [checked, ignored, plain] = turns::play(scene(options, Verb::Get, BUSY, &documents), &contestants)?;
    let name = "`GET`/s with a token and permissions against accounts off";
    let ratio = turns::ratio(&checked, &plain, |turn| turn.rate)?;
    findings.add_beside(name, ratio, TIMES, Goal::AtLeast(0.9), turns::rates(&checked, &plain)?);
    let name = "the same token sent with accounts off, where nobody looks at it, against none sent";
    let ratio = turns::ratio(&ignored, &plain, |turn| turn.rate)?;
    findings.add_beside(name, ratio, TIMES, Goal::Shown, turns::rates(&ignored, &plain)?);
    cpu("CPU of the node per `GET`, token and permissions against accounts off", &checked, &plain, findings)
}

/// Measures durable writes, over many connections and over one, and adds the ratios.
///
/// # Errors
///
/// A node does not start, or a request fails.
pub(crate) fn writes(
    options: &AuthOptions,
    scratch: &Scratch,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let documents = Documents::new(KEYS);
    let off = open(scratch, "put-off", &documents)?;
    let rights = guarded(scratch, "put-rights", RIGHTS, &documents)?;
    let trail = guarded(scratch, "put-trail", RIGHTS_AND_TRAIL, &documents)?;
    let contestants = [
        trail.contestant("token, permissions, audit trail"),
        rights.contestant("token and permissions"),
        off.contestant("off"),
    ];
    let [noted, checked, plain] = turns::play(scene(options, Verb::Put, BUSY, &documents), &contestants)?;
    let name = "durable `PUT`/s with token, permissions and audit trail against all off";
    let ratio = turns::ratio(&noted, &plain, |turn| turn.rate)?;
    findings.add_beside(name, ratio, TIMES, Goal::AtLeast(0.8), turns::rates(&noted, &plain)?);
    let name = "the same without the audit trail";
    let ratio = turns::ratio(&checked, &plain, |turn| turn.rate)?;
    findings.add_beside(name, ratio, TIMES, Goal::Shown, turns::rates(&checked, &plain)?);
    cpu("CPU of the node per `PUT`, all three against all off", &noted, &plain, findings)?;
    cpu("the same without the audit trail", &checked, &plain, findings)?;

    let [noted, checked, plain] = turns::play(scene(options, Verb::Put, 1, &documents), &contestants)?;
    let latency = |course: &[Turn]| turns::middle(course, |turn| turn.p50_us);
    let (noted_us, checked_us, plain_us) = (latency(&noted)?, latency(&checked)?, latency(&plain)?);
    let name = "durable `PUT`/s at 1 connection, all three against all off";
    let ratio = turns::ratio(&noted, &plain, |turn| turn.rate)?;
    let beside = format!("p50 {noted_us:.0} us against {plain_us:.0} us");
    findings.add_beside(name, ratio, TIMES, Goal::Shown, beside);
    let name = "the same without the audit trail";
    let ratio = turns::ratio(&checked, &plain, |turn| turn.rate)?;
    let beside = format!("p50 {checked_us:.0} us against {plain_us:.0} us");
    findings.add_beside(name, ratio, TIMES, Goal::Shown, beside);
    Ok(())
}

fn cpu(name: &str, ours: &[Turn], theirs: &[Turn], findings: &mut Findings) -> anyhow::Result<()> {
    let ratio = turns::ratio(ours, theirs, |turn| turn.server_us)?;
    let each = |course| turns::middle(course, |turn| turn.server_us);
    let beside = format!("{:.1} us against {:.1} us", each(ours)?, each(theirs)?);
    findings.add_beside(name, ratio, TIMES, Goal::Shown, beside);
    Ok(())
}
