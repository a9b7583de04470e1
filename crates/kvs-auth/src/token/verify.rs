//! Judging a token.
//!
//! The order is part of the rule: its length, before anything is read; its shape; its header, which is compared with the
//! few that we write and not interpreted; its MAC; and only then what it says. So nothing that a stranger wrote ever
//! reaches a parser but a header that is refused anyway, and no header can choose how a token is verified.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use serde_json::value::RawValue;

use super::claims::Claims;
use super::error::TokenError;
use super::keys::TokenKeys;
use crate::limits::TOKEN_BYTES_MAX;

/// Bytes of an HMAC-SHA-256.
const MAC_BYTES: usize = 32;

/// What a token says, when it is authentic and good at `now_s` (seconds since 1970); `skew_s` is by how many seconds the
/// clocks of two nodes may differ. Whether it was revoked is not known here, see
/// [`Directory`](crate::directory::Directory).
///
/// # Errors
///
/// Why it is refused; to the caller of a server all of them are the same.
pub fn verify(token: &str, keys: &TokenKeys, now_s: u64, skew_s: u64) -> Result<Claims, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::TooLong);
    }
    let mut segments = token.split('.');
    let (Some(header), Some(_), Some(mac), None) =
        (segments.next(), segments.next(), segments.next(), segments.next())
    else {
        return Err(TokenError::Malformed);
    };
    let key = keys.of_header(header)?;
    // The decoder takes one spelling only: no padding, no white space, no stray bits at the end.
    if URL_SAFE_NO_PAD.decode(mac).map_err(|_| TokenError::Malformed)?.len() != MAC_BYTES {
        return Err(TokenError::Malformed);
    }
    // The library verifies the MAC first, then decodes the payload and checks the issuer once more.
    let payload = jsonwebtoken::decode::<Box<RawValue>>(token, &key.verifying, &key.validation)
        .map_err(|error| refusal(error.kind()))?
        .claims;
    let claims = Claims::read(payload.get().as_bytes(), &key.issuer)?;
    claims.check_times(now_s, skew_s)?;
    Ok(claims)
}

const fn refusal(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::InvalidIssuer => TokenError::Issuer,
        _ => TokenError::Payload,
    }
}

