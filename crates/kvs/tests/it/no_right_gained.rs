//! Ways to a right that was not given: none of them works.
//!
//! ann owns, ben is in the group, eve tries. What may be seen is in `never_shown.rs`; whoever has no
//! token at all in `strangers.rs`; every pair of route and caller is in `access_table.rs`.

use serde_json::{Value, json};

use crate::support::access::{Person, SCOPES, SECRET, World, group, minted};
use crate::support::client::Client;
use crate::support::forger::Forger;
use crate::support::wait::until_true;

/// For the owner alone.
const LOCKED: &str = "cdwr|----|----";

/// Who owns a path, as root is told.
#[track_caller]
fn owner(world: &World, path: &str) -> Value {
    world.root().get(&format!("/meta/{path}")).expect(200).json()["owner"].clone()
}

/// The value at a path, as root is told.
#[track_caller]
fn value(world: &World, path: &str) -> Option<Value> {
    world.root().value(path)
}

fn cast(world: &World) -> (Person, Person) {
    (world.person("ann"), world.person("eve"))
}

/// Tries all that gives a new value to a path; all must be refused.
#[track_caller]
fn assert_no_write(client: &mut Client, path: &str) {
    client.put(&format!("/kv/{path}"), "\"eve\"").refused(403, "forbidden");
    client.send("PUT", &format!("/kv/{path}"), &[("If-None-Match", "*")], b"1").refused(403, "forbidden");
    for ops in [
        json!([{ "op": "put", "path": path, "data": "eve" }]),
        json!([{ "op": "delete", "path": path }, { "op": "put", "path": path, "data": "eve" }]),
        json!([{ "op": "put", "path": "eves/own", "data": 1 }, { "op": "put", "path": path, "data": "eve" }]),
    ] {
        client.post("/kv/_batch", &json!({ "ops": ops })).refused(403, "forbidden");
    }
    client.get("/kv/eves/own").refused(404, "not_found");
    for metadata in [json!({ "mode": 4095 }), json!({}), json!({ "group": null })] {
        client.put(&format!("/meta/{path}"), metadata.to_string()).refused(403, "forbidden");
    }
}

#[test]
fn deleting_a_key_and_making_it_again_takes_nothing_over() {
    let world = World::new(&[]);
    let (ann, eve) = cast(&world);
    let (mut hers, mut client) = (world.of(&ann), world.of(&eve));

    // Deleted by its owner, deleted with all that is below, expired, deleted by root.
    hers.put("/kv/k/deleted", "1").expect(201);
    hers.delete("/kv/k/deleted").expect(204);
    hers.put("/kv/deep/er/key", "1").expect(201);
    assert_eq!(hers.delete("/kv/deep?recursive=true").expect(200).json()["deleted"], 1);
    hers.put("/kv/k/expired?ttl=1s", "1").expect(201);
    until_true("the key to expire", || hers.value("k/expired").is_none());
    hers.put("/kv/k/by-root", "1").expect(201);
    world.root().delete("/kv/k/by-root").expect(204);
    for path in ["k/deleted", "deep/er/key", "k/expired", "k/by-root"] {
        assert_no_write(&mut client, path);
        client.delete(&format!("/kv/{path}")).refused(404, "not_found");
        hers.put(&format!("/kv/{path}"), "\"ann\"").expect(201);
        assert_no_write(&mut client, path);
        client.delete(&format!("/kv/{path}")).refused(403, "forbidden");
        assert_eq!(
            (owner(&world, path), value(&world, path)),
            (json!(ann.uuid), Some(json!("ann"))),
            "{path}"
        );
    }
    // Root makes one again, and an old version is written back: still ann's.
    let version = hers.get("/kv/k/by-root").expect(200).uuid();
    hers.delete("/kv/k/by-root").expect(204);
    world.root().put("/kv/k/by-root", "\"root\"").expect(201);
    assert_eq!(owner(&world, "k/by-root"), ann.uuid);
    client.send("POST", &format!("/history/k/by-root/{version}/restore"), &[], b"").refused(403, "forbidden");
    world.root().send("POST", &format!("/history/k/by-root/{version}/restore"), &[], b"").expect(200);
    assert_eq!(
        (owner(&world, "k/by-root"), value(&world, "k/by-root")),
        (json!(ann.uuid), Some(json!("ann")))
    );
}

