//! Tokens that are minted on the machine of a node, by whoever may read its secret: without a running node and without
//! asking it.
//!
//! They are in no list of issued tokens. Where all tokens of a user were revoked by a clock that is ahead of this one, a
//! token that is minted here is revoked too until this clock has passed that moment.
//!
//! **Invariant:** a token is returned and, as root's, written to `root.token`; it is never logged and in no error.

use std::io;

use kvs_auth::limits::{TOKEN_LIFETIME_DEFAULT_S, TOKEN_LIFETIME_MAX_S};
use kvs_auth::scopes::{Scope, Scopes};
use kvs_auth::subject::Subject;
use kvs_auth::subtrees::{SUBTREES_MAX, Subtrees};
use kvs_auth::token::claims::{Claims, scopes_of};
use kvs_auth::token::keys::TokenKeys;
use kvs_auth::token::mint::mint;
use kvs_auth::token::verify::verify;
use kvs_config::config::Config;
use kvs_config::duration::parse_ttl;
use kvs_core::path::Path;
use kvs_store::clock::Clock;
use uuid::Builder;

use crate::clock::SystemClock;
use crate::error::ServerError;
use crate::peer::keys::secrets;
use crate::random::random_bytes;
use crate::root_token;

/// What a token that is minted here allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    scopes: Scopes,
    paths: Option<Subtrees>,
    lifetime_s: u64,
}

impl Grant {
    /// Reads scopes, a lifetime (a day without one) and subtrees (everywhere without any) as they are written on a command
    /// line.
    ///
    /// # Errors
    ///
    /// What is wrong with them, for people.
    pub fn read(scopes: &[String], ttl: Option<&str>, paths: &[String]) -> Result<Self, String> {
        let scopes = scopes_of(scopes)
            .filter(|scopes| !scopes.is_empty())
            .ok_or("--scopes takes some of read, write, delete and admin, each once, with commas between")?;
        let lifetime_s = match ttl {
            None => TOKEN_LIFETIME_DEFAULT_S,
            Some(text) => {
                let ttl = parse_ttl(text).map_err(|error| format!("--ttl: {error}"))?;
                let seconds = ttl.map(|ttl| ttl.as_secs()).filter(|seconds| *seconds <= TOKEN_LIFETIME_MAX_S);
                seconds.ok_or_else(|| {
                    format!(
                        "--ttl takes at least a second and at most {} days",
                        TOKEN_LIFETIME_MAX_S / 86_400
                    )
                })?
            }
        };
        Ok(Self { scopes, paths: subtrees_of(paths)?, lifetime_s })
    }
}

fn subtrees_of(roots: &[String]) -> Result<Option<Subtrees>, String> {
    if roots.is_empty() {
        return Ok(None);
    }
    let read = |root: &String| Path::parse(root).map_err(|error| format!("--paths: {root:?}: {error}"));
    let roots = roots.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Subtrees::new(roots).map(Some).ok_or_else(|| format!("--paths takes at most {SUBTREES_MAX} subtrees"))
}

/// Whether a text names a subject by itself: a user's uuid in lower case, or `root`. Anything else is a nickname.
#[must_use]
pub fn is_subject(name: &str) -> bool {
    Subject::parse(name).is_some()
}

/// The token of root: the one in the data directory while it is good, else a new one, which is put there.
///
/// Whether it was revoked is not known here; a running node replaces one that was.
///
/// # Errors
///
/// [`ServerError::Token`] where no tokens are taken, [`ServerError::RootToken`] when the file cannot be read or written,
/// and those of the cluster's secret.
pub fn root(config: &Config) -> Result<String, ServerError> {
    let (keys, now_s) = (keys(config)?, now_s());
    let failed = |source| ServerError::RootToken { path: root_token::path(&config.data_dir), source };
    if !config.data_dir.is_dir() {
        return Err(failed(io::Error::new(
            io::ErrorKind::NotFound,
            "there is no data directory: start the node once",
        )));
    }
    if let Some(token) = root_token::read(&config.data_dir).map_err(failed)?
        && let Ok(claims) = verify(&token, &keys, now_s, config.max_clock_skew.as_secs())
        && claims.subject == Subject::Root
        && claims.scopes.allow(Scope::Admin)
    {
        return Ok(token);
    }
    let token = root_token::mint_root(&keys, now_s, None).map_err(failed)?;
    root_token::write(&config.data_dir, &token).map_err(failed)?;
    Ok(token)
}

