//! `matrix.txt` is role x action x resource as a text that is read in a review; this test holds it to the decision.
//!
//! After a change of the rules: `KVS_UPDATE_DOCS=1 cargo test -p kvs-auth --test matrix`, and look at the difference. The
//! keys of the matrix form one small tree, so that what lies above each of them is what the text shows. What it leaves
//! out: every mode there is, which is what `model.rs` is for.
#![expect(clippy::unwrap_used, reason = "a failing step must fail the test")]

use std::convert::Infallible;
use std::fmt::Write as _;

use kvs_auth::caller::{AnonymousRights, Bearer, Caller, ROOT};
use kvs_auth::decision::{Action, Denied, Resource, State, decide};
use kvs_auth::mode::Mode;
use kvs_auth::rights::{Lookup, Metadata, rights_above, rights_of};
use kvs_auth::scopes::{Scope, Scopes};
use kvs_auth::subtrees::Subtrees;
use kvs_core::path::Path;
use kvs_core::record::Principal;
use uuid::Uuid;

const HEAD: &str = "\
Who may do what: the answers of the one decision, made by crates/kvs-auth/tests/matrix.rs.

ann owns, ben is a member of the group family, eve is neither. A token has the scopes read, write and delete unless the
row says otherwise. \"yes\" is allowed by rights: what is not there still answers 404 to a read or a delete.
\"metadata\" sets group and mode, \"give away\" the owner.
";

/// What is stored at one path.
struct Stored {
    path: &'static str,
    /// Whether there is a value.
    is_live: bool,
    /// Who made it, or made it before it was deleted; empty for nobody.
    maker: &'static str,
    /// Owner, group and mode.
    metadata: Option<(&'static str, &'static str, &'static str)>,
    /// Why it is in the matrix.
    because: &'static str,
}

const fn value(path: &'static str, maker: &'static str, because: &'static str) -> Stored {
    Stored { path, is_live: true, maker, metadata: None, because }
}

const fn deleted(path: &'static str, maker: &'static str, because: &'static str) -> Stored {
    Stored { path, is_live: false, maker, metadata: None, because }
}

const fn absent(path: &'static str, because: &'static str) -> Stored {
    deleted(path, "", because)
}

const fn governed(stored: Stored, owner: &'static str, group: &'static str, mode: &'static str) -> Stored {
    Stored { metadata: Some((owner, group, mode)), ..stored }
}

static TREE: &[Stored] = &[
    absent("free", "nothing there, nothing above: the scope is enough"),
    value("open", "", "made without a token: open"),
    absent("open/new", "below a value that is open"),
    value("open/hers", "ann", "a value of ann's below one that is open"),
    deleted("open/gone", "ann", "deleted: still ann's"),
    value("hers", "ann", "made by ann, without metadata"),
    absent("hers/new", "below a value of ann's: only she creates"),
    absent("hers2", "a name that begins alike is no relative"),
    governed(value("private", "ann", "for ann alone"), "ann", "family", "cdwr|----|----"),
    absent("private/new", "below what is for ann alone"),
    value(
        "private/eves",
        "eve",
        "eve's value, below what is for ann alone: the owner is eve, the mode comes from above",
    ),
    governed(
        value("private/shown", "ann", "opened to readers below what is for ann alone"),
        "ann",
        "",
        "cdwr|---r|---r",
    ),
    governed(absent("shared", "metadata of a folder without a value"), "ann", "family", "cdwr|c-wr|---r"),
    absent("shared/new", "where the group creates"),
    value("shared/value", "", "made without a token in ann's folder: governed from above"),
    value("shared/bens", "ben", "made by ben: he owns it, the rest comes from above"),
    deleted("shared/gone", "ben", "deleted: still ben's, and the group may create above"),
    absent("shared/a/b/c", "deep below the folder"),
    governed(absent("drop", "a drop box"), "ann", "", "cdwr|----|c---"),
    absent("drop/new", "anybody drops"),
    value("drop/eves", "eve", "what eve dropped, she may do with as an owner"),
    deleted(
        "drop/gone",
        "ann",
        "what ann took out of it: making it again needs a right on the key itself as well",
    ),
    governed(
        value("odd", "ann", "an owner whom the mode denies what it gives to others"),
        "ann",
        "family",
        "----|---r|cdwr",
    ),
    governed(absent("frozen", "nobody creates, deletes or writes"), "ann", "family", "---r|---r|---r"),
    value("frozen/value", "ann", "below it: ann may set its metadata, so she can thaw it"),
    value("frozen/value/below", "eve", "the nearest metadata counts, however far it is"),
];

struct World;

fn stored(path: &Path) -> Option<&'static Stored> {
    TREE.iter().find(|stored| stored.path == path.as_str())
}

fn named(name: &str) -> Principal {
    Principal::named(name).unwrap()
}

