//! Every route for every kind of caller: one table of what is answered, held against a real node and against
//! `docs/openapi.yaml`. A route that is in the product and not in the table fails a test.
//!
//! | caller | |
//! | --- | --- |
//! | `none` | no token |
//! | `open` | no token, where the configuration lets such callers read and write |
//! | `owner` | the user that made the key, or whose account it is |
//! | `member` | another user, of the group that the metadata of *mine* names |
//! | `other` | another user of no group |
//! | `revoked`, `expired` | tokens of the owner that are good no more |
//! | `peer` | a node of the cluster: its credential in place of a token; under `/peer/v1/` a whole call |
//! | `admin` | the token of root |
//!
//! | resource | |
//! | --- | --- |
//! | `mine` | a key of the owner with the mode `cdwr\|-dwr\|----` |
//! | `shown` | a key of the owner without metadata |
//! | `absent` | a key that was never there |

use std::collections::BTreeSet;
use std::path::Path;

use kvs_core::cluster_keys::ClusterKeys;
use kvs_protocol::call::CallKind;
use kvs_protocol::wire::status::StatusRequest;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::access::{Person, SCOPES, SECRET, World, group, minted};
use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::cluster::own_address;
use crate::support::forger::Forger;
use crate::support::peer::Peer;
use crate::support::wait::unix_ms;

const TABLE: &str = "
method route                          resource | none open owner member other revoked expired peer admin
GET    /kv/{path}                     mine     | 401  404  200   200    404   401     401     401  200
GET    /kv/{path}                     shown    | 401  200  200   200    200   401     401     401  200
GET    /kv/{path}                     absent   | 401  404  404   404    404   401     401     401  404
PUT    /kv/{path}                     mine     | 401  401  200   200    403   401     401     401  200
PUT    /kv/{path}                     shown    | 401  401  200   403    403   401     401     401  200
PUT    /kv/{path}                     absent   | 401  201  201   201    201   401     401     401  201
DELETE /kv/{path}                     mine     | 401  401  204   204    404   401     401     401  204
DELETE /kv/{path}                     shown    | 401  401  204   403    403   401     401     401  204
DELETE /kv/{path}                     absent   | 401  401  404   404    404   401     401     401  404
GET    /kv/_range                     -        | 401  200  200   200    200   401     401     401  200
POST   /kv/_batch                     mine     | 401  401  200   200    403   401     401     401  200
POST   /kv/_batch                     absent   | 401  200  200   200    200   401     401     401  200
POST   /kv/_get                       mine     | 401  200  200   200    200   401     401     401  200
GET    /history/{path}                mine     | 401  404  200   200    404   401     401     401  200
GET    /history/{path}                shown    | 401  200  200   200    200   401     401     401  200
GET    /history/{path}/{uuid}         mine     | 401  404  200   200    404   401     401     401  200
POST   /history/{path}/{uuid}/restore mine     | 401  404  200   200    404   401     401     401  200
POST   /history/{path}/{uuid}/restore shown    | 401  401  200   403    403   401     401     401  200
GET    /meta/{path}                   mine     | 401  404  200   200    404   401     401     401  200
GET    /meta/{path}                   shown    | 401  200  200   200    200   401     401     401  200
GET    /meta/{path}                   absent   | 401  404  404   404    404   401     401     401  404
PUT    /meta/{path}                   mine     | 401  401  200   403    403   401     401     401  200
PUT    /meta/{path}                   absent   | 401  401  403   403    403   401     401     401  200
POST   /auth/users                    -        | 401  401  403   403    403   401     401     401  201
GET    /auth/users                    -        | 401  401  403   403    403   401     401     401  200
GET    /auth/users/{uuid}             owner    | 401  401  200   403    403   401     401     401  200
PUT    /auth/users/{uuid}             owner    | 401  401  403   403    403   401     401     401  200
DELETE /auth/users/{uuid}             owner    | 401  401  403   403    403   401     401     401  204
DELETE /auth/users/{uuid}/tokens      owner    | 401  401  204   403    403   401     401     401  204
POST   /auth/groups                   -        | 401  401  403   403    403   401     401     401  201
GET    /auth/groups                   -        | 401  401  403   403    403   401     401     401  200
GET    /auth/groups/{uuid}            -        | 401  401  403   403    403   401     401     401  200
PUT    /auth/groups/{uuid}            -        | 401  401  403   403    403   401     401     401  200
DELETE /auth/groups/{uuid}            -        | 401  401  403   403    403   401     401     401  204
POST   /auth/tokens                   itself   | 401  401  201   201    201   401     401     401  201
POST   /auth/tokens                   owner    | 401  401  201   403    403   401     401     401  201
POST   /auth/tokens                   wider    | 401  401  403   403    403   401     401     401  201
GET    /auth/tokens                   -        | 401  401  200   200    200   401     401     401  200
DELETE /auth/tokens/{jti}             owner    | 401  401  204   404    404   401     401     401  204
GET    /auth/whoami                   -        | 401  401  200   200    200   401     401     401  200
GET    /health                        -        | 200  200  200   200    200   200     200     200  200
GET    /ready                         -        | 200  200  200   200    200   200     200     200  200
GET    /metrics                       -        | 401  401  200   200    200   401     401     401  200
GET    /backup                        -        | 401  401  403   403    403   401     401     401  200
POST   /backup                        -        | 401  401  403   403    403   401     401     401  201
GET    /members/                      -        | 200  200  200   200    200   200     200     200  200
POST   /members/join                  -        | 401  401  403   403    403   401     401     401  202
POST   /members/forget                -        | 401  401  403   403    403   401     401     401  404
GET    /sync/merkle/root              -        | 401  401  403   403    403   401     401     401  200
GET    /cluster/convergence           -        | 401  401  403   403    403   401     401     401  200
GET    /cluster/tombstones            -        | 401  401  403   403    403   401     401     401  200
GET    /cluster/parked                -        | 401  401  403   403    403   401     401     401  200
POST   /cluster/parked/discard        -        | 401  401  403   403    403   401     401     401  404
POST   /peer/v1/{kind}                -        | 401  401  401   401    401   401     401     200  401
POST   /members/leave                 -        | 401  401  403   403    403   401     401     401  202
DELETE /members/leave                 -        | 401  401  403   403    403   401     401     401  202
";

