//! The limit of requests, from outside: whom it counts as one caller, what it tells them, and whom it leaves alone.
//!
//! Windows are a day long, so that nothing comes back while a test runs.

use serde_json::json;

use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::node::Node;
use crate::support::sandbox::Sandbox;
use crate::support::wait::until;

/// A node that lets each caller make so many requests a day.
fn node(sandbox: &Sandbox, requests: &str, lines: &[(&str, &str)]) -> Node {
    let limit = [
        ("rate_limiting_enabled", "true"),
        ("rate_limit_requests", requests),
        ("rate_limit_window", "\"24h\""),
    ];
    Node::new(sandbox, &[&limit, lines].concat())
}

/// The token of root that a node left in the data directory `data`.
fn root_token(sandbox: &Sandbox, data: &str) -> String {
    std::fs::read_to_string(sandbox.folder().join(data).join("root.token")).unwrap().trim_end().to_owned()
}

/// What an answer says of the limit: the number, what remains, and the seconds until all of it is back.
fn told(answer: &Answer) -> Option<(u64, u64, u64)> {
    let number = |name: &str| answer.header(name).map(|value| value.parse().unwrap());
    let told = [number("ratelimit-limit"), number("ratelimit-remaining"), number("ratelimit-reset")];
    assert!(told.iter().all(Option::is_some) || told.iter().all(Option::is_none), "{answer:?}");
    Some((told[0]?, told[1]?, told[2]?))
}

/// Asks until it is one too many; how often it was answered otherwise.
fn answered(client: &mut Client, headers: &[(&str, &str)]) -> usize {
    (0..20).take_while(|_| client.send("GET", "/kv/a", headers, b"").status != 429).count()
}

#[test]
fn a_caller_has_its_number_and_is_told_what_remains_and_when_to_come_back() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox, "4", &[]);
    let mut client = node.client();
    let created = client.put("/kv/a", "1").expect(201);
    assert_eq!(told(&created), Some((4, 3, 21_600)));
    // The first read fills the cache of answers, the second is answered from it.
    assert_eq!(told(&client.get("/kv/a").expect(200)), Some((4, 2, 43_200)));
    assert_eq!(told(&client.get("/kv/a").expect(200)), Some((4, 1, 64_800)));
    assert_eq!(told(&client.get("/nowhere").expect(404)), Some((4, 0, 86_400)));
    for _ in 0..3 {
        let refused = client.get("/kv/a").refused(429, "rate_limited");
        assert_eq!(told(&refused), Some((4, 0, 86_400)));
        let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((21_000..=21_600).contains(&seconds), "{refused:?}");
    }
    client.put("/kv/a", "2").refused(429, "rate_limited");
    client.delete("/kv/a").refused(429, "rate_limited");
    node.client().get("/kv/_range").refused(429, "rate_limited");
    node.stop();
    let node = Node::new(&sandbox, &[]);
    assert_eq!(node.client().value("a"), Some(json!(1)), "a refused request was done");
}

#[test]
fn health_is_never_limited() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox, "1", &[]);
    let mut client = node.client();
    assert_eq!(answered(&mut client, &[]), 1);
    for _ in 0..10 {
        assert_eq!(told(&client.get("/health").expect(200)), None);
    }
    client.get("/ready").refused(429, "rate_limited");
}

#[test]
fn without_the_limit_nobody_is_told_of_one() {
    let sandbox = Sandbox::new();
    let node = Node::new(&sandbox, &[("rate_limiting_enabled", "false"), ("rate_limit_requests", "1")]);
    for _ in 0..10 {
        assert_eq!(told(&node.client().get("/kv/a").expect(404)), None);
    }
}

#[test]
fn a_caller_does_not_get_more_by_saying_that_it_is_somebody_else() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox, "3", &[("trusted_proxies", "[\"192.0.2.0/24\"]")]);
    assert_eq!(answered(&mut node.client(), &[]), 3);
    for (name, value) in [
        ("X-Forwarded-For", "198.51.100.1"),
        ("X-Forwarded-For", "192.0.2.1, 198.51.100.1"),
        ("Forwarded", "for=198.51.100.1"),
        ("X-Real-IP", "198.51.100.1"),
        ("Client-IP", "198.51.100.1"),
        ("X-User", "root"),
        ("Authorization", "Bearer x"),
        ("Via", "1.1 proxy"),
    ] {
        node.client().send("GET", "/kv/a", &[(name, value)], b"").refused(429, "rate_limited");
    }
}

