//! Any bytes as records of accounts and metadata: refused, or what writes and reads back as the same.

#![no_main]

use kvs_auth::accounts::group::Group;
use kvs_auth::accounts::issued::Issued;
use kvs_auth::accounts::place::Place;
use kvs_auth::accounts::revocation::Revocation;
use kvs_auth::accounts::user::User;
use kvs_auth::directory::Directory;
use kvs_auth::metadata;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(found) = metadata::decode(bytes) {
        assert_eq!(metadata::decode(&metadata::encode(&found)), Ok(found));
    }
    if let Ok(user) = User::read(bytes) {
        assert_eq!(User::read(&user.write()), Ok(user));
    }
    if let Ok(group) = Group::read(bytes) {
        assert_eq!(Group::read(&group.write()), Ok(group));
    }
    if let Ok(issued) = Issued::read(bytes) {
        assert_eq!(Issued::read(&issued.write()), Ok(issued));
    }
    if let Ok(revocation) = Revocation::read(bytes) {
        assert_eq!(Revocation::read(&revocation.write()), Ok(revocation));
    }
    let Some((path, json)) = bytes.split_at_checked(bytes.len() / 2) else { return };
    if let Ok(path) = std::str::from_utf8(path) {
        drop(Place::parse(path));
        drop(Directory::new().apply(path, Some(json)));
    }
});
