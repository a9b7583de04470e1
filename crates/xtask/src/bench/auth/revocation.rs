//! From a token's revocation on one node of three until both others refuse it.
//!
//! For each of the others a watcher reads a key with the token again and again, without a pause. Once both were answered, so
//! that both nodes have the token verified and remembered, it is revoked on the first node; each watcher goes on until it is
//! answered 401, and the figure is the later of the two. Before each revocation a file of our own on the same disk is
//! appended to and synced: a revocation is answered after syncs, and so are the copies of its record.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::bench::auth::accounts::Accounts;
use crate::bench::auth::caller::Caller;
use crate::bench::auth::options::AuthOptions;
use crate::bench::cluster::finding::{Findings, Goal, Unit};
use crate::bench::cluster::group::{Accounts as Asking, Group};
use crate::bench::cluster::talk::Talk;
use crate::bench::histogram::Histogram;
use crate::bench::quiet;
use crate::bench::reader::Protocol;
use crate::bench::scratch::Scratch;
use crate::bench::server::free_ports;
use crate::bench::values::Documents;
use crate::clock;

/// A token that is not yet taken, or not yet refused, after this has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Revocations before the first that counts, so that connections, caches and files are in use.
const WARM_UP: u32 = 20;

/// Bytes that are appended and synced for comparison: about a record of a revocation.
const APPENDED: [u8; 512] = [b'x'; 512];

/// The statuses that are told apart.
const TAKEN: u16 = 200;
const REFUSED: u16 = 401;

/// A revocation that takes longer is told on the terminal.
const SLOW: Duration = Duration::from_millis(100);

/// What a watcher saw.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// When the awaited answer came.
    at: Instant,
    /// The longest that it waited for any answer until then.
    longest: Duration,
}

/// A watcher, as whoever revokes sees it.
struct Watcher {
    /// Takes who bears the next token.
    bearers: Sender<Caller>,
    /// Gives two for each: that the token was taken, and that it was refused.
    sights: Receiver<anyhow::Result<Seen>>,
}

impl Watcher {
    fn next(&self) -> anyhow::Result<Seen> {
        self.sights.recv().context("a watcher has ended")?
    }
}

/// Times in nanoseconds.
struct Times {
    /// From the revocation's request until the second refusal.
    sent_to_refused: Histogram,
    /// From its answer on.
    answered_to_refused: Histogram,
    /// From its request until its answer.
    sent_to_answered: Histogram,
    /// The longest that a watcher waited for one answer meanwhile: what the machine adds.
    longest_answer: Histogram,
    /// An append to a file with its sync, before each revocation.
    append: Histogram,
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