/// A token for a subject, see [`is_subject`].
///
/// # Errors
///
/// [`ServerError::Token`] for a name that is none, and where no tokens are taken; those of the cluster's secret.
pub fn for_subject(config: &Config, name: &str, grant: Grant) -> Result<String, ServerError> {
    let subject = Subject::parse(name).ok_or_else(|| {
        refused("a user is named by its uuid in lower case, and root by this name".to_owned())
    })?;
    let (keys, issued_at_s) = (keys(config)?, now_s());
    let claims = Claims {
        subject,
        jti: Builder::from_random_bytes(random_bytes()?).into_uuid(),
        issued_at_s,
        expires_at_s: issued_at_s.saturating_add(grant.lifetime_s),
        scopes: grant.scopes,
        paths: grant.paths,
    };
    mint(&claims, &keys).map_err(|error| refused(error.to_string()))
}

fn keys(config: &Config) -> Result<TokenKeys, ServerError> {
    if !config.auth_enabled {
        return Err(refused("auth_enabled is false: this node asks nobody for a token".to_owned()));
    }
    let secrets = secrets(config)?.ok_or_else(|| refused("this node has no secret".to_owned()))?;
    Ok(TokenKeys::new(&secrets.current, secrets.previous.as_ref()))
}

fn now_s() -> u64 {
    SystemClock::start().now_ms() / 1000
}

const fn refused(reason: String) -> ServerError {
    ServerError::Token { reason }
}

#[cfg(test)]
mod tests {
    use super::{Grant, for_subject, is_subject, keys, now_s, root};
    use crate::error::ServerError;
    use crate::root_token;
    use kvs_auth::token::claims::Claims;
    use kvs_auth::token::verify::verify;
    use kvs_config::config::{Config, parse};

    const UUID: &str = "0b0d7f9e-9a1c-4a52-8f3e-6f2d1c0a9b8e";

    fn config(text: &str, data_dir: &std::path::Path) -> Config {
        let text = format!("cluster_secret: chosen by us\ndata_dir: {}\n{text}", data_dir.display());
        parse(&text, "/tmp/config.yaml".into(), &|_| None, "node").unwrap()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn claims_of(config: &Config, token: &str) -> Claims {
        verify(token, &keys(config).unwrap(), now_s(), 60).unwrap()
    }

    #[test]
    fn the_token_of_root_is_kept_while_it_is_good_and_replaced_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let config = config("", dir.path());
        let token = root(&config).unwrap();
        assert_eq!(root_token::read(dir.path()).unwrap().as_ref(), Some(&token));
        assert_eq!(root(&config).unwrap(), token);
        let subject = claims_of(&config, &token).subject.to_string();
        assert_eq!(subject, "root");
        let other = for_subject(&config, UUID, Grant::read(&words(&["admin"]), None, &[]).unwrap()).unwrap();
        for bad in ["no token", &other] {
            root_token::write(dir.path(), bad).unwrap();
            let replaced = root(&config).unwrap();
            assert!(replaced != bad && replaced != token);
        }
    }

    #[test]
    fn a_token_says_what_was_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let config = config("", dir.path());
        let grant = Grant::read(&words(&["read", "write"]), Some("90s"), &words(&["/home/ann"])).unwrap();
        let claims = claims_of(&config, &for_subject(&config, UUID, grant).unwrap());
        assert_eq!(claims.subject.to_string(), UUID);
        assert_eq!(claims.expires_at_s - claims.issued_at_s, 90);
        assert_eq!(claims.paths.unwrap().roots()[0].as_str(), "home/ann");
        assert!(is_subject(UUID) && is_subject("root") && !is_subject("ann"));
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (scopes, ttl, paths) in [
            (&[][..], None, &[][..]),
            (&["all"], None, &[]),
            (&["read", "read"], None, &[]),
            (&["read"], Some("0"), &[]),
            (&["read"], Some("soon"), &[]),
            (&["read"], Some("367d"), &[]),
            (&["read"], None, &["a//b"]),
            (&["read"], None, &["a"; 33]),
        ] {
            assert!(Grant::read(&words(scopes), ttl, &words(paths)).is_err(), "{scopes:?} {ttl:?}");
        }
        let dir = tempfile::tempdir().unwrap();
        let off = config("auth_enabled: false\n", dir.path());
        assert!(matches!(root(&off), Err(ServerError::Token { .. })));
        let missing = config("", &dir.path().join("none"));
        assert!(matches!(root(&missing), Err(ServerError::RootToken { .. })));
    }
}
