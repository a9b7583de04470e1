//! Which request goes where.

use super::{Family, Route, Unrouted, resource, route};
use http::Method;
use kvs_protocol::call::CallKind;

const UUID: &str = "550e8400-e29b-41d4-a716-446655440000";

#[test]
fn every_documented_call_has_its_handler() {
    let history = format!("/history/a/{UUID}");
    let restore = format!("/history/a/b/{UUID}/restore");
    let version = format!("a/{UUID}");
    for (method, path, expected) in [
        (Method::GET, "/kv/a/b", Route::Read("a/b")),
        (Method::HEAD, "/kv/a/b", Route::Read("a/b")),
        (Method::PUT, "/kv/a", Route::Write("a")),
        (Method::DELETE, "/kv/a", Route::Delete("a")),
        (Method::GET, "/kv/_range", Route::Range),
        (Method::POST, "/kv/_batch", Route::Batch),
        (Method::POST, "/kv/_get", Route::ReadMany),
        (Method::GET, "/history/a/b", Route::History("a/b")),
        (Method::GET, &history, Route::History(&version)),
        (Method::POST, &restore, Route::Restore("a/b", UUID)),
        (Method::GET, "/meta/a/b", Route::Metadata("a/b")),
        (Method::PUT, "/meta/a", Route::SetMetadata("a")),
        (Method::GET, "/health", Route::Health),
        (Method::GET, "/ready", Route::Ready),
        (Method::GET, "/metrics", Route::Metrics),
        (Method::GET, "/backup", Route::Backups),
        (Method::POST, "/backup", Route::BackUp),
        (Method::GET, "/members/", Route::Members),
        (Method::POST, "/members/join", Route::Join),
        (Method::POST, "/members/forget", Route::Forget),
        (Method::POST, "/members/leave", Route::Leave),
        (Method::DELETE, "/members/leave", Route::Leave),
        (Method::GET, "/sync/merkle/root", Route::MerkleRoot),
        (Method::GET, "/cluster/convergence", Route::Convergence),
        (Method::GET, "/cluster/tombstones", Route::Tombstones),
        (Method::GET, "/cluster/parked", Route::Parked),
        (Method::POST, "/cluster/parked/discard", Route::DiscardParked),
        (Method::POST, "/peer/v1/swim", Route::Peer(CallKind::Swim)),
        (Method::POST, "/peer/v1/page", Route::Peer(CallKind::Page)),
    ] {
        assert_eq!(route(&method, path), Ok(expected), "{method} {path}");
    }
}

#[test]
fn the_raw_path_decides() {
    assert_eq!(route(&Method::GET, "/kv/%5Frange"), Ok(Route::Read("%5Frange")));
    assert_eq!(route(&Method::GET, "/kv/_range/x"), Ok(Route::Read("_range/x")));
    assert_eq!(route(&Method::GET, "/kv/"), Ok(Route::Read("")));
    assert_eq!(route(&Method::GET, "/kv//a"), Ok(Route::Read("/a")));
    assert_eq!(route(&Method::GET, "/%6bv/a"), Err(Unrouted::NotFound));
}

#[test]
fn unknown_resources_are_not_found() {
    for path in [
        "/",
        "",
        "/kv",
        "/KV/a",
        "/history",
        "/health/",
        "/healthz",
        "/kv/_changes",
        "/meta",
        "/auth/",
        "/auth/users/",
        "/auth/x",
        "/members/x",
        "/sync/merkle",
        "/cluster/",
        "/peer/v1/",
        "/peer/v1/SWIM",
        "/peer/v1/swim/",
        "/peer/v2/swim",
    ] {
        assert_eq!(route(&Method::GET, path), Err(Unrouted::NotFound), "{path}");
    }
}

#[test]
fn wrong_methods_are_told_the_right_ones() {
    let allow = |method: Method, path: &str| match route(&method, path) {
        Err(Unrouted::MethodNotAllowed(allow)) => allow,
        other => panic!("{method} {path}: {other:?}"),
    };
    assert_eq!(allow(Method::POST, "/kv/a"), "GET, HEAD, PUT, DELETE");
    assert_eq!(allow(Method::GET, "/kv/_batch"), "POST");
    assert_eq!(allow(Method::PUT, "/kv/_range"), "GET, HEAD");
    assert_eq!(allow(Method::DELETE, "/history/a"), "GET, HEAD");
    assert_eq!(allow(Method::GET, "/peer/v1/sync"), "POST");
    for method in [Method::OPTIONS, Method::TRACE, Method::CONNECT] {
        assert_eq!(allow(method.clone(), "/kv/a"), "GET, HEAD, PUT, DELETE");
        assert_eq!(allow(method, "*"), "GET, HEAD, PUT, POST, DELETE");
    }
}

#[test]
fn allow_says_what_the_table_says() {
    let restore = format!("/history/a/{UUID}/restore");
    for path in [
        "/kv/a",
        "/kv/_range",
        "/kv/_batch",
        "/kv/_get",
        "/history/a",
        &restore,
        "/meta/a",
        "/health",
        "/ready",
        "/metrics",
        "/backup",
        "/members/",
        "/members/join",
        "/members/forget",
        "/members/leave",
        "/sync/merkle/root",
        "/cluster/convergence",
        "/cluster/tombstones",
        "/cluster/parked",
        "/cluster/parked/discard",
        "/peer/v1/members",
    ] {
        let resource = resource(path).unwrap();
        let mut words = Vec::new();
        for (method, _) in resource.methods() {
            words.push(method.as_str());
            if method == Method::GET {
                words.push("HEAD");
            }
        }
        assert_eq!(resource.allow(), words.join(", "), "{path}");
    }
}

#[test]
fn families_are_in_the_order_of_their_numbers() {
    for (number, family) in Family::ALL.iter().enumerate() {
        assert_eq!(*family as usize, number);
    }
}
