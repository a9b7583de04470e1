//! Who is asking: from the `Authorization` header to an identity.
//!
//! A token is verified once and then remembered, so that the common request costs one lookup. What is remembered is used
//! only as long as nothing was learnt about users, groups and revocations since: each entry carries the number of the
//! directory that it was made with, so a revocation is heard by the next request, whatever verifications are under way.
//!
//! Nothing else makes an identity: no other header, no cookie, no part of the target, no address.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use kvs_auth::caller::{AnonymousRights, Bearer};
use kvs_auth::directory::{Directory, Learnt};
use kvs_auth::limits::TOKEN_BYTES_MAX;
use kvs_auth::token::keys::TokenKeys;
use kvs_auth::token::verify::verify;
use quick_cache::sync::Cache;

use crate::access::identity::Identity;
use crate::problem::{Code, Problem};

/// Verified tokens that are remembered; each takes its own length and what it says, 8 KiB at most and a few hundred bytes
/// as a rule.
const TOKENS_REMEMBERED_MAX: usize = 4096;

/// Asks for identities, or does not.
#[derive(Debug)]
pub(crate) enum Guard {
    /// `auth_enabled: false`.
    Off,
    /// Accounts are asked for.
    On(Box<Accounts>),
}

/// Accounts, and what was learnt of them.
pub(crate) struct Accounts {
    keys: TokenKeys,
    cursor_key: [u8; 32],
    anonymous: AnonymousRights,
    /// How far ahead a token's time of issue may lie, in seconds.
    skew_s: u64,
    directory: RwLock<Directory>,
    /// The directory's number, read without its lock.
    generation: AtomicU64,
    remembered: Cache<Box<[u8]>, Remembered>,
}

#[derive(Debug, Clone)]
struct Remembered {
    bearer: Arc<Bearer>,
    generation: u64,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Accounts").field("anonymous", &self.anonymous).finish_non_exhaustive()
    }
}

impl Guard {
    /// Who sent these headers at `now_s`, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// [`Code::Unauthorized`]: a token was sent and is not good. Why is told to the log alone.
    pub(crate) fn identify(&self, headers: &HeaderMap, now_s: u64) -> Result<Identity, Problem> {
        match self {
            Self::Off => Ok(Identity::Everybody),
            Self::On(accounts) => accounts.identify(headers, now_s),
        }
    }

    /// Hides where listings end; `None` where everybody may know.
    pub(crate) const fn cursor_key(&self) -> Option<&[u8; 32]> {
        match self {
            Self::Off => None,
            Self::On(accounts) => Some(&accounts.cursor_key),
        }
    }

    /// The accounts; `None` when they are off.
    pub(crate) const fn accounts(&self) -> Option<&Accounts> {
        match self {
            Self::Off => None,
            Self::On(accounts) => Some(accounts),
        }
    }
}

impl Accounts {
    /// Accounts of which nothing is known yet.
    pub(crate) fn new(
        keys: TokenKeys,
        cursor_key: [u8; 32],
        anonymous: AnonymousRights,
        skew_s: u64,
    ) -> Self {
        Self {
            keys,
            cursor_key,
            anonymous,
            skew_s,
            directory: RwLock::default(),
            generation: AtomicU64::new(0),
            remembered: Cache::new(TOKENS_REMEMBERED_MAX),
        }
    }

    /// The keys that tokens are signed with.
    pub(crate) const fn keys(&self) -> &TokenKeys {
        &self.keys
    }

    /// By how many seconds the clocks of two nodes may differ.
    pub(crate) const fn skew_s(&self) -> u64 {
        self.skew_s
    }

    /// What is known of users, groups and revocations. Not to be held over anything that waits.
    pub(crate) fn directory(&self) -> RwLockReadGuard<'_, Directory> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns a record of the `auth` namespace, or that it is gone. What was remembered is void from then on.
    pub(crate) fn learn(&self, path: &str, json: Option<&[u8]>) {
        let mut directory = self.directory.write().unwrap_or_else(PoisonError::into_inner);
        match directory.apply(path, json) {
            Ok(Learnt::Rights | Learnt::Nothing) => {}
            Err(error) => tracing::error!(path, %error, "a record of the accounts cannot be used"),
        }
        self.void_remembered(&directory);
    }

