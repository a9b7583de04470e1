//! Callers without a token, and those who say that they are somebody by anything else: nobody becomes somebody.

use serde_json::json;

use crate::support::access::World;

#[test]
fn no_header_and_no_query_makes_somebody_of_nobody() {
    let world = World::new(&[]);
    let (ann, eve) = (world.person("ann"), world.person("eve"));
    world.of(&ann).put("/kv/k", "\"ann\"").expect(201);
    world.of(&ann).put("/meta/k", json!({ "mode": "cdwr|----|----" }).to_string()).expect(200);
    let claims: [(&str, &str); 17] = [
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-HTTP-Method", "DELETE"),
        ("X-Method-Override", "DELETE"),
        ("X-Original-URL", "/auth/users"),
        ("X-Rewrite-URL", "/auth/users"),
        ("X-Original-Method", "DELETE"),
        ("X-Forwarded-User", "root"),
        ("X-Forwarded-Host", "localhost"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Real-IP", "127.0.0.1"),
        ("Forwarded", "for=127.0.0.1;by=root"),
        ("X-Remote-User", "root"),
        ("Remote-User", "root"),
        ("X-User", &ann.uuid),
        ("X-Kvs-Node", "tested"),
        ("X-Client-Cert", "CN=root"),
        ("X-Admin", "true"),
    ];
    let mut cases: Vec<&[(&str, &str)]> = claims.iter().map(std::slice::from_ref).collect();
    cases.push(&claims);
    for headers in cases {
        let (mut nobody, mut client) = (world.stranger(), world.of(&eve));
        nobody.send("GET", "/kv/k", headers, b"").refused(401, "unauthorized");
        nobody.send("PUT", "/kv/k", headers, b"1").refused(401, "unauthorized");
        nobody.send("GET", "/auth/users", headers, b"").refused(401, "unauthorized");
        client.send("GET", "/kv/k", headers, b"").refused(404, "not_found");
        client.send("PUT", "/kv/k", headers, b"1").refused(403, "forbidden");
        client.send("GET", "/auth/users", headers, b"").refused(403, "forbidden");
        // The method and the target are what the request line says.
        let own = world.of(&ann).send("GET", "/kv/k", headers, b"").expect(200);
        assert_eq!(own.json()["data"], "ann");
        let health = nobody.send("GET", "/health", headers, b"").expect(200);
        assert!(health.json()["mode"].is_string(), "{}", health.shown());
    }
    for query in ["_method=DELETE", "method=DELETE", "user=root", "as=root"] {
        world.of(&ann).get(&format!("/kv/k?{query}")).refused(400, "bad_query");
    }
    assert_eq!(world.root().value("k"), Some(json!("ann")));
}

#[test]
fn callers_without_a_token_delete_nothing_and_govern_nothing() {
    let world = World::new(&[("allow_anonymous_read", "true"), ("allow_anonymous_write", "true")]);
    let mut nobody = world.stranger();
    nobody.put("/kv/open/a", "1").expect(201);
    nobody.put("/kv/open/b", "1").expect(201);
    nobody.get("/kv/open/a").expect(200);
    for target in ["/kv/open/a", "/kv/open?recursive=true", "/kv/open/a?recursive=true", "/kv/not-there"] {
        nobody.delete(target).refused(401, "unauthorized");
        nobody.send("DELETE", target, &[("If-Match", "*")], b"").refused(401, "unauthorized");
    }
    let ops = json!([{ "op": "put", "path": "open/c", "data": 1 }, { "op": "delete", "path": "open/a" }]);
    nobody.post("/kv/_batch", &json!({ "ops": ops })).refused(401, "unauthorized");
    nobody.put("/meta/open/a", "{}").refused(401, "unauthorized");
    nobody.put("/meta/new", "{}").refused(401, "unauthorized");
    nobody.post("/auth/tokens", &json!({ "scopes": ["read"] })).refused(401, "unauthorized");
    // A bad token is no token: it is refused and not taken for nobody.
    let mut bad = world.bearer("no.good.token");
    bad.get("/kv/open/a").refused(401, "unauthorized");
    bad.put("/kv/open/a", "2").refused(401, "unauthorized");
    assert_eq!(nobody.keys(), ["open/a", "open/b"]);

    // Whoever may only write learns nothing by it.
    let world = World::new(&[("allow_anonymous_write", "true")]);
    let mut nobody = world.stranger();
    let version = nobody.put("/kv/a", "1").expect(201).uuid();
    for target in ["/kv/a", "/kv/_range", "/history/a", &format!("/history/a/{version}"), "/meta/a"] {
        nobody.get(target).refused(401, "unauthorized");
    }
    nobody.post("/kv/_get", &json!({ "paths": ["a"] })).refused(401, "unauthorized");
    nobody.send("POST", &format!("/history/a/{version}/restore"), &[], b"").refused(401, "unauthorized");
}
