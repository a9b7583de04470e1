//! What a directory makes of records, in whatever order they come.
#![expect(clippy::unwrap_used, reason = "a failing step must fail the test")]

use kvs_auth::accounts::error::AccountError;
use kvs_auth::accounts::place::{FLOOR_FOR_EVER, FLOOR_JSON, Place};
use kvs_auth::directory::{Directory, Learnt, Revoked};
use kvs_auth::scopes::{Scope, Scopes};
use kvs_auth::subject::Subject;
use kvs_auth::token::claims::Claims;
use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use uuid::Uuid;

const ANN: Uuid = Uuid::from_u128(0xa);
const BOB: Uuid = Uuid::from_u128(0xb);
const STAFF: Uuid = Uuid::from_u128(0x10);
const GUESTS: Uuid = Uuid::from_u128(0x11);

fn claims(subject: Subject, jti: u128, issued_at_s: u64) -> Claims {
    Claims {
        subject,
        jti: Uuid::from_u128(jti),
        issued_at_s,
        expires_at_s: issued_at_s + 60,
        scopes: Scopes::NONE.with(Scope::Read),
        paths: None,
    }
}

fn learn(directory: &mut Directory, place: Place, json: &str) -> Learnt {
    directory.apply(&place.to_string(), Some(json.as_bytes())).unwrap()
}

fn forget(directory: &mut Directory, place: Place) -> Learnt {
    directory.apply(&place.to_string(), None).unwrap()
}

fn groups_of(directory: &Directory, user: Uuid) -> Vec<Uuid> {
    directory.groups_of(user).collect()
}

#[test]
fn users_follow_their_records() {
    let mut directory = Directory::new();
    let user = r#"{"nickname":"ann","created_at":5}"#;
    assert_eq!(directory.generation(), 0);
    assert_eq!(learn(&mut directory, Place::User(ANN), user), Learnt::Rights);
    assert_eq!(learn(&mut directory, Place::User(ANN), user), Learnt::Nothing);
    assert_eq!(directory.generation(), 1);
    assert_eq!(directory.user(ANN).unwrap().nickname.as_str(), "ann");
    let listed: Vec<Uuid> = directory.users().map(|(uuid, _)| uuid).collect();
    assert_eq!(listed, [ANN]);
    assert_eq!(forget(&mut directory, Place::User(ANN)), Learnt::Rights);
    assert_eq!(forget(&mut directory, Place::User(ANN)), Learnt::Nothing);
    assert!(directory.user(ANN).is_none());
}

