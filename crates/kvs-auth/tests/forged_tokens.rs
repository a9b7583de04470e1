//! Tokens that somebody forged. Most carry a good MAC, which no stranger can make: what is judged must hold even then.
#![expect(clippy::unwrap_used, clippy::string_slice, reason = "a failing step must fail the test")]

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use kvs_auth::limits::{TOKEN_BYTES_MAX, TOKEN_LIFETIME_MAX_S};
use kvs_auth::token::claims::Claims;
use kvs_auth::token::error::TokenError;
use kvs_auth::token::keys::TokenKeys;
use kvs_auth::token::verify::verify;
use kvs_core::cluster_keys::ClusterKeys;
use sha2::{Sha256, Sha384, Sha512};

const NOW_S: u64 = 1_800_000_000;
const SUB: &str = "0b0d7f9e-9a1c-4a52-8f3e-6f2d1c0a9b8e";
const JTI: &str = "7f1d6a2b-3c4d-4e5f-8a9b-0c1d2e3f4a5b";

/// A forger who has stolen the key, and the node that is to be fooled.
struct Forger {
    cluster: ClusterKeys,
    keys: TokenKeys,
}

impl Forger {
    fn new() -> Self {
        let cluster = ClusterKeys::derive(b"a secret");
        Self { keys: TokenKeys::new(&cluster, None), cluster }
    }

    fn header(&self) -> String {
        format!(r#"{{"alg":"HS256","typ":"JWT","kid":"{}"}}"#, self.keys.kid())
    }

    fn payload(&self) -> String {
        let (issuer, end_s) = (format!("{:032x}", u128::from_be_bytes(self.cluster.id)), NOW_S + 60);
        format!(
            r#"{{"sub":"{SUB}","iss":"{issuer}","iat":{NOW_S},"exp":{end_s},"jti":"{JTI}","scopes":["read"]}}"#
        )
    }

    fn message(header: &str, payload: &str) -> String {
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    }

    fn mac(&self, message: &str) -> Vec<u8> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.cluster.token).unwrap();
        mac.chain_update(message).finalize().into_bytes().to_vec()
    }

    fn sign(&self, message: &str) -> String {
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(self.mac(message)))
    }

    fn token(&self, header: &str, payload: &str) -> String {
        self.sign(&Self::message(header, payload))
    }

    fn judge(&self, token: &str) -> Result<Claims, TokenError> {
        verify(token, &self.keys, NOW_S, 60)
    }

    /// The token with a good MAC over this header and a good payload.
    fn judge_header(&self, header: &str) -> Result<Claims, TokenError> {
        self.judge(&self.token(header, &self.payload()))
    }

    /// The token with a good MAC over the good payload with one part replaced.
    fn judge_payload(&self, from: &str, to: &str) -> Result<Claims, TokenError> {
        let payload = self.payload();
        let forged = payload.replace(from, to);
        assert_ne!(forged, payload);
        self.judge(&self.token(&self.header(), &forged))
    }
}

#[test]
fn the_forger_can_make_a_good_token() {
    let forger = Forger::new();
    assert_eq!(forger.judge_header(&forger.header()).unwrap().subject.to_string(), SUB);
}

#[test]
fn no_algorithm_but_ours_in_any_spelling() {
    let forger = Forger::new();
    for algorithm in [
        "none",
        "None",
        "NONE",
        "nOnE",
        "none ",
        " none",
        "n\\u006fne",
        "",
        "null",
        "hs256",
        "Hs256",
        "HS256 ",
        "HS\\u0032\\u0035\\u0036",
        "HMAC-SHA256",
        "HS384",
        "HS512",
        "RS256",
        "RS384",
        "RS512",
        "ES256",
        "ES256K",
        "ES384",
        "ES512",
        "PS256",
        "PS384",
        "PS512",
        "EdDSA",
        "Ed25519",
        "ML-DSA-44",
        "dir",
    ] {
        let header = forger.header().replace("HS256", algorithm);
        assert_ne!(header, forger.header());
        assert_eq!(forger.judge_header(&header), Err(TokenError::Header), "{algorithm}");
        // Without a MAC, and with bytes that have the length of another algorithm's signature.
        let message = Forger::message(&header, &forger.payload());
        for length in [0, 1, 48, 64, 96, 132, 256, 512] {
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(vec![1; length]));
            assert_eq!(forger.judge(&token), Err(TokenError::Header), "{algorithm} {length}");
        }
    }
    for value in ["null", "true", "256", r#"["HS256"]"#, r#"["none","HS256"]"#, r#"{"HS256":1}"#] {
        let header = forger.header().replace(r#""HS256""#, value);
        assert_eq!(forger.judge_header(&header), Err(TokenError::Header), "{value}");
    }
}

