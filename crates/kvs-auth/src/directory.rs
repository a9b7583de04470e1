//! What a node knows of users, groups and revocations, learnt record by record from the `auth` namespace.
//!
//! Users and groups follow their records. Revocations and floors only ever grow: that a record of them exists is enough,
//! whatever it says, and its removal is not heard. So the order in which records arrive, repeated or not, never matters
//! to what is refused in the end, and nothing that was refused is accepted again (but the tokens of a user who was
//! disabled and is enabled again).
//!
//! A record that cannot be read grants nothing: its user's tokens are refused until it can be, its group has no members.
//! A user without a record is not refused: the record may be on its way, and a deleted user has left a floor.
//!
//! **Invariant:** `memberships` is exactly the inverse of the members in `groups`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;

use kvs_core::record::Principal;
use uuid::Uuid;

use crate::accounts::error::AccountError;
use crate::accounts::group::Group;
use crate::accounts::place::{FLOOR_FOR_EVER, Place};
use crate::accounts::user::{Standing, User};
use crate::caller::Bearer;
use crate::subject::Subject;
use crate::token::claims::Claims;

/// Why an authentic token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// It is on the list.
    Listed,
    /// All tokens of its user were revoked after it was issued.
    BelowFloor,
    /// Its user was deleted.
    UserDeleted,
    /// Its user is disabled.
    UserDisabled,
    /// Its user's record cannot be read.
    UserUnreadable,
    /// It was issued before this node was restored from a backup, which may lack revocations.
    BeforeRestore,
}

/// What learning a record did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learnt {
    /// Nothing that was not known.
    Nothing,
    /// The rights of somebody may be others now; answers from before must not be used.
    Rights,
}

/// Users, groups and revocations. Plain data: whoever shares it locks it.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    users: BTreeMap<Uuid, User>,
    unreadable: HashSet<Uuid>,
    groups: BTreeMap<Uuid, Group>,
    memberships: HashMap<Uuid, BTreeSet<Uuid>>,
    revoked: HashSet<Uuid>,
    floors: HashMap<Subject, u64>,
    all_floor_s: Option<u64>,
    generation: u64,
}

impl Directory {
    /// A directory that knows nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Learns the record at a path of the `auth` namespace, or (`None`) that there is none.
    ///
    /// # Errors
    ///
    /// Why the record cannot be read, or that no account lies at this path. What could not be read grants nothing from
    /// now on, which may have changed rights: [`Self::generation`] tells.
    pub fn apply(&mut self, path: &str, json: Option<&[u8]>) -> Result<Learnt, AccountError> {
        let (learnt, outcome) = match (Place::parse(path).ok_or(AccountError::Place)?, json) {
            (Place::User(user), json) => self.learn_user(user, json),
            (Place::Group(group), json) => self.learn_group(group, json),
            (Place::Revoked(jti), Some(_)) => (changed(self.revoked.insert(jti)), Ok(())),
            (Place::Floor { of, seconds }, Some(_)) => (self.raise_floor(of, seconds), Ok(())),
            (Place::Revoked(_) | Place::Floor { .. }, None) | (Place::Token(_), _) => {
                (Learnt::Nothing, Ok(()))
            }
        };
        if learnt == Learnt::Rights {
            self.generation = self.generation.wrapping_add(1);
        }
        outcome.map(|()| learnt)
    }

    /// Refuses every token issued in this second or before; set by a node that was restored from a backup. Only grows.
    pub fn refuse_all_until(&mut self, seconds: u64) {
        if self.all_floor_s.is_none_or(|known| known < seconds) {
            self.all_floor_s = Some(seconds);
            self.generation = self.generation.wrapping_add(1);
        }
    }

    /// A number that is another one whenever an answer of this directory about somebody's rights may be another one.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether an authentic token is refused, and why.
    #[must_use]
    pub fn is_revoked(&self, claims: &Claims) -> Option<Revoked> {
        self.refusal(claims.subject, claims.jti, claims.issued_at_s)
    }

    /// Whether a token that was good when it was presented is refused by now, and why.
    #[must_use]
    pub fn is_refused_by_now(&self, bearer: &Bearer) -> Option<Revoked> {
        // A subject is what every bearer was made of.
        let subject = Subject::parse(bearer.user.as_str())?;
        self.refusal(subject, bearer.jti, bearer.issued_at_s)
    }

    fn refusal(&self, subject: Subject, jti: Uuid, issued_at_s: u64) -> Option<Revoked> {
        if self.revoked.contains(&jti) {
            return Some(Revoked::Listed);
        }
        match self.floors.get(&subject) {
            Some(&FLOOR_FOR_EVER) => return Some(Revoked::UserDeleted),
            Some(&floor) if issued_at_s <= floor => return Some(Revoked::BelowFloor),
            Some(_) | None => {}
        }
        if self.all_floor_s.is_some_and(|floor| issued_at_s <= floor) {
            return Some(Revoked::BeforeRestore);
        }
        let user = subject.user()?;
        if self.unreadable.contains(&user) {
            return Some(Revoked::UserUnreadable);
        }
        let standing = self.users.get(&user).map(|user| user.standing);
        (standing == Some(Standing::Disabled)).then_some(Revoked::UserDisabled)
    }