/// The columns in the order in which they are tried: whoever may change the resource comes last.
const TRIED: [&str; 9] = ["none", "open", "other", "member", "revoked", "expired", "peer", "owner", "admin"];

/// The resources that are keys.
const KEYS: [&str; 3] = ["mine", "shown", "absent"];

#[derive(Debug, PartialEq, Eq)]
struct Row {
    method: &'static str,
    route: &'static str,
    resource: &'static str,
    /// Column and status.
    statuses: Vec<(&'static str, u16)>,
}

fn rows() -> Vec<Row> {
    let mut lines = TABLE.lines().filter(|line| !line.is_empty());
    let columns: Vec<&str> = lines.next().unwrap().split_whitespace().skip(4).collect();
    let row = |line: &'static str| {
        let (left, right) = line.split_once('|').unwrap();
        let [method, route, resource] = left.split_whitespace().collect::<Vec<_>>().try_into().unwrap();
        let statuses: Vec<u16> = right.split_whitespace().map(|status| status.parse().unwrap()).collect();
        assert_eq!(statuses.len(), columns.len(), "{line}");
        Row { method, route, resource, statuses: columns.iter().copied().zip(statuses).collect() }
    };
    lines.map(row).collect()
}

/// The people and accounts of one row, new for each.
struct Cast {
    owner: Person,
    member: Person,
    other: Person,
    family: String,
    revoked: String,
    expired: String,
    /// The number of the owner's token.
    jti: String,
}

impl Cast {
    fn new(world: &World) -> Self {
        let [owner, member, other] = ["owner", "member", "other"].map(|name| world.person(name));
        let mut root = world.root();
        let family = group(&mut root, "family", &[&member]);
        let forger = Forger::new(SECRET, &owner.token);
        let revoked = minted(&mut root, &json!({ "user_uuid": owner.uuid, "scopes": SCOPES }));
        let number = Forger::new(SECRET, &revoked).claims()["jti"].as_str().unwrap().to_owned();
        root.delete(&format!("/auth/tokens/{number}")).expect(204);
        let now_s = unix_ms() / 1000;
        let expired = forger.with(&[("iat", json!(now_s - 60)), ("exp", json!(now_s - 1))]);
        let jti = forger.claims()["jti"].as_str().unwrap().to_owned();
        Self { owner, member, other, family, revoked, expired, jti }
    }

    fn token(&self, caller: &str) -> Option<&str> {
        Some(match caller {
            "owner" => &self.owner.token,
            "member" => &self.member.token,
            "other" => &self.other.token,
            "revoked" => &self.revoked,
            "expired" => &self.expired,
            _ => return None,
        })
    }
}

/// Makes the key that a cell is about; a version of it.
fn prepare(world: &World, cast: &Cast, resource: &str, key: &str) -> String {
    if !KEYS.contains(&resource) || resource == "absent" {
        return Uuid::nil().to_string();
    }
    let mut owner = world.of(&cast.owner);
    let version = owner.put(&format!("/kv/{key}"), "\"first\"").expect(201).uuid();
    owner.put(&format!("/kv/{key}"), "\"second\"").expect(200);
    if resource == "mine" {
        let metadata = json!({ "group": cast.family, "mode": "cdwr|-dwr|----" });
        owner.put(&format!("/meta/{key}"), metadata.to_string()).expect(200);
    }
    version
}