#[test]
fn where_everybody_may_create_a_key_made_again_belongs_to_whom_it_belonged() {
    let world = World::new(&[]);
    let (ann, eve) = cast(&world);
    world.govern("drop", &json!({ "owner": ann.uuid, "mode": "cdwr|----|c---" }));
    let (mut hers, mut client) = (world.of(&ann), world.of(&eve));
    hers.put("/kv/drop/a", "\"ann\"").expect(201);
    assert_no_write_but_create(&mut client, "drop/a");
    hers.delete("/kv/drop/a").expect(204);
    // eve may make it again by the rights of the folder; what she made is ann's.
    client.put("/kv/drop/a", "\"eve\"").expect(201);
    assert_eq!(owner(&world, "drop/a"), ann.uuid);
    client.get("/kv/drop/a").refused(404, "not_found");
    assert_no_write_but_create(&mut client, "drop/a");
    client.delete("/kv/drop/a").refused(404, "not_found");
    hers.get("/kv/drop/a").expect(200);
}

#[track_caller]
fn assert_no_write_but_create(client: &mut Client, path: &str) {
    client.put(&format!("/kv/{path}"), "\"over\"").refused(403, "forbidden");
    client.put(&format!("/meta/{path}"), "{}").refused(403, "forbidden");
}

#[test]
fn writing_over_a_key_of_nobody_does_not_make_it_somebodys() {
    let world = World::new(&[("allow_anonymous_write", "true"), ("allow_anonymous_read", "true")]);
    let (ann, eve) = cast(&world);
    world.stranger().put("/kv/open", "1").expect(201);
    world.of(&eve).put("/kv/open", "2").expect(200);
    assert_eq!(owner(&world, "open"), Value::Null);
    world.of(&eve).put("/meta/open", json!({ "mode": LOCKED }).to_string()).refused(403, "forbidden");
    world.of(&ann).put("/kv/open", "3").expect(200);
    world.stranger().put("/kv/open", "4").expect(200);
}

#[test]
fn what_was_nobodys_and_is_made_again_by_somebody_is_not_open_any_more() {
    let world = World::new(&[("allow_anonymous_write", "true"), ("allow_anonymous_read", "true")]);
    let (ann, eve) = cast(&world);
    let mut nobody = world.stranger();
    nobody.put("/kv/deleted", "1").expect(201);
    nobody.put("/kv/expired?ttl=1s", "1").expect(201);
    nobody.put("/kv/batched", "1").expect(201);
    world.root().delete("/kv/deleted").expect(204);
    until_true("the key to expire", || nobody.value("expired").is_none());
    world.of(&ann).put("/kv/deleted", "\"ann\"").expect(201);
    world.of(&ann).put("/kv/expired", "\"ann\"").expect(201);
    let again =
        json!([{ "op": "delete", "path": "batched" }, { "op": "put", "path": "batched", "data": "ann" }]);
    world.of(&ann).post("/kv/_batch", &json!({ "ops": again })).expect(200);
    for path in ["deleted", "expired", "batched"] {
        assert_eq!(owner(&world, path), ann.uuid, "{path}");
        nobody.put(&format!("/kv/{path}"), "2").refused(401, "unauthorized");
        assert_no_write(&mut world.of(&eve), path);
        world.of(&eve).delete(&format!("/kv/{path}")).refused(403, "forbidden");
    }
}

