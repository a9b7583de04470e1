//! From a token's revocation on one node of three until both others refuse it.
//!
//! For each of the others a watcher reads a key with the token again and again, without a pause. Once both were answered, so
//! that both nodes have the token verified and remembered, it is revoked on the first node; each watcher goes on until it is
//! answered 401, and the figure is the later of the two.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::bench::answer::Protocol;
use crate::bench::auth::accounts::Accounts;
use crate::bench::auth::caller::Caller;
use crate::bench::auth::options::AuthOptions;
use crate::bench::cluster::finding::{Findings, Goal, Unit};
use crate::bench::cluster::group::{Accounts as Asking, Group};
use crate::bench::cluster::talk::Talk;
use crate::bench::histogram::Histogram;
use crate::bench::quiet;
use crate::bench::scratch::Scratch;
use crate::bench::server::free_ports;
use crate::bench::values::Documents;
use crate::clock;

/// A token that is not yet taken, or not yet refused, after this has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Revocations before the first that counts.
const WARM_UP: u32 = 5;

/// The statuses that are told apart.
const TAKEN: u16 = 200;
const REFUSED: u16 = 401;

/// A watcher, as whoever revokes sees it.
struct Watcher {
    /// Takes who bears the next token.
    bearers: Sender<Caller>,
    /// Gives two moments for each: when the token was taken, and when it was refused.
    moments: Receiver<anyhow::Result<Instant>>,
}

impl Watcher {
    fn moment(&self) -> anyhow::Result<Instant> {
        self.moments.recv().context("a watcher has ended")?
    }
}

/// Times in nanoseconds, from the revocation's request until the second refusal and until its own answer.
struct Times {
    sent_to_refused: Histogram,
    answered_to_refused: Histogram,
    sent_to_answered: Histogram,
}

/// Measures revocations and adds the times.
///
/// # Errors
///
/// The nodes do not work as a cluster, or one does not refuse a revoked token in time.
pub(crate) fn run(options: &AuthOptions, scratch: &Scratch, findings: &mut Findings) -> anyhow::Result<()> {
    let mut group = Group::start_with(scratch.folder("revocation")?, &free_ports::<3>()?, 3, Asking::On)?;
    group.wait_formed()?;
    let first = group.node(0)?.address;
    let accounts = Accounts::of(first, &group.folder_of(0))?;
    let user = accounts.add_user("bench")?;
    put_key(first, &accounts.make_token(&user)?.bearer)?;
    quiet::wait(&group.nodes);

    let others = [group.node(1)?.address, group.node(2)?.address];
    let times = thread::scope(|scope| {
        let watchers = others.map(|address| {
            let ((bearers, orders), (reports, moments)) = (channel(), channel());
            scope.spawn(move || watch(address, &orders, &reports));
            Watcher { bearers, moments }
        });
        // The watchers end when this does, with their channels.
        revoke_all(options.revocations(), first, &accounts, &user, &watchers)
    })?;
    report(options.revocations(), &times, findings);
    group.stop()
}

fn put_key(address: SocketAddr, caller: &Caller) -> anyhow::Result<()> {
    let mut request = Vec::new();
    caller.put(0, Documents::new(1).document(0), &mut request);
    let answer = Talk::open(address, Protocol::Http)?.ask(&request)?;
    anyhow::ensure!(answer.success, "the first write was answered with {}", answer.status);
    Ok(())
}

fn revoke_all(
    count: u32,
    address: SocketAddr,
    accounts: &Accounts,
    user: &str,
    watchers: &[Watcher; 2],
) -> anyhow::Result<Times> {
    let mut talk = Talk::open(address, Protocol::Http)?;
    let mut times = Times {
        sent_to_refused: Histogram::new(),
        answered_to_refused: Histogram::new(),
        sent_to_answered: Histogram::new(),
    };
    let mut request = Vec::new();
    for number in 0..WARM_UP + count {
        let token = accounts.make_token(user)?;
        for watcher in watchers {
            watcher.bearers.send(token.bearer.clone()).context("a watcher has ended")?;
        }
        watchers.iter().try_for_each(|watcher| watcher.moment().map(drop))?;
        request.clear();
        accounts.revoke(&token.jti, &mut request);
        let sent = clock::now();
        let answer = talk.ask(&request)?;
        let answered = clock::now();
        anyhow::ensure!(answer.success, "a revocation was answered with {}", answer.status);
        let [one, other] = watchers;
        let refused = one.moment()?.max(other.moment()?);
        if number >= WARM_UP {
            times.sent_to_refused.record(nanoseconds(refused.saturating_duration_since(sent)));
            times.answered_to_refused.record(nanoseconds(refused.saturating_duration_since(answered)));
            times.sent_to_answered.record(nanoseconds(answered.duration_since(sent)));
        }
    }
    Ok(times)
}

/// Reads with each token until it is taken, and then until it is refused.
fn watch(address: SocketAddr, bearers: &Receiver<Caller>, moments: &Sender<anyhow::Result<Instant>>) {
    let mut talk = Talk::open(address, Protocol::Http);
    for bearer in bearers {
        for awaited in [TAKEN, REFUSED] {
            let moment = match &mut talk {
                Ok(talk) => poll(talk, &bearer, awaited),
                Err(error) => Err(anyhow::anyhow!("{error:#}")),
            };
            let failed = moment.is_err();
            if moments.send(moment).is_err() || failed {
                return;
            }
        }
    }
}

/// Asks without a pause until the answer has this status; gives the moment.
fn poll(talk: &mut Talk, bearer: &Caller, awaited: u16) -> anyhow::Result<Instant> {
    let mut request = Vec::new();
    bearer.get(0, &mut request);
    let begin = clock::now();
    loop {
        let answer = talk.ask(&request)?;
        let now = clock::now();
        if answer.status == awaited {
            return Ok(now);
        }
        // A node that does not have the user or the key yet says so.
        if awaited == REFUSED && answer.status != TAKEN {
            bail!("a token that was good was answered with {}", answer.status);
        }
        if now.duration_since(begin) > PATIENCE {
            bail!("status {} instead of {awaited} for {} s", answer.status, PATIENCE.as_secs());
        }
    }
}

fn report(count: u32, times: &Times, findings: &mut Findings) {
    let p50 = milliseconds(&times.sent_to_refused, 500);
    let p99 = milliseconds(&times.sent_to_refused, 990);
    let worst = milliseconds(&times.sent_to_refused, 1000);
    let beside = format!(
        "the `DELETE` itself p50 {:.2} ms, p99 {:.2} ms",
        milliseconds(&times.sent_to_answered, 500),
        milliseconds(&times.sent_to_answered, 990)
    );
    let name = format!("revocation sent to one node until both others refuse the token, {count} times, p50");
    findings.add_beside(&name, p50, Unit::ms(2), Goal::Shown, beside);
    let worst = format!("worst {worst:.2} ms");
    findings.add_beside("the same, p99", p99, Unit::ms(2), Goal::AtMost(100.0), worst);
    let late = milliseconds(&times.answered_to_refused, 990);
    findings.add(
        "from the revocation's answer until both others refuse, p99",
        late,
        Unit::ms(2),
        Goal::Shown,
    );
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn milliseconds(histogram: &Histogram, per_mille: u64) -> f64 {
    histogram.quantile(per_mille).map_or(0.0, |nanoseconds| nanoseconds as f64 / 1e6)
}