    /// Voids what was remembered if it was made with another directory. Takes it locked: were the number published
    /// behind the lock, an older one could come last and make void entries good again.
    fn void_remembered(&self, locked: &Directory) {
        let generation = locked.generation();
        if self.generation.swap(generation, Ordering::AcqRel) != generation {
            self.remembered.clear();
        }
    }

    /// Refuses every token issued up to this moment, for ever.
    pub(crate) fn refuse_all_until(&self, seconds: u64) {
        let mut directory = self.directory.write().unwrap_or_else(PoisonError::into_inner);
        directory.refuse_all_until(seconds);
        self.void_remembered(&directory);
    }

    /// Whether a token is good at `now_s`.
    ///
    /// # Errors
    ///
    /// Why not, in words for the log.
    pub(crate) fn verify(&self, token: &str, now_s: u64) -> Result<Arc<Bearer>, String> {
        let claims = verify(token, &self.keys, now_s, self.skew_s).map_err(|error| error.to_string())?;
        let directory = self.directory();
        match directory.is_revoked(&claims) {
            Some(reason) => Err(format!("the token is revoked ({reason:?})")),
            None => Ok(Arc::new(directory.bearer(&claims))),
        }
    }

    /// Whether a token that was good at the beginning of its request was not revoked since. A body may come slowly, and
    /// what it asks for is not done once its token is revoked.
    ///
    /// # Errors
    ///
    /// [`Code::Unauthorized`].
    pub(crate) fn expect_good(&self, bearer: &Bearer) -> Result<(), Problem> {
        match self.directory().is_refused_by_now(bearer) {
            Some(reason) => Err(bad_token(format!("the token was revoked meanwhile ({reason:?})"))),
            None => Ok(()),
        }
    }

    fn identify(&self, headers: &HeaderMap, now_s: u64) -> Result<Identity, Problem> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let Some(first) = given.next() else { return Ok(Identity::Anonymous(self.anonymous)) };
        if given.next().is_some() {
            return Err(bad_token("more than one Authorization header"));
        }
        let token =
            token_of(first.as_bytes()).ok_or_else(|| bad_token("Authorization is no Bearer token"))?;
        let generation = self.generation.load(Ordering::Acquire);
        if let Some(known) = self.remembered.get(token)
            && known.generation == generation
            && now_s < known.bearer.expires_at_s
        {
            return Ok(Identity::Bearer(known.bearer));
        }
        let text = std::str::from_utf8(token).map_err(|_| bad_token("the token is no text"))?;
        let bearer = self.verify(text, now_s).map_err(bad_token)?;
        self.remembered.insert(token.into(), Remembered { bearer: Arc::clone(&bearer), generation });
        Ok(Identity::Bearer(bearer))
    }
}

/// What follows `Bearer`, whose case does not matter (RFC 9110 section 11.1).
fn token_of(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = authorization.split_at_checked(b"Bearer".len())?;
    let token = rest.strip_prefix(b" ")?.trim_ascii();
    let is_bearer = scheme.eq_ignore_ascii_case(b"Bearer");
    (is_bearer && !token.is_empty() && token.len() <= TOKEN_BYTES_MAX).then_some(token)
}

/// One answer for every bad token; the reason is for the log.
fn bad_token(reason: impl Into<String>) -> Problem {
    Problem {
        inner: Some(reason.into()),
        ..Problem::new(Code::Unauthorized, "the token is not valid: it is malformed, expired or revoked")
    }
}

#[cfg(test)]
mod tests {
    use super::token_of;

    #[test]
    fn only_a_bearer_token_is_one() {
        assert_eq!(token_of(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(token_of(b"bEARER   abc "), Some(&b"abc"[..]));
        for bad in [&b""[..], b"Bearer", b"Bearer ", b"Bearerabc", b"Basic abc", b"abc", b"Bearer\tabc"] {
            assert_eq!(token_of(bad), None);
        }
        assert_eq!(token_of(&[b"Bearer ".as_slice(), &[b'a'; 9000]].concat()), None);
    }
}