#[test]
fn behind_a_trusted_proxy_each_client_has_its_own_number() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox, "3", &[("trusted_proxies", "[\"127.0.0.0/8\", \"10.0.0.0/8\"]")]);
    let mut proxy = node.client();
    let mut from = |field: &str, said: &str| answered(&mut proxy, &[(field, said)]);
    assert_eq!(from("X-Forwarded-For", "198.51.100.1"), 3);
    assert_eq!(from("X-Forwarded-For", "198.51.100.2"), 3);
    assert_eq!(from("Forwarded", "for=\"198.51.100.2:80\""), 0, "the same client, told otherwise");
    assert_eq!(from("X-Forwarded-For", "203.0.113.5, 198.51.100.1, 10.1.1.1"), 0, "what it wrote itself");
    assert_eq!(from("X-Forwarded-For", "2001:db8:0:1::1"), 3);
    assert_eq!(from("X-Forwarded-For", "2001:db8:0:1:ffff::1"), 0, "the same network");
    assert_eq!(from("X-Forwarded-For", "2001:db8:0:2::1"), 3);
    // What names nobody counts for the proxy.
    assert_eq!(from("X-Forwarded-For", "unknown"), 3);
    assert_eq!(from("X-Forwarded-For", "\"; DROP"), 0);
    assert_eq!(answered(&mut node.client(), &[]), 0);
}

#[test]
fn users_have_numbers_of_their_own_and_administrators_none() {
    let sandbox = Sandbox::new();
    let node = node(&sandbox, "3", &[("auth_enabled", "true")]);
    let mut root = node.client().with_token(&root_token(&sandbox, "data"));
    let mut tokens = Vec::new();
    for nickname in ["john", "jane"] {
        let user = root.post("/auth/users", &json!({"nickname": nickname})).expect(201).uuid();
        let wanted = json!({"user_uuid": user, "scopes": ["read"]});
        let mut token = || root.post("/auth/tokens", &wanted).expect(201).word("token");
        tokens.push([token(), token()]);
    }
    let asked = |token: &str| answered(&mut node.client().with_token(token), &[]);
    assert_eq!(asked(&tokens[0][0]), 3);
    assert_eq!(asked(&tokens[0][1]), 0, "another token of the same user");
    assert_eq!(asked(&tokens[1][0]), 3, "another user at the same address");
    // Callers without a good token share what their address has, and no user's.
    assert_eq!(asked("nonsense"), 3);
    assert_eq!(answered(&mut node.client(), &[]), 0);
    for _ in 0..10 {
        assert_eq!(told(&root.get("/kv/a").expect(404)), None);
    }
}

#[test]
fn peers_are_not_limited() {
    let sandbox = Sandbox::new();
    let limited = |name: &'static str, seeds: &str| {
        let lines = [
            ("node_id", name),
            ("auth_enabled", "true"),
            ("clustering_enabled", "true"),
            ("rate_limiting_enabled", "true"),
            ("rate_limit_requests", "1"),
            ("rate_limit_window", "\"24h\""),
            ("seed_nodes", seeds),
        ];
        let node = Node::start(&sandbox, &sandbox.configure(&format!("{name}.yaml"), &lines));
        let root = node.client().with_token(&root_token(&sandbox, &format!("data-{name}")));
        (node, root)
    };
    let (first, mut at_first) = limited("first", "[]");
    let (_second, mut at_second) = limited("second", &format!("[\"{}\"]", first.address()));
    until("the second node to take writes", || {
        let health = at_second.get("/health").expect(200).json();
        (health["mode"] == "normal" && health["member_count"] == 2).then_some(())
    });
    for number in 0..20 {
        let path = format!("key-{number}");
        at_first.put(&format!("/kv/{path}"), number.to_string()).expect(201);
        until("the value on the other node", || at_second.value(&path));
    }
}
