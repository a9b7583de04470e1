//! A node to talk to, and a client that sends exactly the bytes it is given.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kvs_config::config::{Config, parse};
use kvs_server::error::ServerError;
use kvs_server::node::{run, run_with_peers};
use kvs_server::peer::service::PeerService;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longest time that any single step of a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running node; it stops when dropped, and in order through [`TestNode::stop`].
pub(crate) struct TestNode {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), ServerError>>,
    dir: TempDir,
}

/// What every configuration says unless a test says otherwise: no accounts, no limit, and nothing made by a schedule.
const USUAL: [(&str, &str); 4] = [
    ("node_id", "tester"),
    ("auth_enabled", "false"),
    ("rate_limiting_enabled", "false"),
    ("backup_enabled", "false"),
];

/// A configuration in `dir` with these lines, which add to the usual ones or replace them.
pub(crate) fn config(dir: &TempDir, lines: &str) -> Config {
    // Alone unless the test is about others: the key file of the user who runs the tests is not touched.
    let alone = if lines.contains("cluster") { "" } else { "clustering_enabled: false\n" };
    let is_said =
        |key: &str| lines.lines().any(|line| line.split_once(':').is_some_and(|(name, _)| name == key));
    let usual = USUAL.iter().filter(|(key, _)| !is_said(key));
    let usual: String = usual.map(|(key, value)| format!("{key}: {value}\n")).collect();
    let text = format!("{usual}{alone}{lines}");
    parse(&text, dir.path().join("config.yaml"), &|_| None, "host").unwrap()
}

impl TestNode {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts with these lines of configuration.
    pub(crate) async fn start_with(lines: &str) -> Self {
        Self::start_in(TempDir::new().unwrap(), lines).await
    }

    /// Starts on a folder that may hold data already.
    pub(crate) async fn start_in(dir: TempDir, lines: &str) -> Self {
        Self::start_for(dir, lines, None).await
    }

    /// The same, with something that answers the calls of peers.
    pub(crate) async fn start_for(dir: TempDir, lines: &str, service: Option<Arc<dyn PeerService>>) -> Self {
        let config = config(&dir, lines);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = oneshot::channel();
        let running = tokio::spawn(async move {
            let stopped = async move { drop(stopped.await) };
            let on_ready = |address| ready.send(address).unwrap();
            match service {
                Some(service) => run_with_peers(&config, listener, stopped, on_ready, service).await,
                None => run(&config, listener, stopped, on_ready).await,
            }
        });
        let address = tokio::time::timeout(PATIENCE, is_ready).await.unwrap().unwrap();
        Self { address, stop, running, dir }
    }

    /// Stops in order; gives the folder back.
    pub(crate) async fn stop(self) -> TempDir {
        self.stop.send(()).unwrap();
        tokio::time::timeout(PATIENCE * 2, self.running).await.unwrap().unwrap().unwrap();
        self.dir
    }

    /// Asks for the stop, and gives what to wait for.
    pub(crate) fn begin_stop(self) -> (JoinHandle<Result<(), ServerError>>, TempDir) {
        self.stop.send(()).unwrap();
        (self.running, self.dir)
    }

    pub(crate) async fn connect(&self) -> Client {
        Client { socket: TcpStream::connect(self.address).await.unwrap(), read: Vec::new() }
    }

    /// One request on a connection of its own.
    pub(crate) async fn request(&self, method: &str, target: &str, headers: &str, body: &str) -> Answer {
        self.connect().await.request(method, target, headers, body).await
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.request("GET", target, "", "").await
    }

    pub(crate) async fn put(&self, target: &str, body: &str) -> Answer {
        self.request("PUT", target, JSON, body).await
    }

    pub(crate) async fn post(&self, target: &str, body: &str) -> Answer {
        self.request("POST", target, JSON, body).await
    }

    pub(crate) async fn delete(&self, target: &str) -> Answer {
        self.request("DELETE", target, "", "").await
    }
}

/// The header of a JSON body.
pub(crate) const JSON: &str = "Content-Type: application/json\r\n";

/// A connection.
pub(crate) struct Client {
    socket: TcpStream,
    read: Vec<u8>,
}

impl Client {
    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        tokio::time::timeout(PATIENCE, self.socket.write_all(bytes.as_ref())).await.unwrap().unwrap();
    }

    /// Closes the client's side.
    pub(crate) async fn close_sending(&mut self) {
        self.socket.shutdown().await.unwrap();
    }

    /// Sends a well-formed request and reads its answer.
    pub(crate) async fn request(&mut self, method: &str, target: &str, headers: &str, body: &str) -> Answer {
        let length = if body.is_empty() && matches!(method, "GET" | "HEAD" | "DELETE") {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        self.send(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}\r\n{body}"))
            .await;
        if method == "HEAD" { self.answer_head().await } else { self.answer().await }
    }

    /// Reads the next answer.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut answer = self.answer_head().await;
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.read.len() < length {
            assert!(self.fill().await, "the connection ended within an answer");
        }
        answer.body = self.read.drain(..length).collect();
        answer
    }

    /// Reads the head of the next answer, which has no body.
    pub(crate) async fn answer_head(&mut self) -> Answer {
        loop {
            if let Some(end) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..end + 4).collect();
                return Answer::of_head(std::str::from_utf8(&head).unwrap());
            }
            assert!(self.fill().await, "the connection ended before an answer");
        }
    }

    /// Whether the node closes the connection without sending anything further.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.fill().await
    }

    /// Reads some bytes; `false` at the end.
    async fn fill(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.socket.read_buf(&mut self.read)).await.unwrap();
        read.is_ok_and(|count| count > 0)
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn of_head(head: &str) -> Self {
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').unwrap();
                (name.to_lowercase(), value.trim().to_owned())
            })
            .collect();
        Self { status, headers, body: Vec::new() }
    }

    /// The value of a header that is there at most once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is there twice");
        value
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The code of a problem document, after checking its form.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert!(problem["title"].is_string() && problem["detail"].is_string() && problem["type"].is_string());
        problem["code"].as_str().unwrap().to_owned()
    }

    /// Status and code of a refusal.
    pub(crate) fn refusal(&self) -> (u16, String) {
        (self.status, self.code())
    }

    pub(crate) fn uuid(&self) -> String {
        self.json()["uuid"].as_str().unwrap().to_owned()
    }
}

/// A refusal to compare with.
pub(crate) fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// Waits until `is_so`, at most [`PATIENCE`].
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