/// What to send for a route; the body is empty where it has none.
fn request(row: &Row, cast: &Cast, key: &str, version: &str) -> (String, String) {
    let account = match row.route {
        "/auth/groups/{uuid}" => &cast.family,
        "/history/{path}/{uuid}" | "/history/{path}/{uuid}/restore" => version,
        _ => &cast.owner.uuid,
    };
    let target = row.route.replace("{path}", key).replace("{uuid}", account);
    let target = target.replace("{jti}", &cast.jti).replace("{kind}", "status");
    let body = match (row.method, row.route) {
        ("PUT", "/kv/{path}") => json!("new"),
        ("POST", "/kv/_batch") => json!({ "ops": [{ "op": "put", "path": key, "data": 1 }] }),
        ("POST", "/kv/_get") => json!({ "paths": [key] }),
        ("PUT", "/meta/{path}") => json!({ "mode": "cdwr|-dwr|----" }),
        ("POST", "/auth/users") => json!({ "nickname": "new" }),
        ("PUT", "/auth/users/{uuid}") => json!({ "nickname": "renamed" }),
        ("POST", "/auth/groups") | ("PUT", "/auth/groups/{uuid}") => {
            json!({ "name": "family", "members": [] })
        }
        ("POST", "/auth/tokens") => match row.resource {
            "itself" => json!({ "scopes": ["read"] }),
            "owner" => json!({ "scopes": ["read"], "user_uuid": cast.owner.uuid }),
            _ => json!({ "scopes": ["read", "admin"] }),
        },
        ("POST", "/members/join") => json!({ "address": "127.0.0.1:9" }),
        ("POST", "/members/forget") => json!({ "id": "nobody-of-this-name" }),
        ("POST", "/cluster/parked/discard") => json!({ "node": "00000000-0000-4000-8000-000000000000" }),
        _ => Value::Null,
    };
    (target, if body.is_null() { String::new() } else { body.to_string() })
}

fn ask(world: &World, row: &Row, caller: &str, cast: &Cast, peer: &Peer) -> Answer {
    // The number of a token is new in every row.
    let key = format!("{}-{caller}-{}", row.resource, cast.jti);
    let version = prepare(world, cast, row.resource, &key);
    let (target, body) = request(row, cast, &key, &version);
    let send = |mut client: Client, headers: &[(&str, &str)]| {
        client.send(row.method, &target, headers, body.as_bytes())
    };
    match caller {
        "none" | "open" => send(world.stranger(), &[]),
        "admin" => send(world.root(), &[]),
        "peer" if row.route.starts_with("/peer/") => {
            peer.call(CallKind::Status, &StatusRequest { nonce: [7; 16], floor_ms: 0 }.encode())
        }
        "peer" => send(world.stranger(), &[("Authorization", &peer.credential(CallKind::Status))]),
        caller => send(world.bearer(cast.token(caller).unwrap()), &[]),
    }
}

fn clustered(lines: &[(&str, &str)]) -> World {
    let address = own_address().to_string();
    let own = [("bind_address", address.as_str()), ("clustering_enabled", "true"), ("node_id", "asked")];
    World::new(&[&own, lines].concat())
}

#[test]
fn every_route_answers_every_kind_of_caller_as_the_table_says() {
    let keys = ClusterKeys::derive(SECRET.as_bytes());
    let begin = || {
        let strict = clustered(&[]);
        let open = clustered(&[("allow_anonymous_read", "true"), ("allow_anonymous_write", "true")]);
        let peer = Peer::new(strict.node().address(), &keys, Uuid::from_u128(0xfeed));
        (strict, open, peer)
    };
    let (mut strict, mut open, mut peer) = begin();
    let mut wrong = Vec::new();
    for row in rows() {
        if row.route == "/members/leave" {
            // A node that has left takes no writes any more, so each of these has nodes of its own.
            (strict, open, peer) = begin();
        }
        let (cast, open_cast) = (Cast::new(&strict), Cast::new(&open));
        for caller in TRIED {
            let (_, expected) = row.statuses.iter().find(|(column, _)| *column == caller).unwrap();
            let (world, cast) = if caller == "open" { (&open, &open_cast) } else { (&strict, &cast) };
            let answer = ask(world, &row, caller, cast, &peer);
            if answer.status != *expected {
                let Row { method, route, resource, .. } = row;
                wrong.push(format!(
                    "{method} {route} {resource} {caller}: {expected}, got {}",
                    answer.shown()
                ));
            }
            let asks_for_a_token = answer.header("www-authenticate").is_some();
            assert_eq!(asks_for_a_token, answer.status == 401, "{}", answer.shown());
        }
    }
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The text of a file of the repository.
fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
}

