//! The load generator: one thread, one epoll, a number of keep-alive connections with one request in flight on each.
//!
//! It shares the machine with the server it measures, so it does as little as it can: request bytes are copied from
//! memory, answers are counted and not kept, and the clock is read once per answer. Every run ends: by count or by time,
//! then by the last answer, or by [`STALL`].

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use mio::{Events, Interest, Poll, Token};

use crate::bench::answer::{Answer, Progress};
use crate::bench::histogram::Histogram;
use crate::bench::reader::{Protocol, Reader};
use crate::bench::transport::{Transport, Way};
use crate::clock;

/// A server that answers nothing for this long has failed.
const STALL: Duration = Duration::from_secs(30);

/// Events taken from the kernel at once.
const EVENTS: usize = 256;

/// Bytes read at once; more than any answer but those to large batches.
const READ_BYTES: usize = 64 * 1024;

/// When no further request is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stop {
    /// After this many requests.
    Count(u64),
    /// After this time.
    After(Duration),
}

/// What to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Where the server listens.
    pub(crate) address: SocketAddr,
    /// What it speaks.
    pub(crate) protocol: Protocol,
    /// How many connections, each with one request in flight.
    pub(crate) connections: usize,
    /// When to end.
    pub(crate) stop: Stop,
    /// A successful answer with a shorter body than this is an error: the value was not in it.
    pub(crate) least_body_bytes: usize,
}

/// What came out.
pub(crate) struct Outcome {
    /// Answers that were as expected.
    pub(crate) completed: u64,
    /// Answers that were not, and connections that broke.
    pub(crate) errors: u64,
    /// What the first error was.
    pub(crate) first_error: Option<String>,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// Nanoseconds from each request to its answer.
    pub(crate) latency: Histogram,
}

impl Outcome {
    /// Expected answers per second.
    pub(crate) fn rate(&self) -> f64 {
        self.completed as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// An error when any answer was not as expected or none came at all.
    ///
    /// # Errors
    ///
    /// The number of errors and what the first one was.
    pub(crate) fn verified(self) -> anyhow::Result<Self> {
        if let Some(first) = &self.first_error {
            bail!(
                "{} of {} requests failed, the first with: {first}",
                self.errors,
                self.errors + self.completed
            );
        }
        if self.completed == 0 {
            bail!("no request was answered");
        }
        Ok(self)
    }
}

/// Writes the bytes of request `number` (from 0, in the order of sending) to the end of the buffer.
pub(crate) type WriteRequest<'a> = dyn FnMut(u64, &mut Vec<u8>) + 'a;

struct Connection {
    transport: Transport,
    reader: Reader,
    request: Vec<u8>,
    /// Bytes of `request` that the transport has taken.
    written: usize,
    /// When the request in flight was begun; `None` when there is none.
    sent_at: Option<Instant>,
}

/// What one look at a connection brought.
enum Step {
    /// Nothing complete yet.
    Waiting,
    /// An answer.
    Answered(Answer),
    /// The connection is of no more use.
    Lost(String),
}

impl Connection {
    fn open(load: &Load, way: Way<'_>) -> anyhow::Result<Self> {
        Ok(Self {
            transport: Transport::open(load.address, way)?,
            reader: Reader::new(load.protocol),
            request: Vec::new(),
            written: 0,
            sent_at: None,
        })
    }

    /// Hands the rest of the request to the transport, as far as it takes it.
    fn flush(&mut self) -> Result<(), String> {
        while let Some(rest) = self.request.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.transport.write(rest) {
                Ok(0) => return Err("the connection takes no more bytes".to_owned()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("writing failed: {error}")),
            }
        }
        match self.transport.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(format!("writing failed: {error}")),
            _ => Ok(()),
        }
    }

    /// Reads until the answer is complete or the kernel has no more bytes (events are edge-triggered).
    fn advance(&mut self, buffer: &mut [u8]) -> Step {
        if let Err(reason) = self.flush() {
            return Step::Lost(reason);
        }
        loop {
            let count = match self.transport.read(buffer) {
                Ok(0) => return Step::Lost("the server closed the connection".to_owned()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Step::Waiting,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Step::Lost(format!("reading failed: {error}")),
            };
            match self.reader.feed(buffer.get(..count).unwrap_or_default()) {
                Progress::Incomplete => {}
                Progress::Complete(answer) => return Step::Answered(answer),
                Progress::Broken(reason) => return Step::Lost(reason.to_owned()),
            }
        }
    }
}