impl Lookup for World {
    type Error = Infallible;

    fn metadata(&mut self, path: &Path) -> Result<Option<Metadata>, Infallible> {
        Ok(stored(path).and_then(|stored| stored.metadata).map(|(owner, group, mode)| Metadata {
            owner: named(owner),
            group: named(group),
            mode: Mode::parse(mode).unwrap(),
        }))
    }

    fn live_owner(&mut self, path: &Path) -> Result<Option<Principal>, Infallible> {
        Ok(stored(path).filter(|stored| stored.is_live).map(|stored| named(stored.maker)))
    }
}

fn bearer(user: &str, group: Option<&str>, scopes: &[Scope], roots: &[&str]) -> Bearer {
    Bearer {
        user: named(user),
        groups: group.map(named).into_iter().collect(),
        scopes: scopes.iter().copied().collect::<Scopes>(),
        paths: Subtrees::new(roots.iter().map(|root| Path::parse(root).unwrap()).collect()),
        jti: Uuid::nil(),
        issued_at_s: 0,
        expires_at_s: 1,
    }
}

fn answer(caller: &Caller<'_>, action: Action, stored: &Stored) -> &'static str {
    let path = Path::parse(stored.path).unwrap();
    let state = if stored.is_live {
        State::Live
    } else if stored.metadata.is_some() || !stored.maker.is_empty() {
        State::Remembered
    } else {
        State::Unknown
    };
    let rights = rights_of(&path, &named(stored.maker), &mut World).unwrap();
    let above = rights_above(&path, &mut World).unwrap();
    let resource = Resource { path: path.as_bytes(), state, rights: &rights, above: above.as_ref() };
    match decide(caller, action, &resource) {
        Ok(()) => "yes",
        Err(Denied::Unauthorized) => "401",
        Err(Denied::Forbidden) => "403",
        Err(Denied::Hidden) => "404",
    }
}

fn described(stored: &Stored) -> String {
    let mut text = match (stored.is_live, stored.maker) {
        (true, "") => "a value nobody owns".to_owned(),
        (true, maker) => format!("a value made by {maker}"),
        (false, "") => "no value".to_owned(),
        (false, maker) => format!("a value made by {maker} was deleted"),
    };
    if let Some((owner, group, mode)) = stored.metadata {
        let group = if group.is_empty() { "none" } else { group };
        write!(text, "; metadata: owner {owner}, group {group}, {mode}").unwrap();
    }
    text
}

fn matrix() -> String {
    const ALL: [Scope; 3] = [Scope::Read, Scope::Write, Scope::Delete];
    let people = [
        ("eve", bearer("eve", None, &ALL, &[])),
        ("ben, in the group", bearer("ben", Some("family"), &ALL, &[])),
        ("ann", bearer("ann", None, &ALL, &[])),
        ("ann, scope read", bearer("ann", None, &[Scope::Read], &[])),
        ("ann, scope write", bearer("ann", None, &[Scope::Write], &[])),
        ("ann, paths: [hers]", bearer("ann", None, &ALL, &["hers"])),
        ("root", bearer(ROOT, None, &[Scope::Admin], &[])),
        ("root, paths: [hers]", bearer(ROOT, None, &[Scope::Admin], &["hers"])),
    ];
    let anonymous = |may_read, may_write| Caller::Anonymous(AnonymousRights { may_read, may_write });
    let mut roles = vec![
        ("no token", anonymous(false, false)),
        ("no token, may read", anonymous(true, false)),
        ("no token, may write", anonymous(false, true)),
    ];
    roles.extend(people.iter().map(|(name, bearer)| (*name, Caller::Bearer(bearer))));
    roles.push(("auth_enabled: false", Caller::Everybody));

    let mut text = HEAD.to_owned();
    for stored in TREE {
        write!(text, "\n{}: {}\n{}\n", stored.path, stored.because, described(stored)).unwrap();
        writeln!(text, "  {:22}read  write delete metadata give away", "").unwrap();
        for (name, caller) in &roles {
            let [read, write, delete, govern, give] =
                Action::ALL.map(|action| answer(caller, action, stored));
            writeln!(text, "  {name:22}{read:6}{write:6}{delete:7}{govern:9}{give}").unwrap();
        }
    }
    text
}

#[test]
fn the_matrix_says_what_the_decision_says() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matrix.txt");
    if std::env::var_os("KVS_UPDATE_DOCS").is_some() {
        std::fs::write(&path, matrix()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    for (number, (told, decided)) in written.lines().zip(matrix().lines()).enumerate() {
        assert_eq!(told, decided, "line {} of matrix.txt", number + 1);
    }
    assert!(written == matrix(), "run KVS_UPDATE_DOCS=1 cargo test -p kvs-auth --test matrix");
}