/// Methods and routes of `docs/openapi.yaml`.
fn documented() -> BTreeSet<(String, String)> {
    let text = file("docs/openapi.yaml");
    let paths = text.split_once("\npaths:\n").unwrap().1.split("\ncomponents:\n").next().unwrap();
    let mut found = BTreeSet::new();
    let mut route = "";
    for line in paths.lines() {
        if let Some(path) = line.strip_prefix("  /") {
            route = path.trim_end_matches(':');
        } else if let Some(member) = line.strip_prefix("    ")
            && let Some(method) = member.strip_suffix(':')
            && ["get", "put", "post", "delete", "patch", "head", "options"].contains(&method)
        {
            found.insert((method.to_uppercase(), format!("/{route}")));
        }
    }
    found
}

#[test]
fn every_documented_route_is_in_the_table_and_no_other() {
    let table: BTreeSet<(String, String)> =
        rows().iter().map(|row| (row.method.to_owned(), row.route.to_owned())).collect();
    let documented = documented();
    let missing: Vec<_> = documented.difference(&table).collect();
    let unknown: Vec<_> = table.difference(&documented).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "not in the table: {missing:?}; not documented: {unknown:?}"
    );
}

#[test]
fn the_node_has_the_documented_methods_on_every_route_and_no_other() {
    let world = clustered(&[]);
    let documented = documented();
    let routes: BTreeSet<&String> = documented.iter().map(|(_, route)| route).collect();
    let uuid = Uuid::from_u128(7).to_string();
    for route in routes {
        let target = route.replace("{path}", "a").replace("{kind}", "status");
        let target = target.replace("{uuid}", &uuid).replace("{jti}", &uuid);
        let answer = world.root().send("PATCH", &target, &[], b"").expect(405);
        let mut allowed: BTreeSet<&str> = answer.header("allow").unwrap().split(", ").collect();
        // What is documented for GET holds for HEAD.
        assert_eq!(allowed.remove("HEAD"), allowed.contains("GET"), "{route}");
        // Below a restore lies a key, whose name may end like a version.
        if route.ends_with("/restore") {
            assert!(allowed.remove("GET"));
        }
        let told: BTreeSet<&str> = documented
            .iter()
            .filter(|(_, other)| other == route)
            .map(|(method, _)| method.as_str())
            .collect();
        assert_eq!(allowed, told, "{route}");
    }
}

#[test]
fn every_text_that_the_product_routes_by_is_part_of_a_documented_route() {
    let documented: Vec<String> = documented().into_iter().map(|(_, route)| route).collect();
    let mut texts = Vec::new();
    for (source, begin) in [
        ("crates/kvs-server/src/routes.rs", "\nfn resource("),
        ("crates/kvs-server/src/account_routes.rs", "\npub(crate) fn route<"),
    ] {
        let text = file(source);
        let code = text.split_once(begin).unwrap().1.split("#[cfg(test)]").next().unwrap();
        let quoted = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        texts.extend(
            quoted.flat_map(|line| line.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()),
        );
    }
    assert!(texts.len() > 20, "the routes are read from the wrong place: {texts:?}");
    // A part of the contract that there is no handler for, and the path of the members without its last slash.
    let known = ["_changes", "/members"];
    let is_method_list =
        |text: &str| text.split(", ").all(|word| word.bytes().all(|byte| byte.is_ascii_uppercase()));
    texts.retain(|text| {
        let segment = format!("/{}", text.trim_matches('/'));
        let is_documented = documented.iter().any(|route| {
            route.contains(&segment) && (!text.starts_with('/') || route.contains(text.as_str()))
        });
        !is_documented && !is_method_list(text) && !known.contains(&text.as_str())
    });
    assert!(texts.is_empty(), "routed by and not documented: {texts:?}");
}

#[test]
fn without_accounts_their_routes_are_not_there_and_the_others_are_open() {
    let world = World::new(&[]);
    let config = world.sandbox().configure("open.yaml", &[("data_dir", "./data-open")]);
    let node = crate::support::node::Node::start(world.sandbox(), &config);
    let mut client = node.client();
    for row in rows().iter().filter(|row| row.route.starts_with("/auth/")) {
        let uuid = Uuid::from_u128(7).to_string();
        let target = row.route.replace("{uuid}", &uuid).replace("{jti}", &uuid);
        client.send(row.method, &target, &[], b"{}").refused(404, "not_found");
    }
    client.put("/kv/a", "1").expect(201);
    client.put("/meta/a", r#"{"mode":"----|----|----"}"#).expect(200);
    client.get("/kv/a").expect(200);
    client.delete("/kv/a").expect(204);
    client.get("/backup").expect(200);
}