#[test]
fn nothing_is_made_below_what_is_locked_however_its_path_is_written() {
    let world = World::new(&[]);
    let (ann, eve) = cast(&world);
    world.govern("vault", &json!({ "owner": ann.uuid, "mode": LOCKED }));
    let (mut hers, mut client) = (world.of(&ann), world.of(&eve));
    // A value without metadata locks what is below it, too.
    hers.put("/kv/home", "1").expect(201);
    hers.put("/kv/vault/there", "\"ann\"").expect(201);
    for path in ["vault", "vault/x", "vault/there", "vault/there/x", "vault/a/b/c/d", "home/x", "home/a/b"] {
        assert_no_write(&mut client, path);
    }
    for path in ["/vault/x", "%76ault/x", "vault/%78", "%2576ault", "v%61%75lt/%78"] {
        let answer = client.put(&format!("/kv/{path}"), "1");
        // What is written in another way is the same key, or it is another key and none of ann's.
        assert!(answer.status == 403 || path == "%2576ault", "{path}: {}", answer.shown());
    }
    for path in [
        "vault//x",
        "vault/./x",
        "vault/../vault/x",
        "x/../vault/x",
        "vault%2Fx",
        "vault%2fx",
        "vault/x/",
        "%2e%2e/vault/x",
    ] {
        client.put(&format!("/kv/{path}"), "1").refused(400, "bad_path");
        client.get(&format!("/kv/{path}")).refused(400, "bad_path");
        client.put(&format!("/meta/{path}"), "{}").refused(400, "bad_path");
    }
    // Names that begin alike are no relatives, in either direction.
    client.put("/kv/vaults/x", "1").expect(201);
    client.put("/kv/vaul", "1").expect(201);
    client.put("/meta/vaul", json!({ "mode": "cdwr|cdwr|cdwr" }).to_string()).expect(200);
    assert_no_write(&mut client, "vault/x");
    // What eve owns above or below changes nothing about ann's.
    client.put("/kv/mix", "1").expect(201);
    client.put("/meta/mix", json!({ "mode": "cdwr|----|c---" }).to_string()).expect(200);
    hers.put("/kv/mix/anns", "\"ann\"").expect(201);
    client.get("/kv/mix/anns").refused(404, "not_found");
    assert_no_write_but_create(&mut client, "mix/anns");
    let root_key = |world: &World| value(world, "vault/there");
    assert_eq!(root_key(&world), Some(json!("ann")));
}

#[test]
fn reserved_names_are_no_keys_for_anybody_in_any_spelling() {
    let world = World::new(&[]);
    let eve = world.person("eve");
    for token in [eve.token.as_str(), world.root_token()] {
        let mut client = world.bearer(token);
        for path in [
            "%5Frange",
            "%5Fbatch",
            "%5Fget",
            "%5Fauth/users",
            "%5fmeta/a",
            "_auth/users",
            "_meta/a",
            "_x",
            "/%5Fx",
        ] {
            for (method, body) in [("GET", ""), ("PUT", "1"), ("DELETE", "")] {
                client.send(method, &format!("/kv/{path}"), &[], body.as_bytes()).refused(400, "bad_path");
            }
            client.get(&format!("/history/{path}")).refused(400, "bad_path");
            client.get(&format!("/meta/{path}")).refused(400, "bad_path");
            client.put(&format!("/meta/{path}"), "{}").refused(400, "bad_path");
        }
        for path in ["_auth/users", "_range", "_meta/a"] {
            let ops = json!([{ "op": "put", "path": path, "data": 1 }]);
            client.post("/kv/_batch", &json!({ "ops": ops })).refused(400, "bad_path");
            client.post("/kv/_get", &json!({ "paths": [path] })).refused(400, "bad_path");
        }
        // Accounts and metadata are in no listing and below no prefix.
        world.govern("governed", &json!({ "mode": LOCKED }));
        for prefix in ["", "_", "auth", "users", "meta", "governed", "%00"] {
            let answer = client.get(&format!("/kv/_range?limit=1000&prefix={prefix}"));
            assert!(
                !answer.shown().contains(&eve.uuid) && !answer.shown().contains("governed"),
                "{}",
                answer.shown()
            );
        }
        client
            .post("/auth/tokens", &json!({ "scopes": ["read"], "paths": ["_auth"] }))
            .refused(400, "bad_path");
    }
}

