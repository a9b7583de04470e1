//! A node as small as the client's tests need it: an ordered map behind `_batch` and `_range`, and a script that may
//! answer in its place.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kvs_client::http::Http;
use kvs_client::target::{Surroundings, Target, Wanted};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) resource: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Received {
    /// The value of a query parameter, still encoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.resource.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

/// What to answer.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Status, further headers and body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Close the connection without a word.
    BreakOff,
}

impl Reply {
    pub(crate) fn json(status: u16, body: impl Into<String>) -> Self {
        Self::Answer(status, vec![("content-type", "application/json".to_owned())], body.into())
    }

    pub(crate) fn problem(status: u16, code: &str, index: Option<usize>) -> Self {
        let index = index.map(|index| format!(",\"index\":{index}")).unwrap_or_default();
        let body = format!("{{\"status\":{status},\"code\":\"{code}\",\"detail\":\"because\"{index}}}");
        Self::Answer(status, vec![("content-type", "application/problem+json".to_owned())], body)
    }

    pub(crate) fn wait(status: u16) -> Self {
        Self::Answer(status, vec![("retry-after", "0".to_owned())], String::new())
    }
}

/// Answers in the place of the map when it returns something.
type Script = Box<dyn FnMut(&Received) -> Option<Reply> + Send>;

#[derive(Default)]
struct State {
    keys: BTreeMap<String, String>,
    received: Vec<Received>,
    connections: usize,
    script: Option<Script>,
}

/// The server; it ends with the test's process.
#[derive(Clone)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    url: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with_state(State::default())
    }

    pub(crate) fn scripted(script: impl FnMut(&Received) -> Option<Reply> + Send + 'static) -> Self {
        Self::with_state(State { script: Some(Box::new(script)), ..State::default() })
    }

    fn with_state(state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { state: Arc::new(Mutex::new(state)), url };
        let accepting = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                accepting.state.lock().unwrap().connections += 1;
                let serving = accepting.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        server
    }

    /// A client of this server.
    pub(crate) fn client(&self) -> Http {
        client_of(&self.url)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn keys(&self) -> BTreeMap<String, String> {
        self.state.lock().unwrap().keys.clone()
    }

    pub(crate) fn insert(&self, path: &str, data: &str) {
        self.state.lock().unwrap().keys.insert(path.to_owned(), data.to_owned());
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.lock().unwrap().received.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        while let Some(received) = read_request(&mut reader) {
            let reply = self.reply(&received);
            let Reply::Answer(status, headers, body) = reply else {
                writer.shutdown(Shutdown::Both).ok();
                return;
            };
            let mut answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
            for (name, value) in headers {
                answer.push_str(&format!("{name}: {value}\r\n"));
            }
            answer.push_str("\r\n");
            answer.push_str(&body);
            if writer.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn reply(&self, received: &Received) -> Reply {
        let mut state = self.state.lock().unwrap();
        state.received.push(received.clone());
        if let Some(mut script) = state.script.take() {
            let reply = script(received);
            state.script = Some(script);
            if let Some(reply) = reply {
                return reply;
            }
        }
        match received.resource.split('?').next().unwrap() {
            "/kv/_batch" => batch(&mut state.keys, &received.body),
            "/kv/_range" => range(&state.keys, received),
            _ => Reply::problem(404, "not_found", None),
        }
    }
}

/// A client of any address.
pub(crate) fn client_of(url: &str) -> Http {
    let wanted =
        Wanted { url: Some(url.to_owned()), token: Some("the-token".to_owned()), ..Wanted::default() };
    let target = Target::resolve(&wanted, Surroundings { env: &|_| None, listening: &|_| None }).unwrap();
    Http::new(target, Duration::from_secs(30)).unwrap()
}

fn read_request(reader: &mut impl BufRead) -> Option<Received> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split_whitespace();
    let (method, resource) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_owned()),
            None => break,
        };
    }
    let bytes = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; bytes];
    reader.read_exact(&mut body).ok()?;
    Some(Received { method, resource, headers, body: String::from_utf8(body).unwrap() })
}

#[derive(Deserialize)]
struct Operations<'a> {
    #[serde(borrow)]
    ops: Vec<Operation<'a>>,
}

#[derive(Deserialize)]
struct Operation<'a> {
    path: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

fn batch(keys: &mut BTreeMap<String, String>, body: &str) -> Reply {
    let Operations { ops } = serde_json::from_str(body).unwrap();
    assert!((1..=1000).contains(&ops.len()), "{} operations", ops.len());
    let results: Vec<String> = ops
        .iter()
        .map(|op| {
            let former = keys.insert(op.path.clone(), op.data.get().to_owned());
            let status = if former.is_none() { 201 } else { 200 };
            format!("{{\"status\":{status},\"uuid\":\"u\",\"timestamp\":1}}")
        })
        .collect();
    Reply::json(200, format!("{{\"results\":[{}]}}", results.join(",")))
}

fn range(keys: &BTreeMap<String, String>, received: &Received) -> Reply {
    let limit: usize = received.parameter("limit").unwrap().parse().unwrap();
    let prefix = received.parameter("prefix").unwrap_or_default().replace("%2F", "/");
    let start = received.parameter("cursor").map(|cursor| cursor.replace("%2F", "/")).unwrap_or_default();
    let mut found = keys.range(start..).filter(|(path, _)| path.starts_with(&prefix));
    let items: Vec<String> = found
        .by_ref()
        .take(limit)
        .map(|(path, data)| format!("{{\"path\":\"{path}\",\"uuid\":\"u\",\"timestamp\":1,\"data\":{data}}}"))
        .collect();
    let next = found.next().map_or("null".to_owned(), |(path, _)| format!("\"{path}\""));
    Reply::json(200, format!("{{\"items\":[{}],\"prefixes\":[],\"next\":{next}}}", items.join(",")))
}