    let mut file = File::create_new(group.folder_of(0).join("append"))?;
    let others = [group.node(1)?.address, group.node(2)?.address];
    let times = thread::scope(|scope| {
        let watchers = others.map(|address| {
            let ((bearers, orders), (reports, sights)) = (channel(), channel());
            scope.spawn(move || watch(address, &orders, &reports));
            Watcher { bearers, sights }
        });
        // The watchers end when this does, with their channels.
        revoke_all(options.revocations(), first, &accounts, &user, &watchers, &mut file)
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
    file: &mut File,
) -> anyhow::Result<Times> {
    let mut talk = Talk::open(address, Protocol::Http)?;
    let mut times = Times {
        sent_to_refused: Histogram::new(),
        answered_to_refused: Histogram::new(),
        sent_to_answered: Histogram::new(),
        longest_answer: Histogram::new(),
        append: Histogram::new(),
    };
    let mut request = Vec::new();
    for number in 0..WARM_UP + count {
        let token = accounts.make_token(user)?;
        for watcher in watchers {
            watcher.bearers.send(token.bearer.clone()).context("a watcher has ended")?;
        }
        watchers.iter().try_for_each(|watcher| watcher.next().map(drop))?;
        let begin = clock::now();
        file.write_all(&APPENDED)?;
        file.sync_data()?;
        let append = begin.elapsed();
        request.clear();
        accounts.revoke(&token.jti, &mut request);
        let sent = clock::now();
        let answer = talk.ask(&request)?;
        let answered = clock::now();
        anyhow::ensure!(answer.success, "a revocation was answered with {}", answer.status);
        let [one, other] = watchers;
        let (one, other) = (one.next()?, other.next()?);
        if number < WARM_UP {
            continue;
        }
        let (refused, longest) = (one.at.max(other.at), one.longest.max(other.longest));
        let took = refused.saturating_duration_since(sent);
        if took > SLOW {
            println!(
                "bench: revocation {number}: refused after {took:.1?}, answered after {:.1?}; a watcher waited {longest:.1?} for one answer; a synced append before took {append:.1?}",
                answered.duration_since(sent)
            );
        }
        times.sent_to_refused.record(nanoseconds(took));
        times.answered_to_refused.record(nanoseconds(refused.saturating_duration_since(answered)));
        times.sent_to_answered.record(nanoseconds(answered.duration_since(sent)));
        times.longest_answer.record(nanoseconds(longest));
        times.append.record(nanoseconds(append));
    }
    Ok(times)
}

/// Reads with each token until it is taken, and then until it is refused.
fn watch(address: SocketAddr, bearers: &Receiver<Caller>, sights: &Sender<anyhow::Result<Seen>>) {
    let mut talk = Talk::open(address, Protocol::Http);
    for bearer in bearers {
        for awaited in [TAKEN, REFUSED] {
            let seen = match &mut talk {
                Ok(talk) => poll(talk, &bearer, awaited),
                Err(error) => Err(anyhow::anyhow!("{error:#}")),
            };
            let failed = seen.is_err();
            if sights.send(seen).is_err() || failed {
                return;
            }
        }
    }
}

/// Asks without a pause until the answer has this status.
fn poll(talk: &mut Talk, bearer: &Caller, awaited: u16) -> anyhow::Result<Seen> {
    let mut request = Vec::new();
    bearer.get(0, &mut request);
    let begin = clock::now();
    let (mut asked, mut longest) = (begin, Duration::ZERO);
    loop {
        let answer = talk.ask(&request)?;
        let now = clock::now();
        longest = longest.max(now.duration_since(asked));
        asked = now;
        if answer.status == awaited {
            return Ok(Seen { at: now, longest });
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
    let at = milliseconds;
    let name = format!("revocation sent to one node until both others refuse the token, {count} times, p50");
    let own = format!(
        "the `DELETE` itself p50 {:.2} ms, p99 {:.2} ms",
        at(&times.sent_to_answered, 500),
        at(&times.sent_to_answered, 990)
    );
    findings.add_beside(&name, at(&times.sent_to_refused, 500), Unit::ms(2), Goal::Shown, own);
    let worst = format!("worst {:.2} ms", at(&times.sent_to_refused, 1000));
    let p99 = at(&times.sent_to_refused, 990);
    findings.add_beside("the same, p99", p99, Unit::ms(2), Goal::AtMost(100.0), worst);
    let name = "from the revocation's answer until both others refuse, p99";
    findings.add(name, at(&times.answered_to_refused, 990), Unit::ms(2), Goal::Shown);
    let name = "the longest that a watcher waited for one answer in each revocation, p99";
    let middle = format!("p50 {:.2} ms", at(&times.longest_answer, 500));
    findings.add_beside(name, at(&times.longest_answer, 990), Unit::ms(2), Goal::Shown, middle);
    let name = "an append of 512 bytes synced to the same disk before each revocation, p99";
    let middle = format!("p50 {:.2} ms", at(&times.append, 500));
    findings.add_beside(name, at(&times.append, 990), Unit::ms(2), Goal::Shown, middle);
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn milliseconds(histogram: &Histogram, per_mille: u64) -> f64 {
    histogram.quantile(per_mille).map_or(0.0, |nanoseconds| nanoseconds as f64 / 1e6)
}
