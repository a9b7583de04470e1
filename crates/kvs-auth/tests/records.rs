//! Any bytes as a record of the accounts: refused, or read as what writes the same record again.

use kvs_auth::accounts::group::Group;
use kvs_auth::accounts::issued::Issued;
use kvs_auth::accounts::place::Place;
use kvs_auth::accounts::revocation::Revocation;
use kvs_auth::accounts::user::User;
use kvs_auth::directory::Directory;
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

const UUID: &str = "0b0d7f9e-9a1c-4a52-8f3e-6f2d1c0a9b8e";

/// Members as a record may have them, and as it may not.
fn member() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        r#""nickname":"ann""#.to_owned(),
        r#""nickname":"a\u0000""#.to_owned(),
        r#""created_at":5"#.to_owned(),
        r#""created_at":-5"#.to_owned(),
        r#""disabled":true"#.to_owned(),
        r#""disabled":null"#.to_owned(),
        r#""name":"staff""#.to_owned(),
        format!(r#""members":["{UUID}"]"#),
        format!(r#""members":["{UUID}","{UUID}"]"#),
        r#""members":[]"#.to_owned(),
        format!(r#""user":"{UUID}""#),
        r#""user":"root""#.to_owned(),
        r#""scopes":["read","admin"]"#.to_owned(),
        r#""scopes":["read","read"]"#.to_owned(),
        r#""paths":["a/b"]"#.to_owned(),
        r#""paths":[]"#.to_owned(),
        r#""issued_at":1"#.to_owned(),
        r#""expires_at":2"#.to_owned(),
        r#""revoked_at":3"#.to_owned(),
        r#""x":[[[[{}]]]]"#.to_owned(),
    ])
}

fn record() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..80),
        9 => prop::collection::vec(member(), 0..6)
            .prop_map(|members| format!("{{{}}}", members.join(",")).into_bytes()),
    ]
}

proptest! {
    #[test]
    fn what_is_read_is_written_and_read_again(json in record()) {
        if let Ok(user) = User::read(&json) {
            prop_assert_eq!(User::read(&user.write()), Ok(user));
        }
        if let Ok(group) = Group::read(&json) {
            prop_assert_eq!(Group::read(&group.write()), Ok(group));
        }
        if let Ok(issued) = Issued::read(&json) {
            prop_assert_eq!(Issued::read(&issued.write()), Ok(issued));
        }
        if let Ok(revocation) = Revocation::read(&json) {
            prop_assert_eq!(Revocation::read(&revocation.write()), Ok(revocation));
        }
    }

    #[test]
    fn a_directory_learns_any_record_at_any_place_without_harm(
        json in prop::option::of(record()),
        kind in prop::sample::select(&["users", "groups", "tokens", "revoked", "floors/root", "x"]),
        name in prop_oneof![any::<u128>().prop_map(|n| uuid::Uuid::from_u128(n).to_string()), ".{0,40}", "[0-9]{20}"],
    ) {
        let path = format!("{kind}/{name}");
        let mut directory = Directory::new();
        let learnt = directory.apply(&path, json.as_deref());
        prop_assert_eq!(Place::parse(&path).is_none(), learnt == Err(kvs_auth::accounts::error::AccountError::Place));
        if let Some(place) = Place::parse(&path) {
            prop_assert_eq!(place.to_string(), path);
            prop_assert!(place.path().is_ok());
        }
    }
}

#[test]
fn records_of_every_kind_are_among_those_that_are_tried() {
    let user = r#"{"nickname":"ann","created_at":5,"disabled":true}"#;
    let group = format!(r#"{{"name":"staff","members":["{UUID}"]}}"#);
    let issued = r#"{"user":"root","scopes":["read","admin"],"paths":["a/b"],"issued_at":1,"expires_at":2}"#;
    let revocation = format!(r#"{{"user":"{UUID}","expires_at":2,"revoked_at":3}}"#);
    assert_eq!(User::read(user.as_bytes()).unwrap().write(), user.as_bytes());
    assert_eq!(Group::read(group.as_bytes()).unwrap().write(), group.as_bytes());
    assert_eq!(Issued::read(issued.as_bytes()).unwrap().write(), issued.as_bytes());
    assert_eq!(Revocation::read(revocation.as_bytes()).unwrap().write(), revocation.as_bytes());
}