#[test]
fn rights_are_not_set_through_values() {
    let world = World::new(&[]);
    let (ann, eve) = cast(&world);
    let (mut hers, mut client) = (world.of(&ann), world.of(&eve));
    hers.put("/kv/k", "1").expect(201);
    hers.put("/meta/k", json!({ "mode": "cdwr|----|--wr" }).to_string()).expect(200);
    let before = world.root().get("/meta/k").expect(200).json();
    for body in [
        json!({ "owner": eve.uuid, "group": null, "mode": 4095 }),
        json!({ "data": 1, "ttl": "1h", "owner": eve.uuid, "mode": 4095 }),
        json!({ "data": { "owner": eve.uuid, "mode": 4095 }, "ttl": "0" }),
        json!({ "meta": { "mode": "cdwr|cdwr|cdwr" }, "_owner": eve.uuid }),
    ] {
        client.put("/kv/k", body.to_string()).expect(200);
    }
    for query in ["owner=x", "mode=4095", "author=root", "meta=true", "namespace=meta", "namespace=auth"] {
        client.put(&format!("/kv/k?{query}"), "1").refused(400, "bad_query");
        client.get(&format!("/kv/k?{query}")).refused(400, "bad_query");
    }
    let headers =
        [("X-Owner", eve.uuid.as_str()), ("X-Mode", "4095"), ("X-Author", "root"), ("X-Namespace", "meta")];
    client.send("PUT", "/kv/k", &headers, b"2").expect(200);
    for (member, told) in [("owner", json!(eve.uuid)), ("mode", json!(4095)), ("namespace", json!("meta"))] {
        let mut op = json!({ "op": "put", "path": "k", "data": 1 });
        op[member] = told;
        client.post("/kv/_batch", &json!({ "ops": [op] })).refused(400, "bad_json");
    }
    assert_eq!(world.root().get("/meta/k").expect(200).json(), before);
    // Its owner may change what is hers, and not give it away, nor name who does not exist.
    for (body, status) in [
        (json!({ "owner": eve.uuid }), 403),
        (json!({ "owner": "root" }), 403),
        (json!({ "owner": "nobody" }), 400),
        (json!({ "mode": 4096 }), 400),
        (json!({ "mode": -1 }), 400),
        (json!({ "mode": "cdwr|cdwr" }), 400),
        (json!({ "group": "7f1d6a2b-3c4d-4e5f-8a9b-0c1d2e3f4a5b" }), 400),
        (json!({ "uuid": 1 }), 400),
    ] {
        assert_eq!(hers.put("/meta/k", body.to_string()).status, status, "{body}");
    }
    for doubled in [
        format!(r#"{{"mode":"{LOCKED}","mode":4095}}"#),
        format!(r#"{{"owner":"{}","owner":"{}"}}"#, ann.uuid, eve.uuid),
        r#"{"group":null,"group":null}"#.to_owned(),
    ] {
        hers.put("/meta/k", &doubled).refused(400, "bad_json");
        world.root().put("/meta/k", &doubled).refused(400, "bad_json");
    }
    assert_eq!(world.root().get("/meta/k").expect(200).json(), before);
}

#[test]
fn bodies_about_accounts_say_each_thing_once() {
    let world = World::new(&[]);
    let eve = world.person("eve");
    let (mut root, mut client) = (world.root(), world.of(&eve));
    let family = group(&mut root, "family", &[]);
    let user = format!("/auth/users/{}", eve.uuid);
    let grouped = format!("/auth/groups/{family}");
    for (method, target, body) in [
        ("POST", "/auth/users", r#"{"nickname":"a","nickname":"b"}"#.to_owned()),
        ("POST", "/auth/users", r#"{"nickname":"a","scopes":["admin"]}"#.to_owned()),
        ("POST", "/auth/users", r#"{"nickname":"a","uuid":"root"}"#.to_owned()),
        ("POST", "/auth/users", r#"{"Nickname":"a"}"#.to_owned()),
        ("POST", "/auth/users", r#"[{"nickname":"a"}]"#.to_owned()),
        ("POST", "/auth/users", r#"{"nickname":"a"}{"nickname":"b"}"#.to_owned()),
        ("PUT", &user, r#"{"nickname":"a","disabled":true,"disabled":false}"#.to_owned()),
        ("PUT", &user, r#"{"nickname":"a","admin":true}"#.to_owned()),
        ("POST", "/auth/groups", r#"{"name":"a","members":[],"members":[]}"#.to_owned()),
        ("POST", "/auth/groups", r#"{"name":"a","name":"b","members":[]}"#.to_owned()),
        ("POST", "/auth/groups", r#"{"name":"a","members":["root"]}"#.to_owned()),
        ("PUT", &grouped, format!(r#"{{"name":"a","members":["{0}"],"members":[]}}"#, eve.uuid)),
        ("POST", "/auth/tokens", r#"{"scopes":["read"],"scopes":["admin"]}"#.to_owned()),
        ("POST", "/auth/tokens", r#"{"scopes":["read"],"\u0073copes":["admin"]}"#.to_owned()),
        (
            "POST",
            "/auth/tokens",
            format!(r#"{{"user_uuid":"{}","user_uuid":"root","scopes":["read"]}}"#, eve.uuid),
        ),
        ("POST", "/auth/tokens", r#"{"user_uuid":null,"scopes":["read"]}"#.to_owned()),
        ("POST", "/auth/tokens", r#"{"scopes":["read"],"paths":null}"#.to_owned()),
        ("POST", "/auth/tokens", r#"{"scopes":["read"],"paths":[]}"#.to_owned()),
        ("POST", "/auth/tokens", r#"{"scopes":["read","read"]}"#.to_owned()),
        ("POST", "/auth/tokens", r#"{"scopes":["Admin"]}"#.to_owned()),
        ("POST", "/auth/tokens", r#"{"scopes":[],"sub":"root"}"#.to_owned()),
    ] {
        root.send(method, target, &[], body.as_bytes()).refused(400, "bad_json");
        let answer = client.send(method, target, &[], body.as_bytes());
        assert!([400, 403].contains(&answer.status), "{body}: {}", answer.shown());
        root.send(method, target, &[("Content-Type", "text/plain")], body.as_bytes())
            .refused(415, "unsupported_media_type");
    }
    let listed = root.get("/auth/users").expect(200).json();
    assert_eq!(listed["users"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(root.get(&grouped).expect(200).json()["members"], json!([]));
}

#[test]
fn a_token_does_no_more_than_its_scopes_and_paths() {
    let world = World::new(&[]);
    let ann = world.person("ann");
    let mut hers = world.of(&ann);
    let version = hers.put("/kv/in/a", "1").expect(201).uuid();
    for path in ["in/a", "in/b", "inner", "out/a"] {
        hers.put(&format!("/kv/{path}"), "\"ann\"");
    }
    let restore = format!("/history/in/a/{version}/restore");
    let deletes = json!({ "ops": [{ "op": "delete", "path": "in/b" }] });
    let puts = json!({ "ops": [{ "op": "put", "path": "in/b", "data": 1 }] });
    // Of its own keys: reading, writing, metadata, deleting, restoring, batches of puts and of deletes.
    for (scopes, statuses) in [
        (vec!["read"], [200, 403, 403, 403, 403, 403, 403]),
        (vec!["write"], [403, 200, 200, 403, 403, 200, 403]),
        (vec!["delete"], [403, 403, 403, 204, 403, 403, 200]),
        (vec!["read", "write"], [200, 200, 200, 403, 200, 200, 403]),
    ] {
        let token = minted(&mut hers, &json!({ "scopes": scopes }));
        let mut client = world.bearer(&token);
        let told = [
            client.get("/kv/in/a").status,
            client.put("/kv/in/a", "2").status,
            client.put("/meta/in/a", "{}").status,
            client.delete("/kv/in/a").status,
            client.send("POST", &restore, &[], b"").status,
            client.post("/kv/_batch", &puts).status,
            client.post("/kv/_batch", &deletes).status,
        ];
        assert_eq!(told, statuses, "{scopes:?}");
        hers.put("/kv/in/a", "\"ann\"");
        hers.put("/kv/in/b", "\"ann\"");
    }
    // Of a subtree, where names that begin alike are outside, and so is what lies above.
    let token = minted(&mut hers, &json!({ "scopes": SCOPES, "paths": ["in"] }));
    let mut client = world.bearer(&token);
    assert_eq!(client.keys(), ["in/a", "in/b"]);
    for path in ["inner", "out/a", "new", "i"] {
        client.get(&format!("/kv/{path}")).refused(404, "not_found");
        client.delete(&format!("/kv/{path}")).refused(404, "not_found");
        client.get(&format!("/history/{path}")).refused(404, "not_found");
        client.get(&format!("/meta/{path}")).refused(404, "not_found");
        assert_no_write(&mut client, path);
    }
    assert_eq!(client.delete("/kv/out?recursive=true").expect(200).json()["deleted"], 0);
    client.get("/kv/in/a").expect(200);
    client.put("/kv/in/new/deep", "1").expect(201);
    assert_eq!(client.delete("/kv/in?recursive=true").expect(200).json()["deleted"], 3);
    assert_eq!(hers.keys(), ["inner", "out/a"]);
}

#[test]
fn a_token_begets_none_that_is_wider() {
    let world = World::new(&[]);
    let (ann, eve) = cast(&world);
    let mut root = world.root();
    world.of(&eve).put("/kv/eves/key", "1").expect(201);
    world.of(&eve).put("/kv/other", "1").expect(201);
    let narrow = minted(
        &mut root,
        &json!({ "user_uuid": eve.uuid, "scopes": ["read"], "paths": ["eves"], "ttl": "10m" }),
    );
    let mut client = world.bearer(&narrow);
    for wish in [
        json!({ "scopes": ["write"] }),
        json!({ "scopes": ["read", "delete"] }),
        json!({ "scopes": ["admin"] }),
        json!({ "scopes": ["read"], "paths": ["other"] }),
        json!({ "scopes": ["read"], "paths": ["eves", "other"] }),
        json!({ "scopes": ["read"], "paths": ["eve"] }),
        json!({ "scopes": ["read"], "ttl": "1d" }),
        json!({ "scopes": ["read"], "user_uuid": "root" }),
        json!({ "scopes": ["read"], "user_uuid": ann.uuid }),
    ] {
        client.post("/auth/tokens", &wish).refused(403, "forbidden");
    }
    // What it does beget reaches no further, ends no later, and is revoked with the others.
    let begotten = minted(&mut client, &json!({ "scopes": ["read"] }));
    let mut child = world.bearer(&begotten);
    child.get("/kv/eves/key").expect(200);
    child.get("/kv/other").refused(404, "not_found");
    child.put("/kv/eves/key", "2").refused(403, "forbidden");
    let end = |token: &str| Forger::new(SECRET, token).claims()["exp"].as_u64().unwrap();
    assert!(end(&begotten) <= end(&narrow));
    root.delete(&format!("/auth/users/{}/tokens", eve.uuid)).expect(204);
    for token in [narrow, begotten, eve.token] {
        world.bearer(&token).get("/kv/eves/key").refused(401, "unauthorized");
    }
    // An administrator of a subtree is none of the node and makes none.
    let partial = minted(&mut root, &json!({ "scopes": ["admin"], "paths": ["eves"] }));
    let mut client = world.bearer(&partial);
    client.get("/kv/eves/key").expect(200);
    client.get("/kv/other").refused(404, "not_found");
    client.put("/meta/other", "{}").refused(403, "forbidden");
    for target in ["/auth/users", "/auth/groups", "/backup", "/cluster/convergence", "/sync/merkle/root"] {
        client.get(target).refused(403, "forbidden");
    }
    client
        .post("/auth/tokens", &json!({ "scopes": ["admin"], "paths": ["other"] }))
        .refused(403, "forbidden");
    client
        .post("/auth/tokens", &json!({ "scopes": ["read"], "user_uuid": ann.uuid }))
        .refused(403, "forbidden");
}

#[test]
fn a_right_that_was_taken_back_is_gone_with_the_next_request() {
    let world = World::new(&[]);
    let (ann, ben, eve) = (world.person("ann"), world.person("ben"), world.person("eve"));
    let mut root = world.root();
    let family = group(&mut root, "family", &[&ben]);
    let (mut hers, mut his, mut client) = (world.of(&ann), world.of(&ben), world.of(&eve));
    hers.put("/kv/own", "1").expect(201);
    world.govern("folder", &json!({ "owner": ann.uuid, "group": family, "mode": "cdwr|c-wr|---r" }));
    hers.put("/kv/folder/a/b", "1").expect(201);
    for round in 0..3 {
        // Read often, so that it comes from wherever answers are kept.
        for _ in 0..3 {
            client.get("/kv/own").expect(200);
            client.get("/kv/folder/a/b").expect(200);
            his.put("/kv/folder/a/b", "2").expect(200);
        }
        hers.put("/meta/own", json!({ "mode": LOCKED }).to_string()).expect(200);
        client.get("/kv/own").refused(404, "not_found");
        hers.put("/meta/folder", json!({ "mode": "cdwr|c-wr|----" }).to_string()).expect(200);
        client.get("/kv/folder/a/b").refused(404, "not_found");
        his.get("/kv/folder/a/b").expect(200);
        root.put(&format!("/auth/groups/{family}"), r#"{"name":"family","members":[]}"#).expect(200);
        his.get("/kv/folder/a/b").refused(404, "not_found");
        his.put("/kv/folder/a/b", "3").refused(403, "forbidden");
        his.put(&format!("/kv/folder/new-{round}"), "3").refused(403, "forbidden");
        // And given again.
        let members = json!({ "name": "family", "members": [ben.uuid] });
        root.put(&format!("/auth/groups/{family}"), members.to_string()).expect(200);
        hers.put("/meta/own", json!({ "mode": "cdwr|---r|---r" }).to_string()).expect(200);
        hers.put("/meta/folder", json!({ "mode": "cdwr|c-wr|---r" }).to_string()).expect(200);
    }
    // The owner changes: so do the rights.
    root.put("/meta/own", json!({ "owner": eve.uuid, "mode": LOCKED }).to_string()).expect(200);
    hers.get("/kv/own").refused(404, "not_found");
    client.put("/kv/own", "2").expect(200);
    // A user that is disabled or gone is nobody, and stays that.
    root.put(&format!("/auth/users/{}", ben.uuid), r#"{"nickname":"ben","disabled":true}"#).expect(200);
    his.get("/kv/folder/a/b").refused(401, "unauthorized");
    root.delete(&format!("/auth/users/{}", eve.uuid)).expect(204);
    client.get("/kv/own").refused(401, "unauthorized");
    root.post("/auth/tokens", &json!({ "user_uuid": eve.uuid, "scopes": ["read"] }))
        .refused(404, "not_found");
}
