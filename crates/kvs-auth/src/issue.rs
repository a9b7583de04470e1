//! What token a caller may have made, and how deep all tokens of a user are revoked.
//!
//! Pure: the clock, the number of the token and what is known of the accounts are arguments.

use uuid::Uuid;

use crate::accounts::place::FLOOR_FOR_EVER;
use crate::accounts::user::Standing;
use crate::caller::{Bearer, Caller};
use crate::decision::Denied;
use crate::directory::Directory;
use crate::limits::TOKEN_LIFETIME_DEFAULT_S;
use crate::scopes::Scopes;
use crate::subject::Subject;
use crate::subtrees::Subtrees;
use crate::token::claims::Claims;
use crate::token::error::TokenError;

/// A token that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// For whom; `None` for the caller itself.
    pub subject: Option<Subject>,
    /// What it is to allow.
    pub scopes: Scopes,
    /// How long it is to live, in seconds; `None` for a day, or less where the caller's own token ends before.
    pub lifetime_s: Option<u64>,
    /// Where; `None` for wherever the caller may give.
    pub paths: Option<Subtrees>,
}

/// When a token is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// In seconds since 1970.
    pub now_s: u64,
    /// By how many seconds the clocks of two nodes may differ.
    pub skew_s: u64,
}

/// Why a token is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotIssued {
    /// The caller may make none, or none for somebody else.
    #[error("the caller may not")]
    Denied(Denied),
    /// The token would allow more, elsewhere, or for longer than the one that asks for it.
    #[error("a token is made within the scopes, paths and life of the one that asks for it")]
    Wider,
    /// There is no such user.
    #[error("there is no such user")]
    UnknownUser,
    /// The user is disabled.
    #[error("the user is disabled")]
    UserDisabled,
    /// All tokens of the user were revoked by a clock that is ahead of this one.
    #[error("the tokens of this user were revoked by a clock that is ahead; ask again in a moment")]
    TooSoon,
    /// The token cannot be.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// What a token with this random number may say, if this caller may have it.
///
/// An administrator of the whole node may have any token for root and for any user that is known. Everybody else may
/// have tokens for themselves that do not reach beyond the one that they present. Those count as issued when that one was:
/// a floor that refuses it refuses them too, also where they are made on a node that has not heard of the floor yet.
///
/// # Errors
///
/// Why not.
pub fn claims_for(
    caller: &Caller<'_>,
    wish: &Wish,
    directory: &Directory,
    jti: Uuid,
    moment: Moment,
) -> Result<Claims, NotIssued> {
    let bearer = match caller {
        Caller::Bearer(bearer) => *bearer,
        Caller::Anonymous(_) => return Err(NotIssued::Denied(Denied::Unauthorized)),
        Caller::Everybody => return Err(NotIssued::Denied(Denied::Forbidden)),
    };
    let own = Subject::parse(bearer.user.as_str()).ok_or(NotIssued::UnknownUser)?;
    let subject = wish.subject.unwrap_or(own);
    let is_admin = caller.is_admin_everywhere();
    if !is_admin && subject != own {
        return Err(NotIssued::Denied(Denied::Forbidden));
    }
    let issued_at_s = if is_admin {
        expect_user(directory, subject)?;
        first_issue(directory, subject, moment)?
    } else {
        // It may have been revoked since it was verified.
        if directory.is_refused_by_now(bearer).is_some() {
            return Err(NotIssued::Denied(Denied::Unauthorized));
        }
        bearer.issued_at_s
    };
    let lifetime_s = wish.lifetime_s.unwrap_or(TOKEN_LIFETIME_DEFAULT_S);
    if lifetime_s == 0 {
        return Err(TokenError::Lifetime.into());
    }
    let mut claims = Claims {
        subject,
        jti,
        issued_at_s,
        expires_at_s: issued_at_s.max(moment.now_s).saturating_add(lifetime_s),
        scopes: wish.scopes,
        paths: wish.paths.clone(),
    };
    if !is_admin {
        keep_within(&mut claims, wish, bearer)?;
    }
    claims.check()?;
    Ok(claims)
}

