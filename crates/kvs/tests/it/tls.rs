//! TLS of one node: what it serves and whom it refuses, how its certificates are exchanged, and the commands.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;

use crate::support::node::{Node, Spawned};
use crate::support::sandbox::Sandbox;
use crate::support::tls::{Identity, authority, borrowed, by_hand, client, config, init, open, try_open};
use crate::support::wait::{SOON, until, until_true, within};

const HTTP1: &[&str] = &["http/1.1"];

/// A node with a certificate.
fn start(sandbox: &Sandbox, identity: &Identity, client_ca: Option<&Path>) -> Node {
    Node::new(sandbox, &borrowed(&identity.lines(client_ca)))
}

/// A node with a certificate of `kvs tls init`, and its authority.
fn started(sandbox: &Sandbox) -> (Node, std::path::PathBuf) {
    let identity = init(sandbox, "tls", "n", "localhost");
    let ca = authority(sandbox, "tls");
    (start(sandbox, &identity, Some(&ca)), ca)
}

#[test]
fn values_are_written_and_read_on_one_connection_that_ends_as_tls_should() {
    let sandbox = Sandbox::new();
    let (node, ca) = started(&sandbox);
    let mut client = client(node.address(), &config(&ca, None, HTTP1));
    client.put("/kv/a", "1").expect(201);
    let large = format!("\"{}\"", "x".repeat(900_000));
    client.put("/kv/large", &large).expect(201);
    for _ in 0..3 {
        assert_eq!(client.value("a"), Some(1.into()));
        assert_eq!(client.value("large").unwrap().as_str().unwrap().len(), 900_000);
    }
    client.send("GET", "/kv/none", &[("Connection", "close")], b"").refused(404, "not_found");
    let mut wire = open(node.address(), &config(&ca, None, &[]));
    // Both answers, and then the end that TLS announces: without it reading would be an error.
    wire.send("GET /kv/a HTTP/1.1\r\nHost: localhost\r\n\r\nGET /kv/a HTTP/1.0\r\nHost: localhost\r\n\r\n");
    wire.answer().expect(200);
    wire.answer().expect(200);
    assert!(wire.answer_or_close().is_none());
    node.stop();
}

#[test]
fn http_2_is_negotiated_and_served() {
    let sandbox = Sandbox::new();
    let (node, ca) = started(&sandbox);
    let address = node.address();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connector = tokio_rustls::TlsConnector::from(config(&ca, None, &["h2", "http/1.1"]));
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let stream = connector.connect(ServerName::from(address.ip()), socket).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let serving = tokio::spawn(connection);
        let send = |method: &'static str, body: String| {
            let mut sender = sender.clone();
            async move {
                let request = Request::builder()
                    .method(method)
                    .uri(format!("https://{address}/kv/a"))
                    .header("content-type", "application/json")
                    .body(Full::new(Bytes::from(body)))
                    .unwrap();
                let (head, body) = sender.send_request(request).await.unwrap().into_parts();
                (head.status.as_u16(), body.collect().await.unwrap().to_bytes())
            }
        };
        assert_eq!(send("PUT", format!("\"{}\"", "y".repeat(700_000))).await.0, 201);
        let (one, other) = tokio::join!(send("GET", String::new()), send("GET", String::new()));
        assert_eq!((one.0, other.0), (200, 200));
        assert!(one.1.len() > 700_000 && one.1 == other.1);
        serving.abort();
    });
    // With its connections.
    drop(runtime);
    node.stop();
}

#[test]
fn plain_http_is_told_that_the_port_speaks_tls() {
    let sandbox = Sandbox::new();
    let (node, _) = started(&sandbox);
    let answer = node.client().get("/health").refused(400, "bad_request");
    assert!(answer.word("detail").contains("https://"), "{}", answer.shown());
    // Also when the request has a body that nobody reads.
    node.client().put("/kv/a", "x".repeat(500_000)).refused(400, "bad_request");
    let told = sandbox.run(&["get", "a", "--url", &node.url()]).expect(1);
    assert!(told.stderr.contains("https://"), "{told:?}");
}

#[test]
fn garbage_and_a_handshake_that_stalls_are_closed_and_nobody_else_notices() {
    let sandbox = Sandbox::new();
    let (node, ca) = started(&sandbox);
    let mut stalled = node.wire();
    // The head of a handshake whose rest does not come.
    stalled.send([22, 3, 1, 2, 0, 1, 0]);
    let silent = node.wire();
    for garbage in
        [&[0xff; 64][..], &[22; 5000], &[22, 3, 1, 0xff, 0xff], b"\r\n\r\n", &[0x80, 0x2e, 1, 3, 1]]
    {
        let mut wire = node.wire();
        drop(wire.try_send(garbage));
        assert!(wire.is_closed_within(SOON), "{garbage:?}");
    }
    let mut well_behaved = client(node.address(), &config(&ca, None, HTTP1));
    well_behaved.put("/kv/a", "1").expect(201);
    let open = |client: &mut crate::support::client::Client| {
        let metrics = client.get("/metrics").expect(200);
        let line =
            metrics.text().lines().find(|line| line.starts_with("kvs_connections_open ")).map(str::to_owned);
        line.unwrap()
    };
    // Both count as connections before they have said anything.
    assert_eq!(open(&mut well_behaved), "kvs_connections_open 3");
    for mut wire in [stalled, silent] {
        assert!(wire.is_closed_within(SOON));
    }
    until_true("only this connection to be left", || open(&mut well_behaved) == "kvs_connections_open 1");
}