#[test]
fn the_groups_of_a_user_follow_the_members_of_groups() {
    let mut directory = Directory::new();
    let both = format!(r#"{{"name":"staff","members":["{ANN}","{BOB}"]}}"#);
    let ann = format!(r#"{{"name":"guests","members":["{ANN}"]}}"#);
    assert_eq!(learn(&mut directory, Place::Group(STAFF), &both), Learnt::Rights);
    assert_eq!(learn(&mut directory, Place::Group(GUESTS), &ann), Learnt::Rights);
    assert_eq!(learn(&mut directory, Place::Group(GUESTS), &ann), Learnt::Nothing);
    assert_eq!(groups_of(&directory, ANN), [STAFF, GUESTS]);
    assert_eq!(groups_of(&directory, BOB), [STAFF]);
    let bearer = directory.bearer(&claims(Subject::User(ANN), 1, 1));
    assert_eq!(bearer.user.as_str(), ANN.to_string());
    assert_eq!(
        bearer.groups.iter().map(|group| group.as_str()).collect::<Vec<_>>(),
        [STAFF.to_string(), GUESTS.to_string()]
    );
    let ann = ann.replace("guests", "staff");
    assert_eq!(learn(&mut directory, Place::Group(STAFF), &ann), Learnt::Rights);
    assert!(groups_of(&directory, BOB).is_empty());
    forget(&mut directory, Place::Group(STAFF));
    assert_eq!(groups_of(&directory, ANN), [GUESTS]);
    assert!(directory.group(STAFF).is_none());
    assert!(directory.bearer(&claims(Subject::Root, 1, 1)).groups.is_empty());
}

#[test]
fn a_listed_token_and_tokens_up_to_the_floor_are_refused_for_ever() {
    let mut directory = Directory::new();
    let (ann, bob) = (Subject::User(ANN), Subject::User(BOB));
    assert_eq!(directory.is_revoked(&claims(ann, 1, 100)), None);
    learn(&mut directory, Place::Revoked(Uuid::from_u128(1)), "what it says does not matter");
    assert_eq!(directory.is_revoked(&claims(ann, 1, 100)), Some(Revoked::Listed));
    assert_eq!(directory.is_revoked(&claims(ann, 2, 100)), None);

    learn(&mut directory, Place::Floor { of: ann, seconds: 100 }, "{}");
    assert_eq!(learn(&mut directory, Place::Floor { of: ann, seconds: 50 }, "{}"), Learnt::Nothing);
    assert_eq!(directory.floor(ann), Some(100));
    assert_eq!(directory.is_revoked(&claims(ann, 2, 100)), Some(Revoked::BelowFloor));
    assert_eq!(directory.is_revoked(&claims(ann, 2, 101)), None);
    assert_eq!(directory.is_revoked(&claims(bob, 2, 100)), None);

    for place in [Place::Revoked(Uuid::from_u128(1)), Place::Floor { of: ann, seconds: 100 }] {
        assert_eq!(forget(&mut directory, place), Learnt::Nothing);
    }
    assert_eq!(directory.is_revoked(&claims(ann, 1, 200)), Some(Revoked::Listed));
    assert_eq!(directory.is_revoked(&claims(ann, 2, 100)), Some(Revoked::BelowFloor));
}

#[test]
fn a_deleted_user_stays_refused_even_when_its_record_comes_again() {
    let mut directory = Directory::new();
    let ann = Subject::User(ANN);
    learn(&mut directory, Place::Floor { of: ann, seconds: FLOOR_FOR_EVER }, "{}");
    learn(&mut directory, Place::User(ANN), r#"{"nickname":"ann","created_at":5}"#);
    assert_eq!(directory.is_revoked(&claims(ann, 1, u64::MAX - 60)), Some(Revoked::UserDeleted));
    assert_eq!(directory.floor(ann), Some(FLOOR_FOR_EVER));
}

#[test]
fn a_disabled_user_is_refused_until_enabled_and_an_unknown_one_is_not() {
    let mut directory = Directory::new();
    let ann = claims(Subject::User(ANN), 1, 100);
    assert_eq!(directory.is_revoked(&ann), None);
    learn(&mut directory, Place::User(ANN), r#"{"nickname":"ann","created_at":5,"disabled":true}"#);
    assert_eq!(directory.is_revoked(&ann), Some(Revoked::UserDisabled));
    learn(&mut directory, Place::User(ANN), r#"{"nickname":"ann","created_at":5}"#);
    assert_eq!(directory.is_revoked(&ann), None);
}

#[test]
fn a_restored_node_refuses_whatever_was_issued_before() {
    let mut directory = Directory::new();
    directory.refuse_all_until(100);
    directory.refuse_all_until(50);
    for subject in [Subject::Root, Subject::User(ANN)] {
        assert_eq!(directory.is_revoked(&claims(subject, 1, 100)), Some(Revoked::BeforeRestore));
        assert_eq!(directory.is_revoked(&claims(subject, 1, 101)), None);
        assert_eq!(directory.floor(subject), Some(100));
    }
    assert_eq!(directory.generation(), 1);
}

#[test]
fn a_record_that_cannot_be_read_grants_nothing() {
    let mut directory = Directory::new();
    let ann = claims(Subject::User(ANN), 1, 100);
    let staff = format!(r#"{{"name":"staff","members":["{ANN}"]}}"#);
    learn(&mut directory, Place::User(ANN), r#"{"nickname":"ann","created_at":5}"#);
    learn(&mut directory, Place::Group(STAFF), &staff);
    let before = directory.generation();
    let user = Place::User(ANN).to_string();
    assert_eq!(directory.apply(&user, Some(b"{}")), Err(AccountError::Json));
    assert_eq!(directory.is_revoked(&ann), Some(Revoked::UserUnreadable));
    assert_eq!(directory.apply(&Place::Group(STAFF).to_string(), Some(b"[]")), Err(AccountError::Json));
    assert!(groups_of(&directory, ANN).is_empty());
    assert_eq!(directory.generation(), before + 2);
    learn(&mut directory, Place::User(ANN), r#"{"nickname":"ann","created_at":5}"#);
    assert_eq!(directory.is_revoked(&ann), None);
    assert_eq!(directory.apply(&user, Some(b"")), Err(AccountError::Json));
    assert_eq!(forget(&mut directory, Place::User(ANN)), Learnt::Rights);
    assert_eq!(directory.is_revoked(&ann), None);
}

#[test]
fn issued_tokens_change_no_rights_and_other_paths_are_an_error() {
    let mut directory = Directory::new();
    assert_eq!(learn(&mut directory, Place::Token(ANN), "{}"), Learnt::Nothing);
    assert_eq!(directory.apply("users/ann", Some(b"{}")), Err(AccountError::Place));
    assert_eq!(directory.generation(), 0);
}

/// One record, or its removal.
type Step = (Place, Option<Vec<u8>>);

fn subject() -> impl Strategy<Value = Subject> {
    prop::sample::select(&[Subject::Root, Subject::User(ANN), Subject::User(BOB)])
}

fn revocation() -> impl Strategy<Value = Place> {
    let height = prop_oneof![8 => 0..12_u64, 1 => Just(FLOOR_FOR_EVER)];
    prop_oneof![
        (0..6_u128).prop_map(|jti| Place::Revoked(Uuid::from_u128(jti))),
        (subject(), height).prop_map(|(of, seconds)| Place::Floor { of, seconds }),
    ]
}

fn user_or_group() -> impl Strategy<Value = Step> {
    let user = prop::sample::select(&[ANN, BOB]);
    let group = prop::sample::select(&[STAFF, GUESTS]);
    let members = prop::collection::btree_set(prop::sample::select(&[ANN, BOB]), 0..3);
    prop_oneof![
        (user, any::<Option<bool>>()).prop_map(|(user, disabled)| {
            let json = match disabled {
                Some(disabled) => format!(r#"{{"nickname":"x","created_at":1,"disabled":{disabled}}}"#),
                None => "no json".to_owned(),
            };
            (Place::User(user), Some(json.into_bytes()))
        }),
        (group.clone(), members).prop_map(|(group, members)| {
            let members: Vec<String> = members.iter().map(|member| format!("\"{member}\"")).collect();
            let json = format!(r#"{{"name":"x","members":[{}]}}"#, members.join(","));
            (Place::Group(group), Some(json.into_bytes()))
        }),
        group.prop_map(|group| (Place::Group(group), None)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => revocation().prop_map(|place| (place, Some(FLOOR_JSON.to_vec()))),
        2 => revocation().prop_map(|place| (place, None)),
        3 => user_or_group(),
    ]
}

/// Every token that the steps can speak of.
fn tokens() -> Vec<Claims> {
    let subjects = [Subject::Root, Subject::User(ANN), Subject::User(BOB)];
    let of = |subject| (0..7).flat_map(move |jti| (0..13).map(move |issued| claims(subject, jti, issued)));
    subjects.into_iter().flat_map(of).collect()
}

/// Which tokens are refused for good.
fn refused(directory: &Directory) -> Vec<bool> {
    let for_good = |why| matches!(why, Some(Revoked::Listed | Revoked::BelowFloor | Revoked::UserDeleted));
    tokens().iter().map(|claims| for_good(directory.is_revoked(claims))).collect()
}

fn check_memberships(directory: &Directory) {
    for user in [ANN, BOB] {
        let expected: Vec<Uuid> = directory
            .groups()
            .filter(|(_, group)| group.members.contains(&user))
            .map(|(uuid, _)| uuid)
            .collect();
        assert_eq!(groups_of(directory, user), expected);
    }
}

proptest! {
    #[test]
    fn what_was_refused_is_never_accepted_again(steps in prop::collection::vec(step(), 0..40)) {
        let mut directory = Directory::new();
        let mut before = refused(&directory);
        for (place, json) in steps {
            let generation = directory.generation();
            let answers: Vec<_> = tokens().iter().map(|claims| directory.is_revoked(claims)).collect();
            let groups = (groups_of(&directory, ANN), groups_of(&directory, BOB));
            directory.apply(&place.to_string(), json.as_deref()).ok();
            let after = refused(&directory);
            prop_assert!(before.iter().zip(&after).all(|(before, after)| !before || *after));
            check_memberships(&directory);
            // Whoever keeps answers may keep them as long as the generation is the same.
            if directory.generation() == generation {
                let now: Vec<_> = tokens().iter().map(|claims| directory.is_revoked(claims)).collect();
                prop_assert_eq!(answers, now);
                prop_assert_eq!(groups, (groups_of(&directory, ANN), groups_of(&directory, BOB)));
            }
            before = after;
        }
    }

    #[test]
    fn order_repetition_and_removals_of_revocations_do_not_matter(
        (steps, shuffled) in prop::collection::vec(revocation(), 0..20)
            .prop_flat_map(|steps| (Just(steps.clone()), Just(steps).prop_shuffle())),
        repeated in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let mut plain = Directory::new();
        for place in &steps {
            plain.apply(&place.to_string(), Some(FLOOR_JSON)).unwrap();
        }
        let mut other = Directory::new();
        for place in &shuffled {
            other.apply(&place.to_string(), Some(FLOOR_JSON)).unwrap();
            for index in &repeated {
                let place = shuffled[index.index(shuffled.len())];
                other.apply(&place.to_string(), None).unwrap();
                other.apply(&place.to_string(), Some(b"{}")).unwrap();
                other.apply(&place.to_string(), None).unwrap();
            }
        }
        prop_assert_eq!(refused(&plain), refused(&other));
        for subject in [Subject::Root, Subject::User(ANN), Subject::User(BOB)] {
            prop_assert_eq!(plain.floor(subject), other.floor(subject));
        }
        prop_assert_eq!(plain.revocations(), other.revocations());
    }
}