/// The floor that revokes all tokens of a subject that exist now, with the one that there is.
///
/// It is now, or a second above the floor that there is already: a token may have been made since. It never climbs beyond
/// what clocks may differ by, so that whoever revokes often does not keep out new tokens; single tokens that were issued
/// above it have to be revoked one by one.
#[must_use]
pub fn next_floor(known: Option<u64>, moment: Moment) -> u64 {
    let above = known.map_or(0, |floor| floor.saturating_add(1));
    let highest = moment.now_s.saturating_add(moment.skew_s);
    moment.now_s.max(above.min(highest)).max(known.unwrap_or(0))
}

fn expect_user(directory: &Directory, subject: Subject) -> Result<(), NotIssued> {
    let Some(user) = subject.user() else { return Ok(()) };
    match directory.user(user).map(|user| user.standing) {
        Some(Standing::Enabled) => Ok(()),
        Some(Standing::Disabled) => Err(NotIssued::UserDisabled),
        None => Err(NotIssued::UnknownUser),
    }
}

/// The time of issue: now, or right above the floor, if other nodes will take that.
fn first_issue(directory: &Directory, subject: Subject, moment: Moment) -> Result<u64, NotIssued> {
    match directory.floor(subject) {
        None => Ok(moment.now_s),
        Some(FLOOR_FOR_EVER) => Err(NotIssued::UnknownUser),
        Some(floor) if floor >= moment.now_s.saturating_add(moment.skew_s) => Err(NotIssued::TooSoon),
        Some(floor) => Ok(moment.now_s.max(floor + 1)),
    }
}

/// Keeps a token within the one that asks for it; what the wish leaves open is taken from there.
fn keep_within(claims: &mut Claims, wish: &Wish, bearer: &Bearer) -> Result<(), NotIssued> {
    if wish.lifetime_s.is_none() {
        claims.expires_at_s = claims.expires_at_s.min(bearer.expires_at_s);
    }
    match (&claims.paths, &bearer.paths) {
        (Some(wished), Some(own)) if !wished.are_within(own) => return Err(NotIssued::Wider),
        (None, Some(own)) => claims.paths = Some(own.clone()),
        (_, None) | (Some(_), Some(_)) => {}
    }
    let is_within = claims.scopes.are_within(bearer.scopes) && claims.expires_at_s <= bearer.expires_at_s;
    if is_within { Ok(()) } else { Err(NotIssued::Wider) }
}

#[cfg(test)]
mod tests {
    use super::{Moment, NotIssued, Wish, claims_for, next_floor};
    use crate::accounts::place::{FLOOR_FOR_EVER, Place};
    use crate::caller::{AnonymousRights, Bearer, Caller};
    use crate::decision::Denied;
    use crate::directory::{Directory, Revoked};
    use crate::limits::{TOKEN_LIFETIME_DEFAULT_S, TOKEN_LIFETIME_MAX_S};
    use crate::scopes::{Scope, Scopes};
    use crate::subject::Subject;
    use crate::subtrees::Subtrees;
    use crate::token::claims::Claims;
    use crate::token::error::TokenError;
    use kvs_core::path::Path;
    use uuid::Uuid;

    const ANN: Subject = Subject::User(Uuid::from_u128(0xa));
    const BOB: Subject = Subject::User(Uuid::from_u128(0xb));
    const EVE: Subject = Subject::User(Uuid::from_u128(0xe));
    const JTI: Uuid = Uuid::from_u128(7);
    const NOW: Moment = Moment { now_s: 1_000_000, skew_s: 60 };