/// The state of one run.
struct Run<'a, 'b> {
    load: Load,
    write_request: &'a mut WriteRequest<'b>,
    begin: Instant,
    last_answer: Instant,
    sent: u64,
    in_flight: usize,
    outcome: Outcome,
}

/// Drives one server over plain connections. Errors of single requests are counted in the outcome.
///
/// # Errors
///
/// The server takes no connection, or nothing was answered for [`STALL`].
pub(crate) fn run(load: Load, write_request: &mut WriteRequest<'_>) -> anyhow::Result<Outcome> {
    run_over(Way::Plain, load, write_request)
}

/// As [`run`], over connections of this kind, all of which are open before the first request.
///
/// # Errors
///
/// As [`run`], and a handshake that fails.
pub(crate) fn run_over(
    way: Way<'_>,
    load: Load,
    write_request: &mut WriteRequest<'_>,
) -> anyhow::Result<Outcome> {
    let mut poll = Poll::new()?;
    let mut connections = Vec::with_capacity(load.connections);
    for number in 0..load.connections {
        let mut connection = Connection::open(&load, way)?;
        poll.registry().register(
            connection.transport.socket(),
            Token(number),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        connections.push(connection);
    }
    let begin = clock::now();
    let outcome = Outcome {
        completed: 0,
        errors: 0,
        first_error: None,
        elapsed: Duration::ZERO,
        latency: Histogram::new(),
    };
    let mut run = Run { load, write_request, begin, last_answer: begin, sent: 0, in_flight: 0, outcome };
    for connection in &mut connections {
        run.send(connection, begin);
    }
    let mut events = Events::with_capacity(EVENTS);
    let mut buffer = vec![0; READ_BYTES];
    while run.in_flight > 0 {
        wait(&mut poll, &mut events)?;
        for event in &events {
            if let Some(connection) = connections.get_mut(event.token().0) {
                run.advance(connection, &mut buffer);
            }
        }
    }
    run.outcome.elapsed = run.last_answer.duration_since(begin);
    Ok(run.outcome)
}

fn wait(poll: &mut Poll, events: &mut Events) -> anyhow::Result<()> {
    loop {
        match poll.poll(events, Some(STALL)) {
            Ok(()) if events.is_empty() => bail!("no answer for {} s", STALL.as_secs()),
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("waiting for answers failed"),
        }
    }
}

impl Run<'_, '_> {
    /// Begins the next request unless the run is over.
    fn send(&mut self, connection: &mut Connection, now: Instant) {
        let over = match self.load.stop {
            Stop::Count(count) => self.sent >= count,
            Stop::After(duration) => now.duration_since(self.begin) >= duration,
        };
        if over {
            return;
        }
        connection.request.clear();
        connection.written = 0;
        (self.write_request)(self.sent, &mut connection.request);
        connection.sent_at = Some(now);
        self.sent += 1;
        self.in_flight += 1;
        if let Err(reason) = connection.flush() {
            self.lose(connection, &reason);
        }
    }

    fn advance(&mut self, connection: &mut Connection, buffer: &mut [u8]) {
        let Some(sent_at) = connection.sent_at else { return };
        match connection.advance(buffer) {
            Step::Waiting => {}
            Step::Lost(reason) => self.lose(connection, &reason),
            Step::Answered(answer) => {
                let now = clock::now();
                self.count(answer, sent_at, now);
                connection.sent_at = None;
                self.in_flight -= 1;
                self.send(connection, now);
            }
        }
    }

    fn count(&mut self, answer: Answer, sent_at: Instant, now: Instant) {
        self.last_answer = now;
        if answer.success && answer.body_bytes >= self.load.least_body_bytes {
            self.outcome.completed += 1;
            let nanoseconds = now.duration_since(sent_at).as_nanos();
            self.outcome.latency.record(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        } else {
            self.fail(&format!("status {}, {} bytes", answer.status, answer.body_bytes));
        }
    }

    /// A connection that broke is not opened again: the figure is void already.
    fn lose(&mut self, connection: &mut Connection, reason: &str) {
        connection.sent_at = None;
        self.in_flight -= 1;
        self.fail(reason);
    }

    fn fail(&mut self, reason: &str) {
        self.outcome.errors += 1;
        self.outcome.first_error.get_or_insert_with(|| reason.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Serves `connections` connections one after another on their own threads; each request (one line) is answered
    /// with `answer(request)`, split in two writes.
    fn serve(connections: usize, answer: fn(&str) -> String) -> SocketAddr {
        use std::io::{BufRead as _, BufReader, Write as _};
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().take(connections) {
                let mut stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                thread::spawn(move || {
                    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    for line in lines.map_while(Result::ok) {
                        let text = answer(&line);
                        let (front, back) = text.split_at(text.len() / 2);
                        if stream
                            .write_all(front.as_bytes())
                            .and_then(|()| stream.write_all(back.as_bytes()))
                            .is_err()
                        {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    fn load(address: SocketAddr, stop: Stop) -> Load {
        Load { address, protocol: Protocol::Resp, connections: 4, stop, least_body_bytes: 0 }
    }

    fn write_line(number: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{number}\r\n").as_bytes());
    }

    #[test]
    fn a_run_by_count_sends_each_number_once_and_counts_each_answer() {
        let address = serve(4, |line| format!("${}\r\n{line}\r\n", line.len()));
        let mut numbers = Vec::new();
        let outcome = run(load(address, Stop::Count(1_000)), &mut |number, out| {
            numbers.push(number);
            write_line(number, out);
        });
        let outcome = outcome.unwrap().verified().unwrap();
        assert_eq!((outcome.completed, outcome.errors), (1_000, 0));
        assert!(
            outcome.latency.quantile(1000) >= outcome.latency.quantile(500)
                && outcome.latency.quantile(1) > Some(0)
        );
        assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
        assert!(outcome.rate() > 0.0);
    }

    #[test]
    fn a_run_by_time_ends_and_has_answers() {
        let address = serve(4, |_| "+OK\r\n".to_owned());
        let outcome = run(load(address, Stop::After(Duration::from_millis(20))), &mut write_line).unwrap();
        assert!(outcome.completed >= 4 && outcome.errors == 0);
    }

    #[test]
    fn an_error_answer_voids_the_run_and_is_named() {
        let address = serve(4, |line| if line == "7" { "-ERR\r\n".to_owned() } else { "+OK\r\n".to_owned() });
        let outcome = run(load(address, Stop::Count(100)), &mut write_line).unwrap();
        assert_eq!((outcome.completed, outcome.errors), (99, 1));
        let message = outcome.verified().err().unwrap().to_string();
        assert!(message.contains("1 of 100") && message.contains("status 0"), "{message}");
    }

    #[test]
    fn a_value_that_is_too_short_is_an_error() {
        let address = serve(4, |_| "$1\r\nx\r\n".to_owned());
        let outcome =
            run(Load { least_body_bytes: 2, ..load(address, Stop::Count(8)) }, &mut write_line).unwrap();
        assert_eq!((outcome.completed, outcome.errors), (0, 8));
    }

    #[test]
    fn connections_that_break_end_the_run_with_errors() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let closer = thread::spawn(move || listener.incoming().take(4).for_each(drop));
        let outcome = run(load(address, Stop::Count(100)), &mut write_line).unwrap();
        closer.join().unwrap();
        assert_eq!((outcome.completed, outcome.errors), (0, 4));
    }
}