#[cfg(test)]
mod tests {
    use super::{TOKEN_BYTES_MAX, TokenError, verify};
    use crate::limits::TOKEN_LIFETIME_DEFAULT_S;
    use crate::scopes::{Scope, Scopes};
    use crate::subject::Subject;
    use crate::subtrees::{SUBTREES_MAX, Subtrees};
    use crate::token::claims::Claims;
    use crate::token::keys::TokenKeys;
    use crate::token::mint::mint;
    use kvs_core::cluster_keys::ClusterKeys;
    use kvs_core::path::Path;
    use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_assert_eq, proptest};
    use uuid::Uuid;

    const NOW_S: u64 = 1_800_000_000;
    const SKEW_S: u64 = 60;

    /// Made with the cluster keys of all sevens and all nines, and checked with another implementation of HMAC.
    const GOLDEN: &str = "\
        eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImM1NTUyYTZmNDkzMTZjZDUifQ.eyJzdWIiOiIwYjBkN\
        2Y5ZS05YTFjLTRhNTItOGYzZS02ZjJkMWMwYTliOGUiLCJpc3MiOiIwOTA5MDkwOTA5MDkwOTA5MDkwOTA5MDkwO\
        TA5MDkwOSIsImlhdCI6MTgwMDAwMDAwMCwiZXhwIjoxODAwMDg2NDAwLCJqdGkiOiI3ZjFkNmEyYi0zYzRkLTRlN\
        WYtOGE5Yi0wYzFkMmUzZjRhNWIiLCJzY29wZXMiOlsicmVhZCIsIndyaXRlIl0sInBhdGhzIjpbImhvbWUvasO8c\
        mdlbiJdfQ.aY8YmPrXvaaInKRGnqn-CFAqK8TfYDiP0-y1EkPl9go";

    fn fixed_keys() -> ClusterKeys {
        ClusterKeys { token: [7; 32], id: [9; 16], ..ClusterKeys::derive(b"") }
    }

    fn claims() -> Claims {
        Claims {
            subject: Subject::User(Uuid::from_u128(0x0b0d_7f9e_9a1c_4a52_8f3e_6f2d_1c0a_9b8e)),
            jti: Uuid::from_u128(0x7f1d_6a2b_3c4d_4e5f_8a9b_0c1d_2e3f_4a5b),
            issued_at_s: NOW_S,
            expires_at_s: NOW_S + TOKEN_LIFETIME_DEFAULT_S,
            scopes: Scopes::NONE.with(Scope::Read).with(Scope::Write),
            paths: Subtrees::new(vec![Path::parse("home/jürgen").unwrap()]),
        }
    }

    #[test]
    fn the_golden_token_is_what_is_minted_and_is_good() {
        let keys = TokenKeys::new(&fixed_keys(), None);
        assert_eq!(mint(&claims(), &keys).as_deref(), Ok(GOLDEN));
        assert_eq!(verify(GOLDEN, &keys, NOW_S, SKEW_S), Ok(claims()));
    }

    #[test]
    fn both_secrets_are_good_while_they_are_changed_and_one_afterwards() {
        let (old, new) = (ClusterKeys::derive(b"the old one"), ClusterKeys::derive(b"the new one"));
        let token = mint(&claims(), &TokenKeys::new(&old, None)).unwrap();
        assert_eq!(verify(&token, &TokenKeys::new(&new, Some(&old)), NOW_S, SKEW_S), Ok(claims()));
        assert_eq!(verify(&token, &TokenKeys::new(&new, None), NOW_S, SKEW_S), Err(TokenError::UnknownKey));
        let token = mint(&claims(), &TokenKeys::new(&new, Some(&old))).unwrap();
        assert_eq!(verify(&token, &TokenKeys::new(&new, None), NOW_S, SKEW_S), Ok(claims()));
    }

    #[test]
    fn a_token_begins_no_later_than_now_and_ends() {
        let keys = TokenKeys::new(&fixed_keys(), None);
        for (now_s, expected) in [
            (NOW_S - SKEW_S - 1, Err(TokenError::FromTheFuture)),
            (NOW_S - SKEW_S, Ok(claims())),
            (NOW_S + TOKEN_LIFETIME_DEFAULT_S - 1, Ok(claims())),
            (NOW_S + TOKEN_LIFETIME_DEFAULT_S, Err(TokenError::Expired)),
        ] {
            assert_eq!(verify(GOLDEN, &keys, now_s, SKEW_S), expected, "{now_s}");
        }
    }

    #[test]
    fn what_cannot_be_verified_is_not_minted() {
        let keys = TokenKeys::new(&fixed_keys(), None);
        let refused = |claims: Claims| mint(&claims, &keys).unwrap_err();
        assert_eq!(refused(Claims { scopes: Scopes::NONE, ..claims() }), TokenError::NoScope);
        assert_eq!(refused(Claims { expires_at_s: NOW_S, ..claims() }), TokenError::Lifetime);
        let root = |number: usize| Path::parse(&format!("{number}/{}", "x".repeat(200))).unwrap();
        let roots = |count: usize| Subtrees::new((0..count).map(root).collect());
        assert_eq!(refused(Claims { paths: roots(SUBTREES_MAX), ..claims() }), TokenError::TooLong);
        let long = Claims { paths: roots(27), ..claims() };
        let token = mint(&long, &keys).unwrap();
        assert!(token.len() <= TOKEN_BYTES_MAX, "{}", token.len());
        assert_eq!(verify(&token, &keys, NOW_S, SKEW_S), Ok(long));
    }

    #[test]
    fn every_token_with_one_character_changed_is_refused() {
        let keys = TokenKeys::new(&fixed_keys(), None);
        for place in 0..GOLDEN.len() {
            for other in " !+-./09=AZ_az~\t\n\0".chars() {
                let mut changed = GOLDEN.to_owned();
                changed.replace_range(place..=place, &other.to_string());
                if changed != GOLDEN {
                    assert!(verify(&changed, &keys, NOW_S, SKEW_S).is_err(), "{other:?} at {place}");
                }
            }
        }
    }

    fn any_claims() -> impl Strategy<Value = Claims> {
        let subject = prop::option::of(any::<u128>())
            .prop_map(|user| user.map_or(Subject::Root, |user| Subject::User(Uuid::from_u128(user))));
        let scopes = prop::collection::vec(prop::sample::select(&Scope::ALL), 1..6);
        let paths = prop::option::of(prop::collection::vec("[a-z\"\\\\é]{1,9}(/[a-z ]{1,9}){0,3}", 1..5));
        (subject, any::<u128>(), 1..1_000_000_u64, scopes, paths).prop_map(
            |(subject, jti, life_s, scopes, paths)| Claims {
                subject,
                jti: Uuid::from_u128(jti),
                issued_at_s: NOW_S,
                expires_at_s: NOW_S + life_s,
                scopes: scopes.into_iter().collect(),
                paths: paths.and_then(|roots| {
                    Subtrees::new(roots.iter().map(|root| Path::parse(root).unwrap()).collect())
                }),
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn what_is_minted_is_good_and_says_the_same(claims in any_claims()) {
            let keys = TokenKeys::new(&fixed_keys(), None);
            prop_assert_eq!(verify(&mint(&claims, &keys).unwrap(), &keys, NOW_S, SKEW_S), Ok(claims));
        }

        #[test]
        fn any_change_of_one_character_is_refused(
            claims in any_claims(), place in any::<prop::sample::Index>(), other in any::<char>(), kind in 0..3,
        ) {
            let keys = TokenKeys::new(&fixed_keys(), None);
            let token = mint(&claims, &keys).unwrap();
            let mut changed: Vec<char> = token.chars().collect();
            let place = place.index(changed.len());
            match kind {
                0 => changed[place] = other,
                1 => changed.insert(place, other),
                _ => { changed.remove(place); }
            }
            let changed: String = changed.into_iter().collect();
            let expected_good = changed == token;
            prop_assert_eq!(verify(&changed, &keys, NOW_S, SKEW_S).is_ok(), expected_good);
        }

        #[test]
        fn no_text_at_all_panics(text in ".{0,200}", dotted in "[A-Za-z0-9_-]{0,60}(\\.[A-Za-z0-9_=-]{0,60}){0,4}") {
            let keys = TokenKeys::new(&fixed_keys(), None);
            assert!(verify(&text, &keys, NOW_S, SKEW_S).is_err());
            assert!(verify(&dotted, &keys, NOW_S, SKEW_S).is_err());
        }
    }
}