    /// Whether this token is on the list of those revoked by themselves.
    #[must_use]
    pub fn lists(&self, jti: Uuid) -> bool {
        self.revoked.contains(&jti)
    }

    /// How many tokens are on that list.
    #[must_use]
    pub fn revocations(&self) -> usize {
        self.revoked.len()
    }

    /// The floor under the tokens of a subject, in seconds since 1970: a token must be issued later. `None` when nothing
    /// was revoked, [`FLOOR_FOR_EVER`] when it was deleted.
    #[must_use]
    pub fn floor(&self, subject: Subject) -> Option<u64> {
        self.floors.get(&subject).copied().max(self.all_floor_s)
    }

    /// What the accounts and a verified token say together.
    #[must_use]
    pub fn bearer(&self, claims: &Claims) -> Bearer {
        Bearer {
            user: claims.subject.principal(),
            groups: claims.subject.user().map_or_else(Vec::new, |user| {
                self.groups_of(user).map(|group| Subject::User(group).principal()).collect::<Vec<Principal>>()
            }),
            scopes: claims.scopes,
            paths: claims.paths.clone(),
            jti: claims.jti,
            issued_at_s: claims.issued_at_s,
            expires_at_s: claims.expires_at_s,
        }
    }

    /// A user.
    #[must_use]
    pub fn user(&self, user: Uuid) -> Option<&User> {
        self.users.get(&user)
    }

    /// All users, by uuid.
    pub fn users(&self) -> impl ExactSizeIterator<Item = (Uuid, &User)> {
        self.users.iter().map(|(uuid, user)| (*uuid, user))
    }

    /// The users behind a uuid, by uuid; all without one.
    pub fn users_after(&self, after: Option<Uuid>) -> impl Iterator<Item = (Uuid, &User)> {
        self.users.range((bound(after), Bound::Unbounded)).map(|(uuid, user)| (*uuid, user))
    }

    /// A group.
    #[must_use]
    pub fn group(&self, group: Uuid) -> Option<&Group> {
        self.groups.get(&group)
    }

    /// All groups, by uuid.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (Uuid, &Group)> {
        self.groups.iter().map(|(uuid, group)| (*uuid, group))
    }

    /// The groups behind a uuid, by uuid; all without one.
    pub fn groups_after(&self, after: Option<Uuid>) -> impl Iterator<Item = (Uuid, &Group)> {
        self.groups.range((bound(after), Bound::Unbounded)).map(|(uuid, group)| (*uuid, group))
    }

    /// The groups that a user is a member of, by uuid.
    pub fn groups_of(&self, user: Uuid) -> impl Iterator<Item = Uuid> {
        self.memberships.get(&user).into_iter().flatten().copied()
    }

    fn learn_user(&mut self, uuid: Uuid, json: Option<&[u8]>) -> (Learnt, Result<(), AccountError>) {
        match json.map(User::read) {
            None => {
                let was_unreadable = self.unreadable.remove(&uuid);
                (changed(self.users.remove(&uuid).is_some() || was_unreadable), Ok(()))
            }
            Some(Ok(user)) => {
                let was_unreadable = self.unreadable.remove(&uuid);
                let differs = self.users.get(&uuid) != Some(&user);
                self.users.insert(uuid, user);
                (changed(differs || was_unreadable), Ok(()))
            }
            Some(Err(error)) => {
                let was_readable = self.unreadable.insert(uuid);
                (changed(self.users.remove(&uuid).is_some() || was_readable), Err(error))
            }
        }
    }

    fn learn_group(&mut self, uuid: Uuid, json: Option<&[u8]>) -> (Learnt, Result<(), AccountError>) {
        let (group, outcome) = match json.map(Group::read) {
            None => (None, Ok(())),
            Some(Ok(group)) => (Some(group), Ok(())),
            Some(Err(error)) => (None, Err(error)),
        };
        if self.groups.get(&uuid) == group.as_ref() {
            return (Learnt::Nothing, outcome);
        }
        for member in self.groups.remove(&uuid).into_iter().flat_map(|old| old.members) {
            if let Some(groups) = self.memberships.get_mut(&member) {
                groups.remove(&uuid);
                if groups.is_empty() {
                    self.memberships.remove(&member);
                }
            }
        }
        if let Some(group) = group {
            for member in &group.members {
                self.memberships.entry(*member).or_default().insert(uuid);
            }
            self.groups.insert(uuid, group);
        }
        (Learnt::Rights, outcome)
    }

    fn raise_floor(&mut self, of: Subject, seconds: u64) -> Learnt {
        match self.floors.get_mut(&of) {
            Some(known) if *known >= seconds => Learnt::Nothing,
            Some(known) => {
                *known = seconds;
                Learnt::Rights
            }
            None => {
                self.floors.insert(of, seconds);
                Learnt::Rights
            }
        }
    }
}

fn bound(after: Option<Uuid>) -> Bound<Uuid> {
    after.map_or(Bound::Unbounded, Bound::Excluded)
}

const fn changed(is_news: bool) -> Learnt {
    if is_news { Learnt::Rights } else { Learnt::Nothing }
}