#[test]
fn a_client_that_knows_another_authority_sends_nothing() {
    let sandbox = Sandbox::new();
    let (node, _) = started(&sandbox);
    init(&sandbox, "other", "n", "localhost");
    let other = authority(&sandbox, "other");
    assert!(try_open(node.address(), "127.0.0.1", &config(&other, None, HTTP1)).is_err());
    let url = node.url().replace("http://", "https://");
    let told = sandbox.run(&["get", "a", "--url", &url, "--ca", other.to_str().unwrap()]).expect(1);
    assert!(told.stderr.contains("not trusted") && told.stderr.contains("--ca"), "{told:?}");
    let told = sandbox.run(&["get", "a", "--url", &url, "--ca", "none.pem"]).expect(1);
    assert!(told.stderr.contains("none.pem"), "{told:?}");
}

#[test]
fn an_expired_certificate_and_one_for_another_name_are_refused_by_clients() {
    for (hosts, end_year, reason) in [
        (&["127.0.0.1"][..], 2021, "expired"),
        (&["elsewhere.example", "127.0.0.9"], 2090, "not valid for name"),
    ] {
        let sandbox = Sandbox::new();
        init(&sandbox, "tls", "n", "localhost");
        let ca = authority(&sandbox, "tls");
        let identity = by_hand(&sandbox, "tls", "m", hosts, end_year);
        let node = start(&sandbox, &identity, Some(&ca));
        let told = sandbox.run(&["get", "a"]).expect(1);
        assert!(told.stderr.contains("not trusted") && told.stderr.contains(reason), "{told:?}");
        assert_eq!(node.said().contains("has expired"), end_year == 2021, "{}", node.said());
    }
}

#[test]
fn a_client_certificate_is_optional_but_a_wrong_one_is_not() {
    let sandbox = Sandbox::new();
    let (node, ca) = started(&sandbox);
    let own = init(&sandbox, "tls", "client", "localhost");
    for identity in [None, Some(&own)] {
        client(node.address(), &config(&ca, identity, HTTP1)).get("/health").expect(200);
    }
    let stranger = init(&sandbox, "other", "client", "localhost");
    let expired = by_hand(&sandbox, "tls", "expired", &["localhost"], 2021);
    for identity in [&stranger, &expired] {
        // The client learns of it with its first request.
        let answered = try_open(node.address(), "127.0.0.1", &config(&ca, Some(identity), HTTP1)).and_then(
            |mut wire| {
                wire.try_send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
                wire.try_answer("GET")
            },
        );
        assert!(answered.is_err(), "{answered:?}");
    }
    until_true("the log to tell it", || node.said().contains("a client certificate was refused"));
}

#[test]
fn changed_certificates_hold_for_new_connections_and_old_ones_go_on() {
    let sandbox = Sandbox::new();
    let (node, ca) = started(&sandbox);
    let seen = |address: SocketAddr| open(address, &config(&ca, None, HTTP1)).certificate();
    let first = seen(node.address());
    let mut old = client(node.address(), &config(&ca, None, HTTP1));
    old.put("/kv/a", "1").expect(201);
    init(&sandbox, "tls", "n", "renewed.example");
    let second = until("new connections to see the new certificate", || {
        Some(seen(node.address())).filter(|certificate| *certificate != first)
    });
    assert_eq!(old.value("a"), Some(1.into()));
    try_open(node.address(), "renewed.example", &config(&ca, None, HTTP1)).unwrap();
    // A pair that cannot be used changes nothing.
    sandbox.write("tls/n.pem", "no certificate");
    until_true("the log to tell it", || node.said().contains("the old ones stay"));
    assert_eq!(seen(node.address()), second);
    assert_eq!(old.value("a"), Some(1.into()));
    init(&sandbox, "tls", "n", "again.example");
    until_true("the next good pair to hold", || seen(node.address()) != second);
    node.stop();
}

