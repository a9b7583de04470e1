//! Forged tokens: all are refused with one and the same answer, the node goes on, and none costs much more than a good one.
//!
//! Most of them carry a good MAC, as of somebody who has stolen the secret and nothing else: what is judged must hold even
//! then. Left out: what only whoever has the secret can do anyway, which is every token in the right form.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::access::{Person, SECRET, World, minted};
use crate::support::answer::Answer;
use crate::support::forger::Forger;
use crate::support::wait::{timed, unix_ms};

/// A key that the user may read.
const TARGET: &str = "/kv/guarded";

/// A node with a guarded key, a user who may read it, and a forger who has seen its token.
struct Scene {
    world: World,
    person: Person,
    forger: Forger,
}

impl Scene {
    fn new() -> Self {
        let world = World::new(&[]);
        let person = world.person("pattern");
        world.of(&person).put(TARGET, "\"guarded\"").expect(201);
        let forger = Forger::new(SECRET, &person.token);
        let scene = Self { world, person, forger };
        assert_eq!(scene.forger.token(&scene.forger.header, &scene.forger.payload), scene.person.token);
        let own = scene.forger.with(&[("jti", json!(Uuid::from_u128(7).to_string()))]);
        assert_eq!(scene.ask(&own).status, 200, "the forger does not know how tokens are made");
        scene
    }

    fn ask(&self, token: &str) -> Answer {
        self.world.bearer(token).get(TARGET)
    }

    /// All of these are refused, in the same words; afterwards the good token is still good.
    #[track_caller]
    fn assert_refused(&self, forged: &[String]) {
        let told = self.ask("no.token.atall").refused(401, "unauthorized").body;
        let mut client = self.world.stranger();
        let mut wrong = Vec::new();
        for token in forged {
            let answer = client.send("GET", TARGET, &[("Authorization", &format!("Bearer {token}"))], b"");
            let asks = answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer"));
            if answer.status != 401 || answer.body != told || !asks {
                let short: String = token.chars().take(200).collect();
                wrong.push(format!("{short}: {}", answer.shown()));
            }
        }
        assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), forged.len(), wrong.join("\n"));
        assert_eq!(self.ask(&self.person.token).status, 200);
    }

    /// Tokens of these headers, each with the MAC that belongs to it.
    fn of_headers(&self, headers: impl IntoIterator<Item = String>) -> Vec<String> {
        headers.into_iter().map(|header| self.forger.token(&header, &self.forger.payload)).collect()
    }

    /// Tokens of these payloads, each with the MAC that belongs to it.
    fn of_payloads(&self, payloads: impl IntoIterator<Item = String>) -> Vec<String> {
        payloads.into_iter().map(|payload| self.forger.token(&self.forger.header, &payload)).collect()
    }

    fn kid(&self) -> String {
        let header: Value = serde_json::from_str(&self.forger.header).unwrap();
        header["kid"].as_str().unwrap().to_owned()
    }

    fn header_with(&self, member: &str, value: &Value) -> String {
        let mut header: Value = serde_json::from_str(&self.forger.header).unwrap();
        header[member] = value.clone();
        header.to_string()
    }
}

#[test]
fn no_algorithm_but_ours_is_taken() {
    let scene = Scene::new();
    let forger = &scene.forger;
    let mut forged = Vec::new();
    for alg in ["none", "None", "NONE", "nOnE", "noNE", "none ", ""] {
        let header = scene.header_with("alg", &json!(alg));
        let message = Forger::message(&header, &forger.payload);
        let mac = scene.person.token.rsplit('.').next().unwrap();
        forged.extend([
            message.clone(),
            format!("{message}."),
            format!("{message}.{mac}"),
            forger.sign(&message),
        ]);
    }
    let others = [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "ES256K", "EdDSA",
        "HS384", "HS512", "hs256", "Hs256", "HS256 ", "HS-256", "dir", "A128KW",
    ];
    forged.extend(scene.of_headers(others.map(|alg| scene.header_with("alg", &json!(alg)))));
    let no_texts = [json!(null), json!(256), json!(["HS256"]), json!({ "alg": "HS256" }), json!(true)];
    forged.extend(scene.of_headers(no_texts.map(|alg| scene.header_with("alg", &alg))));
    scene.assert_refused(&forged);
}