#[test]
fn a_mac_of_another_hash_is_none() {
    let forger = Forger::new();
    let message = Forger::message(&forger.header(), &forger.payload());
    let longer = Hmac::<Sha384>::new_from_slice(&forger.cluster.token).unwrap();
    let longest = Hmac::<Sha512>::new_from_slice(&forger.cluster.token).unwrap();
    for mac in [
        longer.chain_update(&message).finalize().into_bytes().to_vec(),
        longest.chain_update(&message).finalize().into_bytes().to_vec(),
        Vec::new(),
        forger.mac(&message)[..31].to_vec(),
        [forger.mac(&message), vec![0]].concat(),
    ] {
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(&mac));
        assert_eq!(forger.judge(&token), Err(TokenError::Malformed), "{}", mac.len());
    }
    for mac in [vec![0; 32], vec![255; 32], forger.cluster.token.to_vec()] {
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac));
        assert_eq!(forger.judge(&token), Err(TokenError::Signature));
    }
}

#[test]
fn the_secret_itself_or_no_secret_is_no_key() {
    let forger = Forger::new();
    let message = Forger::message(&forger.header(), &forger.payload());
    for key in
        [&b"a secret"[..], b"", &[0; 32], &forger.cluster.peer, &forger.cluster.digest, &forger.cluster.id]
    {
        let mac = Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(&message).finalize().into_bytes();
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac));
        assert_eq!(forger.judge(&token), Err(TokenError::Signature));
    }
}