    fn directory() -> Directory {
        let mut directory = Directory::new();
        for (user, json) in [
            (ANN, r#"{"nickname":"ann","created_at":1}"#),
            (BOB, r#"{"nickname":"bob","created_at":1,"disabled":true}"#),
        ] {
            let place = Place::User(user.user().unwrap());
            directory.apply(&place.to_string(), Some(json.as_bytes())).unwrap();
        }
        directory
    }

    fn subtrees(roots: &[&str]) -> Option<Subtrees> {
        Subtrees::new(roots.iter().map(|root| Path::parse(root).unwrap()).collect())
    }

    fn scopes(scopes: &[Scope]) -> Scopes {
        scopes.iter().copied().collect()
    }

    fn bearer(user: Subject, scopes: Scopes, paths: Option<Subtrees>) -> Bearer {
        Bearer {
            user: user.principal(),
            groups: Vec::new(),
            scopes,
            paths,
            jti: Uuid::from_u128(1),
            issued_at_s: NOW.now_s - 10,
            expires_at_s: NOW.now_s + 3600,
        }
    }

    fn wish(subject: Option<Subject>, scopes: Scopes) -> Wish {
        Wish { subject, scopes, lifetime_s: None, paths: None }
    }

    fn asked(bearer: &Bearer, wish: &Wish) -> Result<Claims, NotIssued> {
        claims_for(&Caller::Bearer(bearer), wish, &directory(), JTI, NOW)
    }

    #[test]
    fn an_administrator_makes_any_token_for_whoever_is_known() {
        let root = bearer(Subject::Root, scopes(&[Scope::Admin]), None);
        let all = scopes(&Scope::ALL);
        for subject in [Subject::Root, ANN] {
            let claims = asked(&root, &wish(Some(subject), all)).unwrap();
            assert_eq!((claims.subject, claims.scopes, claims.jti), (subject, all, JTI));
            assert_eq!(claims.expires_at_s - claims.issued_at_s, TOKEN_LIFETIME_DEFAULT_S);
        }
        assert_eq!(asked(&root, &wish(None, all)).unwrap().subject, Subject::Root);
        assert_eq!(asked(&root, &wish(Some(EVE), all)), Err(NotIssued::UnknownUser));
        assert_eq!(asked(&root, &wish(Some(BOB), all)), Err(NotIssued::UserDisabled));
        let long = Wish { lifetime_s: Some(TOKEN_LIFETIME_MAX_S), ..wish(Some(ANN), all) };
        assert!(asked(&root, &long).is_ok());
        let longer = Wish { lifetime_s: Some(TOKEN_LIFETIME_MAX_S + 1), ..long };
        assert_eq!(asked(&root, &longer), Err(NotIssued::Token(TokenError::Lifetime)));
        assert_eq!(asked(&root, &wish(Some(ANN), Scopes::NONE)), Err(NotIssued::Token(TokenError::NoScope)));
    }

    #[test]
    fn a_user_makes_tokens_for_itself_that_reach_no_further() {
        let ann = bearer(ANN, scopes(&[Scope::Read, Scope::Write]), None);
        let claims = asked(&ann, &wish(None, scopes(&[Scope::Read]))).unwrap();
        assert_eq!((claims.subject, claims.expires_at_s), (ANN, ann.expires_at_s));
        assert!(asked(&ann, &wish(Some(ANN), ann.scopes)).is_ok());
        for wider in [Scope::Delete, Scope::Admin] {
            assert_eq!(asked(&ann, &wish(None, scopes(&[Scope::Read, wider]))), Err(NotIssued::Wider));
        }
        for other in [Subject::Root, BOB, EVE] {
            let denied = NotIssued::Denied(Denied::Forbidden);
            assert_eq!(asked(&ann, &wish(Some(other), scopes(&[Scope::Read]))), Err(denied));
        }
        let lives = |lifetime_s| Wish { lifetime_s: Some(lifetime_s), ..wish(None, scopes(&[Scope::Read])) };
        assert!(asked(&ann, &lives(3600)).is_ok());
        assert_eq!(asked(&ann, &lives(3601)), Err(NotIssued::Wider));
        assert_eq!(asked(&ann, &lives(0)), Err(NotIssued::Token(TokenError::Lifetime)));
    }

    #[test]
    fn a_floor_that_refuses_a_token_refuses_what_was_made_with_it() {
        let ann = bearer(ANN, scopes(&[Scope::Read]), None);
        let made = asked(&ann, &wish(None, ann.scopes)).unwrap();
        // Before anybody here has heard of the floor, and after the second that it names.
        let mut later = directory();
        let floor = Place::Floor { of: ANN, seconds: ann.issued_at_s };
        later.apply(&floor.to_string(), Some(b"{}")).unwrap();
        assert_eq!(later.is_revoked(&made), Some(Revoked::BelowFloor));
        let again = claims_for(&Caller::Bearer(&ann), &wish(None, ann.scopes), &later, JTI, NOW);
        assert_eq!(again, Err(NotIssued::Denied(Denied::Unauthorized)));
        let minute = Wish { lifetime_s: Some(60), ..wish(None, ann.scopes) };
        assert_eq!(asked(&ann, &minute).unwrap().expires_at_s, NOW.now_s + 60);
    }

    #[test]
    fn subtrees_are_inherited_or_narrowed_and_make_no_administrator() {
        let read = scopes(&[Scope::Read]);
        let ann = bearer(ANN, scopes(&[Scope::Admin]), subtrees(&["home/ann"]));
        assert_eq!(asked(&ann, &wish(None, read)).unwrap().paths, subtrees(&["home/ann"]));
        let within = |roots: &[&str]| Wish { paths: subtrees(roots), ..wish(None, read) };
        assert_eq!(asked(&ann, &within(&["home/ann/x"])).unwrap().paths, subtrees(&["home/ann/x"]));
        assert_eq!(asked(&ann, &within(&["home"])), Err(NotIssued::Wider));
        assert_eq!(asked(&ann, &within(&["home/ann", "pub"])), Err(NotIssued::Wider));
        assert_eq!(asked(&ann, &wish(Some(BOB), read)), Err(NotIssued::Denied(Denied::Forbidden)));
    }

    #[test]
    fn nobody_without_a_token_makes_one() {
        let anonymous = Caller::Anonymous(AnonymousRights { may_read: true, may_write: true });
        let made = claims_for(&anonymous, &wish(Some(ANN), scopes(&[Scope::Read])), &directory(), JTI, NOW);
        assert_eq!(made, Err(NotIssued::Denied(Denied::Unauthorized)));
    }

    #[test]
    fn a_token_is_issued_above_the_floor_or_not_at_all() {
        let root = bearer(Subject::Root, scopes(&[Scope::Admin]), None);
        for (seconds, expected) in [
            (NOW.now_s - 5, Ok(NOW.now_s)),
            (NOW.now_s, Ok(NOW.now_s + 1)),
            (NOW.now_s + 59, Ok(NOW.now_s + 60)),
            (NOW.now_s + 60, Err(NotIssued::TooSoon)),
            (FLOOR_FOR_EVER, Err(NotIssued::UnknownUser)),
        ] {
            let mut directory = directory();
            directory.apply(&Place::Floor { of: ANN, seconds }.to_string(), Some(b"{}")).unwrap();
            let wish = wish(Some(ANN), scopes(&[Scope::Read]));
            let made = claims_for(&Caller::Bearer(&root), &wish, &directory, JTI, NOW);
            assert_eq!(made.as_ref().map(|claims| claims.issued_at_s).map_err(|error| *error), expected);
            if let Ok(claims) = made {
                assert_eq!(directory.is_revoked(&claims), None);
            }
        }
    }

    #[test]
    fn a_floor_covers_what_was_made_and_does_not_run_away() {
        assert_eq!(next_floor(None, NOW), NOW.now_s);
        assert_eq!(next_floor(Some(5), NOW), NOW.now_s);
        assert_eq!(next_floor(Some(NOW.now_s), NOW), NOW.now_s + 1);
        assert_eq!(next_floor(Some(NOW.now_s + 59), NOW), NOW.now_s + 60);
        assert_eq!(next_floor(Some(NOW.now_s + 60), NOW), NOW.now_s + 60);
        assert_eq!(next_floor(Some(NOW.now_s + 500), NOW), NOW.now_s + 500);
        assert_eq!(next_floor(Some(FLOOR_FOR_EVER), NOW), FLOOR_FOR_EVER);
    }
}