#[test]
fn nothing_in_a_header_chooses_the_key() {
    let scene = Scene::new();
    let kid = scene.kid();
    let kids = [
        json!(""),
        json!(null),
        json!(0),
        json!([kid]),
        json!(kid.to_uppercase()),
        json!(format!("{kid} ")),
        json!(format!("{kid}\u{0}")),
        json!(format!("../{kid}")),
        json!("../../../../dev/null"),
        json!("/proc/self/environ"),
        json!("' OR '1'='1"),
        json!("| id"),
        json!("http://127.0.0.1:9/key"),
        json!("0000000000000000"),
        json!("0".repeat(4096)),
    ];
    let mut headers: Vec<String> = kids.iter().map(|kid| scene.header_with("kid", kid)).collect();
    // A key of the forger's own, brought along.
    let jwk = json!({ "kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "alg": "HS256", "kid": kid });
    for (member, value) in [
        ("jwk", jwk.clone()),
        ("jwks", json!([jwk])),
        ("jku", json!("http://127.0.0.1:9/jwks.json")),
        ("x5u", json!("http://127.0.0.1:9/chain.pem")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AAAA")),
        ("x5t#S256", json!("AAAA")),
        ("crit", json!([])),
        ("crit", json!(["exp"])),
        ("crit", json!(["b64"])),
        ("crit", json!("exp")),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("cty", json!("JWT")),
        ("typ", json!("jwt")),
        ("typ", json!("JWE")),
        ("typ", json!("at+jwt")),
        ("typ", json!(null)),
        ("nonce", json!("1")),
        ("iss", scene.forger.claims()["iss"].clone()),
    ] {
        headers.push(scene.header_with(member, &value));
    }
    // Said twice, left out, or written in another way.
    headers.extend([
        format!(r#"{{"alg":"none","alg":"HS256","typ":"JWT","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"HS256","alg":"none","typ":"JWT","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"HS256","alg":"HS256","typ":"JWT","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"HS256","typ":"JWT","kid":"x","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"HS256","typ":"JWT","\u006bid":"{kid}"}}"#),
        format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#),
        r#"{"alg":"HS256","typ":"JWT"}"#.to_owned(),
        format!(r#"{{"typ":"JWT","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"HS256", "typ":"JWT","kid":"{kid}"}}"#),
        format!("{} ", scene.forger.header),
        format!("\u{feff}{}", scene.forger.header),
        "{}".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        String::new(),
        "[".repeat(5000),
    ]);
    let mut forged = scene.of_headers(headers.clone());
    // Signed with the key that the header brings along.
    forged.extend(
        headers
            .iter()
            .map(|header| format!("{}.{}", Forger::message(header, &scene.forger.payload), "A".repeat(43))),
    );
    scene.assert_refused(&forged);
}

#[test]
fn what_a_token_says_is_read_strictly() {
    let scene = Scene::new();
    let forger = &scene.forger;
    let now_s = unix_ms() / 1000;
    let year_s = 366 * 24 * 60 * 60;
    let mut forged = Vec::new();
    for (member, values) in [
        ("iss", vec![json!("another"), json!(""), json!(null), json!([forger.claims()["iss"]])]),
        (
            "iat",
            vec![json!(now_s + 86_400), json!(now_s + 3600), json!(-1), json!(1.5), json!("0"), json!(null)],
        ),
        (
            "exp",
            vec![
                json!(now_s - 1),
                json!(0),
                json!(u64::MAX),
                json!(now_s + 2 * year_s),
                json!(1e300),
                json!("9"),
                json!(null),
                json!(-1),
                json!(true),
            ],
        ),
        (
            "jti",
            vec![
                json!(""),
                json!("x"),
                json!(7),
                json!(null),
                json!(Uuid::from_u128(7).simple().to_string()),
            ],
        ),
        (
            "sub",
            vec![
                json!("Root"),
                json!("root "),
                json!(""),
                json!(null),
                json!(["root"]),
                json!("admin"),
                json!(scene.person.uuid.to_uppercase()),
                json!(format!("urn:uuid:{}", scene.person.uuid)),
            ],
        ),
        (
            "scopes",
            vec![
                json!([]),
                json!("admin"),
                json!(["Admin"]),
                json!(["read", "read"]),
                json!(["read", "everything"]),
                json!(null),
                json!({ "admin": true }),
                json!([["admin"]]),
            ],
        ),
        (
            "paths",
            vec![
                json!([]),
                json!(null),
                json!("guarded"),
                json!([".."]),
                json!(["/guarded"]),
                json!(["a//b"]),
                json!([""]),
            ],
        ),
        ("nbf", vec![json!(0)]),
        ("aud", vec![json!("kvs")]),
        ("admin", vec![json!(true)]),
        ("groups", vec![json!([Uuid::from_u128(1).to_string()])]),
    ] {
        forged.extend(values.iter().map(|value| forger.with(&[(member, value.clone())])));
    }
    for member in ["iss", "iat", "exp", "jti", "sub", "scopes"] {
        let mut claims = forger.claims();
        claims.as_object_mut().unwrap().remove(member);
        forged.push(forger.token(&forger.header, &claims.to_string()));
        // Said twice, the good one first and the good one last.
        let (good, rest) = (&forger.claims()[member], forger.payload.trim_start_matches('{'));
        forged.extend(scene.of_payloads([
            format!(r#"{{"{member}":{good},{rest}"#),
            format!(r#"{{"{member}":"other",{rest}"#),
            format!(r#"{},"{member}":["admin"]}}"#, forger.payload.trim_end_matches('}')),
        ]));
    }
    let claims = forger.claims();
    let values: Vec<&Value> = claims.as_object().unwrap().values().collect();
    forged.extend(scene.of_payloads([
        format!("{}{}", forger.payload, forger.payload),
        format!("[{}]", forger.payload),
        json!(values).to_string(),
        String::new(),
        "null".to_owned(),
        "\u{feff}{}".to_owned(),
        forger.payload.replace("\"sub\"", "\"sub\\u0000\""),
    ]));
    scene.assert_refused(&forged);
}

#[test]
fn every_changed_byte_and_every_mixture_is_refused() {
    let scene = Scene::new();
    let good = &scene.person.token;
    let mut forged = Vec::new();
    for at in 0..good.len() {
        for other in ["A", "z", ".", "="] {
            let changed = format!("{}{other}{}", &good[..at], &good[at + 1..]);
            if &changed != good {
                forged.push(changed);
            }
        }
        forged.push(format!("{}{}", &good[..at], &good[at + 1..]));
    }
    let admin = scene.world.root_token();
    let [ours, theirs] = [good.as_str(), admin].map(|token| token.split('.').collect::<Vec<_>>());
    for mixed in [
        [ours[0], theirs[1], ours[2]],
        [ours[0], ours[1], theirs[2]],
        [ours[1], ours[0], ours[2]],
        [ours[0], ours[1], ""],
        ["", "", ""],
    ] {
        forged.push(mixed.join("."));
    }
    forged.extend([
        format!("{good}."),
        format!("{good}.{}", ours[2]),
        format!(".{good}"),
        format!("{good}="),
        format!("{good},{good}"),
        format!("{good} {good}"),
        format!("\"{good}\""),
        format!("{good}%00"),
        good.replace('.', "%2E"),
    ]);
    // Another secret, and the tokens of another cluster.
    let stranger = Forger::new("another-secret-altogether", good);
    forged.push(stranger.token(&stranger.header, &stranger.payload));
    scene.assert_refused(&forged);
}

#[test]
fn long_tokens_are_refused_and_the_longest_good_one_is_good() {
    let scene = Scene::new();
    let roots = |each: usize| -> Vec<String> {
        let mut roots: Vec<String> =
            (0..31).map(|number| format!("{number:02}{}", "p".repeat(each))).collect();
        roots.push("guarded".to_owned());
        roots
    };
    let of_length = |each| scene.forger.with(&[("paths", json!(roots(each)))]);
    let longest = (1..1000).map(of_length).take_while(|token| token.len() <= 8192).last().unwrap();
    assert!(longest.len() > 8000, "{}", longest.len());
    assert_eq!(scene.ask(&longest).status, 200);
    let longer = (1..1000).map(of_length).find(|token| token.len() > 8192).unwrap();
    let many = scene.forger.with(&[("paths", json!(vec!["guarded"; 33]))]);
    let nested = scene.forger.token(&"[".repeat(6000), &scene.forger.payload);
    scene.assert_refused(&[longer, many, nested, "a".repeat(8192), "a".repeat(20_000), ".".repeat(8192)]);
    // These do not fit into a head at all, and the node may hang up while they are sent.
    for length in [40_000, 1 << 20] {
        let mut wire = scene.world.node().wire();
        let host = scene.world.node().address();
        let token = scene.forger.sign(&"a".repeat(length));
        let head = format!("GET {TARGET} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n");
        drop(wire.try_send(head.as_bytes()));
        if let Some(answer) = wire.answer_or_close() {
            assert!([400, 401, 431].contains(&answer.status), "{}", answer.shown());
        }
        assert_eq!(scene.ask(&scene.person.token).status, 200);
    }
}

#[test]
fn a_token_counts_only_in_its_place_and_only_once() {
    let scene = Scene::new();
    let good = scene.person.token.as_str();
    let bearer = format!("Bearer {good}");
    let mut client = scene.world.stranger();
    for scheme in ["bearer", "BEARER", "BeArEr"] {
        client.send("GET", TARGET, &[("Authorization", &format!("{scheme} {good}"))], b"").expect(200);
    }
    let fields: [&[(&str, &str)]; 12] = [
        &[("Cookie", &format!("token={good}; access_token={good}; Authorization={bearer}"))],
        &[("X-Access-Token", good)],
        &[("X-Auth-Token", good)],
        &[("Token", good)],
        &[("Proxy-Authorization", &bearer)],
        &[("X-Authorization", &bearer)],
        &[("X-Original-Authorization", &bearer)],
        &[("Authorization", good)],
        &[("Authorization", &format!("Token {good}"))],
        &[("Authorization", &format!("Basic {good}"))],
        &[("Authorization", &bearer), ("Authorization", &bearer)],
        &[("Authorization", "Bearer no.good.one"), ("Authorization", &bearer)],
    ];
    for headers in fields {
        client.send("GET", TARGET, headers, b"").refused(401, "unauthorized");
    }
    for query in ["token", "access_token", "authorization", "bearer"] {
        // An unknown parameter is refused, whoever asks; no answer shows the value.
        let answer = client.get(&format!("{TARGET}?{query}={good}"));
        assert!([400, 401].contains(&answer.status), "{}", answer.shown());
    }
    // A token that does not reach the key is no way to it.
    let elsewhere =
        minted(&mut scene.world.of(&scene.person), &json!({ "scopes": ["read"], "paths": ["else"] }));
    scene.world.bearer(&elsewhere).get(TARGET).refused(404, "not_found");
}

#[test]
fn no_forged_token_costs_much_more_than_a_good_one() {
    const ROUNDS: usize = 61;
    let scene = Scene::new();
    let forger = &scene.forger;
    let kinds: [(&str, String); 6] = [
        ("alg none", format!("{}.", Forger::message(r#"{"alg":"none"}"#, &forger.payload))),
        ("RS256", forger.token(&scene.header_with("alg", &json!("RS256")), &forger.payload)),
        ("a wrong MAC", {
            let (rest, last) = scene.person.token.split_at(scene.person.token.len() - 1);
            // One in sixteen ends in this letter.
            format!("{rest}{}", if last == "A" { "E" } else { "A" })
        }),
        ("8 KiB of nothing", "a".repeat(8192)),
        ("a nested header of 8 KiB", forger.token(&"[".repeat(5500), &forger.payload)),
        ("a wrong issuer", forger.with(&[("iss", json!("x"))])),
    ];
    let mut good = Vec::new();
    let mut forged: Vec<Vec<Duration>> = vec![Vec::new(); kinds.len()];
    // In turn, so that whatever else the machine does disturbs all alike. A good one is new each time, too.
    for round in 0..ROUNDS {
        let new = forger.with(&[("jti", json!(Uuid::from_u128(1000 + round as u128).to_string()))]);
        let mut client = scene.world.bearer(&new);
        client.get("/health").expect(200);
        let (took, answer) = timed(|| client.get(TARGET));
        answer.expect(200);
        good.push(took);
        for ((_, token), times) in kinds.iter().zip(&mut forged) {
            let mut client = scene.world.bearer(token);
            client.get("/health").expect(200);
            let (took, answer) = timed(|| client.get(TARGET));
            answer.expect(401);
            times.push(took);
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let good = median(&mut good);
    for ((kind, _), times) in kinds.iter().zip(&mut forged) {
        let took = median(times);
        assert!(took <= good * 10, "{kind}: {took:?}, a good one {good:?}");
    }
}