#[test]
fn no_key_is_named_but_those_that_are_known() {
    let forger = Forger::new();
    let kid = forger.keys.kid().to_owned();
    for other in [
        "0000000000000000",
        "0",
        "",
        "../../../../dev/null",
        "/dev/null",
        "' OR 1=1 --",
        "file:///etc/passwd",
    ] {
        let header = forger.header().replace(&kid, other);
        assert_eq!(forger.judge_header(&header), Err(TokenError::UnknownKey), "{other}");
    }
    for other in
        [kid.to_uppercase(), format!("{kid} "), format!("\\u00{:02x}{}", kid.as_bytes()[0], &kid[1..])]
    {
        let header = forger.header().replace(&kid, &other);
        if header != forger.header() {
            assert!(forger.judge_header(&header).is_err(), "{other}");
        }
    }
    for value in ["null", "0", "[]", r#"["a"]"#] {
        let header = forger.header().replace(&format!(r#""{kid}""#), value);
        assert_eq!(forger.judge_header(&header), Err(TokenError::Header), "{value}");
    }
    assert_eq!(forger.judge_header(r#"{"alg":"HS256","typ":"JWT"}"#), Err(TokenError::Header));
}

#[test]
fn no_header_brings_its_own_key_or_asks_for_more() {
    let forger = Forger::new();
    for member in [
        r#""jwk":{"kty":"oct","k":"AAAA"}"#,
        r#""jku":"https://example.com/keys""#,
        r#""x5u":"https://example.com/cert""#,
        r#""x5c":["AAAA"]"#,
        r#""x5t":"AAAA""#,
        r#""x5t#S256":"AAAA""#,
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
        r#""crit":["b64"],"b64":false"#,
        r#""b64":true"#,
        r#""zip":"DEF""#,
        r#""cty":"JWT""#,
        r#""enc":"A128GCM""#,
        r#""url":"https://example.com""#,
        r#""nonce":"x""#,
        r#""iss":"x""#,
        r#""epk":{}"#,
        r#""unheard_of":null"#,
    ] {
        for header in [
            forger.header().replace('}', &format!(",{member}}}")),
            forger.header().replacen('{', &format!("{{{member},"), 1),
        ] {
            assert_eq!(forger.judge_header(&header), Err(TokenError::Header), "{header}");
        }
    }
}

#[test]
fn the_type_is_required_and_ours() {
    let forger = Forger::new();
    for typ in
        [r#""typ":"jwt","#, r#""typ":"at+jwt","#, r#""typ":"JWS","#, r#""typ":"","#, r#""typ":null,"#, ""]
    {
        let header = forger.header().replace(r#""typ":"JWT","#, typ);
        assert_eq!(forger.judge_header(&header), Err(TokenError::Header), "{header}");
    }
}

#[test]
fn no_member_of_a_header_comes_twice_in_another_order_or_with_spaces() {
    let forger = Forger::new();
    let (header, kid) = (forger.header(), forger.keys.kid());
    for forged in [
        header.replace('}', r#","alg":"none"}"#),
        header.replacen('{', r#"{"alg":"none","#, 1),
        header.replacen('{', r#"{"alg":"HS256","#, 1),
        header.replacen('{', r#"{"\u0061lg":"none","#, 1),
        header.replacen('{', r#"{"ALG":"none","#, 1),
        header.replace('}', r#","typ":"JWT"}"#),
        header.replace('}', r#","kid":"0000000000000000"}"#),
        format!(r#"{{"typ":"JWT","alg":"HS256","kid":"{kid}"}}"#),
        format!(r#"["HS256","JWT","{kid}"]"#),
        format!(r#"[{header}]"#),
        format!(" {header}"),
        format!("{header}\n"),
        format!("{header}{header}"),
        format!("\u{feff}{header}"),
        header.replace(':', ": "),
        header.replace("alg", "\\u0061lg"),
        String::new(),
        "{}".to_owned(),
        "null".to_owned(),
        "\"HS256\"".to_owned(),
        format!("{}1{}", "[".repeat(2000), "]".repeat(2000)),
        format!(r#"{{"alg":{}1{}}}"#, "[".repeat(2000), "]".repeat(2000)),
    ] {
        assert_eq!(forger.judge_header(&forged), Err(TokenError::Header), "{forged}");
    }
}

#[test]
fn the_issuer_is_that_of_the_key() {
    let forger = Forger::new();
    let own = format!("{:032x}", u128::from_be_bytes(forger.cluster.id));
    let other = format!("{:032x}", u128::from_be_bytes(ClusterKeys::derive(b"another secret").id));
    for issuer in [other.as_str(), "", &own.to_uppercase(), &format!("{own} "), "kvs"] {
        assert_eq!(forger.judge_payload(&own, issuer), Err(TokenError::Issuer), "{issuer}");
    }
    let own = format!(r#""{own}""#);
    for issuer in [format!("[{own}]"), "null".to_owned(), format!("[{own},\"them\"]"), "{}".to_owned()] {
        assert!(forger.judge_payload(&own, &issuer).is_err(), "{issuer}");
    }
    // Two secrets at once: the issuer of one does not go with the key of the other.
    let before = ClusterKeys::derive(b"another secret");
    let both = TokenKeys::new(&forger.cluster, Some(&before));
    let mixed = forger.payload().replace(own.trim_matches('"'), &other);
    let token = forger.token(&forger.header(), &mixed);
    assert_eq!(verify(&token, &both, NOW_S, 60), Err(TokenError::Issuer));
}

#[test]
fn the_times_are_whole_and_in_order() {
    let forger = Forger::new();
    let (iat, exp) = (format!(r#""iat":{NOW_S}"#), format!(r#""exp":{}"#, NOW_S + 60));
    for (from, to, expected) in [
        (&iat, format!(r#""iat":{}"#, NOW_S + 61), TokenError::Lifetime),
        (&exp, format!(r#""exp":{NOW_S}"#), TokenError::Lifetime),
        (&exp, format!(r#""exp":{}"#, NOW_S + TOKEN_LIFETIME_MAX_S + 1), TokenError::Lifetime),
        (&exp, r#""exp":18446744073709551615"#.to_owned(), TokenError::Lifetime),
        (&iat, r#""iat":0"#.to_owned(), TokenError::Lifetime),
        (&exp, r#""exp":18446744073709551616"#.to_owned(), TokenError::Payload),
        (&exp, r#""exp":1e300"#.to_owned(), TokenError::Payload),
        (&exp, r#""exp":1e999"#.to_owned(), TokenError::Payload),
        (&exp, r#""exp":-1"#.to_owned(), TokenError::Payload),
        (&exp, format!(r#""exp":{}.5"#, NOW_S + 60), TokenError::Payload),
        (&exp, format!(r#""exp":"{}""#, NOW_S + 60), TokenError::Payload),
        (&exp, r#""exp":null"#.to_owned(), TokenError::Payload),
    ] {
        assert_eq!(forger.judge_payload(from, &to), Err(expected), "{to}");
    }
    let later = |shift_s: u64| {
        let payload = forger
            .payload()
            .replace(&iat, &format!(r#""iat":{}"#, NOW_S + shift_s))
            .replace(&exp, &format!(r#""exp":{}"#, NOW_S + shift_s + 60));
        forger.judge(&forger.token(&forger.header(), &payload))
    };
    assert!(later(60).is_ok());
    assert_eq!(later(61), Err(TokenError::FromTheFuture));
    assert_eq!(later(10_000_000), Err(TokenError::FromTheFuture));
}

#[test]
fn no_claim_comes_twice_is_unknown_or_is_missing() {
    let forger = Forger::new();
    for member in [
        r#""scopes":["admin"]"#,
        r#""sub":"root""#,
        r#""\u0073ub":"root""#,
        r#""exp":99999999999"#,
        r#""nbf":0"#,
        r#""aud":"kvs""#,
        r#""admin":true"#,
        r#""scope":"admin""#,
        r#""Scopes":["admin"]"#,
        r#""paths":null"#,
        r#""paths":[]"#,
    ] {
        assert_eq!(
            forger.judge_payload("]}", &format!("],{member}}}")),
            Err(TokenError::Payload),
            "{member}"
        );
        assert_eq!(forger.judge_payload("{", &format!("{{{member},")), Err(TokenError::Payload), "{member}");
    }
    for (from, to) in [
        (format!(r#""sub":"{SUB}","#), String::new()),
        (format!(r#""jti":"{JTI}","#), String::new()),
        (JTI.to_owned(), JTI.to_uppercase()),
        (JTI.to_owned(), String::new()),
        (SUB.to_owned(), SUB.to_uppercase()),
        (SUB.to_owned(), "ROOT".to_owned()),
        (r#","scopes":["read"]"#.to_owned(), String::new()),
        (r#"["read"]"#.to_owned(), r#"["read","everything"]"#.to_owned()),
        (r#"["read"]"#.to_owned(), r#""admin""#.to_owned()),
    ] {
        assert_eq!(forger.judge_payload(&from, &to), Err(TokenError::Payload), "{to}");
    }
    assert_eq!(forger.judge_payload(r#"["read"]"#, "[]"), Err(TokenError::NoScope));
    let list = format!(r#"["{SUB}","","{JTI}"]"#);
    for payload in ["", "null", "[]", "{}", &list, &format!("{}{}", forger.payload(), forger.payload())] {
        let token = forger.token(&forger.header(), payload);
        assert_eq!(forger.judge(&token), Err(TokenError::Payload), "{payload}");
    }
}

#[test]
fn the_payload_is_not_parsed_before_its_mac_is_good() {
    let forger = Forger::new();
    let garbage = Forger::message(&forger.header(), "{no json");
    assert_eq!(forger.judge(&forger.sign(&garbage)), Err(TokenError::Payload));
    let unsigned = format!("{garbage}.{}", URL_SAFE_NO_PAD.encode([0; 32]));
    assert_eq!(forger.judge(&unsigned), Err(TokenError::Signature));
}

#[test]
fn a_token_has_three_segments_in_one_spelling() {
    let forger = Forger::new();
    let token = forger.token(&forger.header(), &forger.payload());
    let (message, mac) = token.rsplit_once('.').unwrap();
    assert!(forger.judge(&token).is_ok());
    for forged in [
        message.to_owned(),
        format!("{message}."),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{mac}"),
        format!("{message}..{mac}"),
        token.replace('.', ""),
        token.replace('.', ":"),
        format!(" {token}"),
        format!("{token} "),
        format!("{token}\n"),
        format!("\t{token}"),
        token.replace('.', " . "),
        format!("Bearer {token}"),
        format!("\"{token}\""),
        format!("{token}="),
        format!("{token}=="),
        format!("{token}\0"),
        format!("{message}.{}", mac.replace(['-', '_'], "+")).replace(mac, &format!("{mac}+")),
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        format!("{message}.{}", URL_SAFE.encode(forger.mac(message))),
    ] {
        assert!(forger.judge(&forged).is_err(), "{forged:?}");
    }
    for end in 0..token.len() {
        assert!(forger.judge(&token[..end]).is_err(), "cut at {end}");
    }
    // The last character of 43 carries four bits; the other two must be zero.
    let last = mac.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = alphabet.find(last).unwrap();
    assert_eq!(place % 4, 0);
    for stray in 1..4 {
        let forged = format!("{}{}", &token[..token.len() - 1], &alphabet[place + stray..=place + stray]);
        assert_eq!(forger.judge(&forged), Err(TokenError::Malformed), "{stray}");
    }
}

#[test]
fn another_spelling_of_the_payload_under_a_good_mac_is_refused() {
    let forger = Forger::new();
    let header = URL_SAFE_NO_PAD.encode(forger.header());
    let payload = forger.payload();
    let padded = URL_SAFE.encode(format!("{payload} ").repeat(1));
    for segment in [
        format!("{}=", URL_SAFE_NO_PAD.encode(&payload)),
        format!(" {}", URL_SAFE_NO_PAD.encode(&payload)),
        format!("{}\n", URL_SAFE_NO_PAD.encode(&payload)),
        if padded.ends_with('=') { padded } else { URL_SAFE.encode(format!("{payload}  ")) },
    ] {
        let forged = forger.sign(&format!("{header}.{segment}"));
        assert_eq!(forger.judge(&forged), Err(TokenError::Payload), "{segment}");
    }
}

#[test]
fn a_long_token_is_refused_before_it_is_read() {
    let forger = Forger::new();
    for bytes in [TOKEN_BYTES_MAX + 1, 1024 * 1024] {
        for filler in ["A", ".", "{", "="] {
            assert_eq!(forger.judge(&filler.repeat(bytes)), Err(TokenError::TooLong), "{filler} {bytes}");
        }
        let long = forger.payload().replace(r#"["read"]"#, &format!(r#"["{}"]"#, "x".repeat(bytes)));
        assert_eq!(forger.judge(&forger.token(&forger.header(), &long)), Err(TokenError::TooLong));
    }
    let within = format!("{}.{}.A", "A".repeat(4000), "A".repeat(4000));
    assert_eq!(forger.judge(&within), Err(TokenError::Header));
    assert_eq!(forger.judge(&"A".repeat(TOKEN_BYTES_MAX)), Err(TokenError::Malformed));
    assert_eq!(forger.judge(&".".repeat(TOKEN_BYTES_MAX)), Err(TokenError::Malformed));
}
