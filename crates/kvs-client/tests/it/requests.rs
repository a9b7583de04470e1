//! What goes over the wire, and what is made of the answers.

use std::io::Read;

use kvs_client::error::{ClientError, ErrorKind};
use kvs_client::http::Http;
use kvs_client::limits::ANSWER_BYTES_MAX;
use kvs_client::list::{Pages, RangeQuery, Values};
use kvs_client::reads::{fetch, fetch_version, history};
use kvs_client::writes::{Condition, Effect, put, remove, remove_subtree, restore};

use crate::server::{Received, Reply, Server};

const WRITTEN: &str = "{\"uuid\":\"u1\",\"timestamp\":7}";

fn answering(status: u16, body: &'static str) -> Server {
    Server::scripted(move |_| Some(Reply::json(status, body)))
}

fn line(received: &Received) -> String {
    format!("{} {}", received.method, received.resource)
}

#[test]
fn a_put_sends_the_bytes_the_condition_and_the_token() {
    let server = answering(201, WRITTEN);
    let http = server.client();
    let value = "{ \"x\": 1.0 }";
    let (effect, written) = put(&http, "/a b/ü?", value, Some("1h30m"), &Condition::Absent).unwrap();
    assert_eq!((effect, written.uuid.as_str(), written.timestamp), (Effect::Created, "u1", 7));
    put(&http, "a", "1", None, &Condition::VersionIs("v".to_owned())).unwrap();
    let received = server.received();
    assert_eq!(line(&received[0]), "PUT /kv/a%20b/%C3%BC%3F?ttl=1h30m");
    assert_eq!(received[0].body, value);
    assert_eq!(received[0].headers["content-type"], "application/json");
    assert_eq!(received[0].headers["authorization"], "Bearer the-token");
    assert_eq!(received[0].headers["if-none-match"], "*");
    assert_eq!(received[1].headers["if-match"], "\"v\"");
}

#[test]
fn wrong_arguments_are_refused_before_anything_is_sent() {
    let server = answering(201, WRITTEN);
    let http = server.client();
    let wrong = [
        put(&http, "a//b", "1", None, &Condition::Always).err(),
        put(&http, "a", "hello", None, &Condition::Always).err(),
        put(&http, "a", "1", Some("tomorrow"), &Condition::Always).err(),
        fetch(&http, "_range").err(),
        remove(&http, "", &Condition::Always).err(),
    ];
    for error in wrong {
        assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Usage));
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_removal_and_a_restore_name_their_resources() {
    let server = Server::scripted(|received| {
        Some(match received.method.as_str() {
            "POST" => Reply::json(200, WRITTEN),
            _ if received.resource.ends_with("?recursive=true") => Reply::json(200, "{\"deleted\":3}"),
            _ => Reply::Answer(204, Vec::new(), String::new()),
        })
    });
    let http = server.client();
    remove(&http, "a/b", &Condition::Always).unwrap();
    assert_eq!(remove_subtree(&http, "a/b").unwrap(), 3);
    assert_eq!(restore(&http, "a/b", "u 1").unwrap().uuid, "u1");
    let lines: Vec<String> = server.received().iter().map(line).collect();
    assert_eq!(lines, ["DELETE /kv/a/b", "DELETE /kv/a/b?recursive=true", "POST /history/a/b/u%201/restore"]);
}

#[test]
fn a_fetched_value_keeps_its_bytes() {
    let server = answering(200, "{\"uuid\":\"u\",\"timestamp\":5,\"data\":{ \"a\":1.00},\"expires_at\":9}");
    let fetched = fetch(&server.client(), "a").unwrap();
    assert_eq!((fetched.data.get(), fetched.expires_at), ("{ \"a\":1.00}", Some(9)));
}

#[test]
fn a_listing_stops_at_the_number_that_was_asked_for() {
    let server = Server::start();
    for n in 0..5 {
        server.insert(&format!("a/{n}"), "1");
    }
    let http = server.client();
    let query =
        RangeQuery { prefix: "a/".to_owned(), delimiter: Some("/".to_owned()), values: Values::Omitted };
    let mut pages = Pages::new(&http, query);
    let page = pages.next_page(3, &mut |_| {}).unwrap().unwrap();
    assert_eq!((page.keys.len(), pages.is_at_end()), (3, false));
    let page = pages.next_page(3, &mut |_| {}).unwrap().unwrap();
    assert_eq!((page.keys.len(), pages.is_at_end()), (2, true));
    assert!(pages.next_page(3, &mut |_| {}).unwrap().is_none());
    assert_eq!(
        line(&server.received()[1]),
        "GET /kv/_range?limit=3&prefix=a%2F&delimiter=%2F&keys_only=true&cursor=a%2F3"
    );
}

#[test]
fn a_redirect_is_not_followed_with_the_token() {
    let elsewhere = Server::start();
    let location = format!("{}/kv/a", elsewhere.url());
    let server = Server::scripted(move |_| {
        Some(Reply::Answer(302, vec![("location", location.clone())], String::new()))
    });
    let error = fetch(&server.client(), "a").unwrap_err();
    assert_eq!(error.problem().map(|problem| problem.status), Some(302));
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn an_answer_without_end_is_read_up_to_the_bound() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let http: Http = crate::server::client_of(&format!("http://{}", listener.local_addr().unwrap()));
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).unwrap() > 0);
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
        std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
        let block = vec![b' '; 1024 * 1024];
        while std::io::Write::write_all(&mut stream, &block).is_ok() {}
    });
    let error = fetch(&http, "a").unwrap_err();
    assert!(matches!(error, ClientError::AnswerTooLong { bytes_max: ANSWER_BYTES_MAX, .. }), "{error}");
}

#[test]
fn a_version_is_fetched_with_its_value_or_without_one() {
    let server = Server::scripted(|received| {
        let value = if received.resource.ends_with("deleted") { "" } else { ",\"data\":null" };
        Some(Reply::json(200, format!("{{\"uuid\":\"u\"{value}}}")))
    });
    let http = server.client();
    let version = fetch_version(&http, "a/b", "u").unwrap();
    assert_eq!(version.data.map(|data| data.get().to_owned()).as_deref(), Some("null"));
    let version = fetch_version(&http, "a/b", "deleted").unwrap();
    assert_eq!((version.answer.get(), version.data.is_none()), ("{\"uuid\":\"u\"}", true));
    assert_eq!(line(&server.received()[0]), "GET /history/a/b/u");
}

#[test]
fn a_history_lists_the_versions_and_keeps_the_answer() {
    let answer = "[{\"uuid\":\"u2\",\"timestamp\":2,\"op\":\"delete\",\"size\":0,\"origin\":\"o\"},\
                  {\"uuid\":\"u1\",\"timestamp\":1,\"op\":\"put\",\"size\":3,\"origin\":\"o\",\"rule\":\"newer\"}]";
    let history = history(&answering(200, answer).client(), "a").unwrap();
    assert_eq!(history.answer.get(), answer);
    let versions: Vec<_> =
        history.versions.iter().map(|it| (it.op.as_str(), it.size, it.rule.as_deref())).collect();
    assert_eq!(versions, [("delete", 0, None), ("put", 3, Some("newer"))]);
}