/// What a node says that does not start, which must be one line.
fn refusal(sandbox: &Sandbox, lines: &[(&'static str, String)]) -> String {
    let configured = sandbox.configure("config.yaml", &borrowed(lines));
    let mut spawned = Spawned::new(sandbox, &configured);
    let status = within(SOON, || spawned.child.try_wait().unwrap()).expect("the node to end");
    assert_eq!(status.code(), Some(1));
    let said = spawned.said();
    std::fs::remove_file(&spawned.output).unwrap();
    assert_eq!(said.lines().filter(|line| line.starts_with("kvs: ")).count(), 1, "{said}");
    said
}

#[test]
fn files_that_cannot_be_used_stop_the_start_with_key_file_and_reason() {
    let sandbox = Sandbox::new();
    let (one, other) = (init(&sandbox, "tls", "n", "localhost"), init(&sandbox, "tls", "m", "localhost"));
    let ca = authority(&sandbox, "tls");
    let missing = sandbox.folder().join("missing.pem");
    let mixed = Identity { key: other.key, ..one.clone() };
    assert!(refusal(&sandbox, &mixed.lines(None)).contains("tls_key: "));
    let said = refusal(&sandbox, &one.lines(Some(&missing)));
    assert!(said.contains("tls_client_ca: ") && said.contains("missing.pem"), "{said}");
    let said = refusal(&sandbox, &Identity { certificate: missing, ..one.clone() }.lines(Some(&ca)));
    assert!(said.contains("tls_cert: ") && said.contains("missing.pem"), "{said}");
    for mode in [0o644, 0o640, 0o604] {
        std::fs::set_permissions(&one.key, std::fs::Permissions::from_mode(mode)).unwrap();
        let said = refusal(&sandbox, &one.lines(Some(&ca)));
        assert!(said.contains("tls_key: ") && said.contains("n.key") && said.contains("chmod 600"), "{said}");
    }
    std::fs::set_permissions(&one.key, std::fs::Permissions::from_mode(0o600)).unwrap();
    start(&sandbox, &one, Some(&ca)).stop();
}

#[test]
fn tls_init_prints_lines_with_which_daemon_and_commands_work() {
    let sandbox = Sandbox::new();
    let made = sandbox
        .run(&["tls", "init", "--node", "alpha", "--host", "10.1.2.3", "--host", "db.example"])
        .expect(0);
    let lines: String =
        made.stdout.lines().filter(|line| line.starts_with("tls_")).map(|line| format!("{line}\n")).collect();
    assert_eq!(lines.lines().count(), 3, "{}", made.stdout);
    let usual = "port: 0\nauth_enabled: false\nclustering_enabled: false\nbackup_enabled: false\n";
    sandbox.write("config.yaml", &format!("{usual}{lines}"));
    let started = sandbox.run(&["start"]).expect(0);
    assert!(started.stdout.contains("https://"), "{started:?}");
    sandbox.run(&["put", "a", "1"]).expect(0);
    assert_eq!(sandbox.run(&["get", "a"]).expect(0).stdout, "1\n");
    let status = sandbox.run(&["status"]).expect(0).stdout;
    assert!(status.contains("https://127.0.0.1:"), "{status}");
    // By its address, with the authority in the environment.
    let address = status.split_whitespace().find(|word| word.starts_with("https://")).unwrap().to_owned();
    let mut command = sandbox.kvs(&["get", "a", "--url", &address]);
    command.env("KVS_CA", "tls/ca.pem");
    crate::support::finished::Finished::of(command, b"").expect(0);
    sandbox.run(&["stop"]).expect(0);
}

#[test]
fn tls_init_keeps_the_authority_and_replaces_a_key_only_by_force() {
    let sandbox = Sandbox::new();
    let arguments = ["tls", "init", "--dir", "certs", "--node", "alpha", "--days", "30", "--json"];
    let made = sandbox.run(&arguments).expect(0).json();
    assert_eq!((&made["ca_made"], &made["node"]), (&true.into(), &"alpha".into()));
    for host in ["localhost", "127.0.0.1", "::1"] {
        assert!(made["hosts"].as_array().unwrap().contains(&host.into()), "{made}");
    }
    let read = |file: &str| std::fs::read(sandbox.folder().join("certs").join(file)).unwrap();
    let before = (read("ca.pem"), read("ca.key"), read("alpha.key"));
    let refused = sandbox.run(&arguments).expect(1);
    assert!(refused.stderr.contains("alpha.key") && refused.stderr.contains("--force"), "{refused:?}");
    assert_eq!((read("ca.pem"), read("ca.key"), read("alpha.key")), before);
    let forced = sandbox.run(&[&arguments[..], &["--force"]].concat()).expect(0).json();
    assert_eq!(forced["ca_made"], false);
    assert_eq!((read("ca.pem"), read("ca.key")), (before.0, before.1));
    assert_ne!(read("alpha.key"), before.2);
    for file in ["ca.key", "alpha.key"] {
        let metadata = std::fs::metadata(sandbox.folder().join("certs").join(file)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{file}");
    }
    for wrong in [&["--node", "../x"][..], &["--host", "a b"], &["--days", "0"], &["--host", "h:1"]] {
        sandbox.run(&[&["tls", "init", "--dir", "new"], wrong].concat()).expect(2);
    }
    assert!(!sandbox.folder().join("new").exists());
}

#[test]
fn connections_of_tls_are_drained_at_the_end() {
    let sandbox = Sandbox::new();
    let (node, ca) = started(&sandbox);
    let mut idle = open(node.address(), &config(&ca, None, HTTP1));
    let mut silent = node.wire();
    node.ask_to_end();
    assert!(idle.is_closed_within(SOON) && silent.is_closed_within(Duration::from_secs(30)));
    assert!(node.wait().success());
}
