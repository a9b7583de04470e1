//! A second model of who may do what, written from `docs/design/permissions.md` alone, and the decision held against it.
//!
//! The model knows keys, makers and metadata as the page speaks of them and shares no type with the product. It is asked
//! the same as the product: for every mode, caller, action and state of a key, with what lies above it, and for random
//! trees. What it leaves out: how a store finds a record, and who a token speaks for.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing step must fail the test")]

use std::convert::Infallible;

use kvs_auth::caller::{AnonymousRights, Bearer, Caller};
use kvs_auth::decision::{Action, Denied, Resource, decide};
use kvs_auth::mode::Mode;
use kvs_auth::rights::{self, Lookup, Rights, rights_above, rights_of};
use kvs_auth::scopes::{Scope, Scopes};
use kvs_auth::subtrees::Subtrees;
use kvs_core::path::Path;
use kvs_core::record::Principal;
use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};
use uuid::Uuid;

/// Metadata that somebody set on a path.
#[derive(Debug, Clone, Copy)]
struct Metadata {
    owner: &'static str,
    group: Option<&'static str>,
    mode: u16,
}

/// What is known of one path: whether it has a value that readers see, who is remembered to have made it, and what
/// metadata stands on it.
#[derive(Debug, Clone, Copy, Default)]
struct Spot {
    live: bool,
    maker: Option<&'static str>,
    metadata: Option<Metadata>,
}

/// A path with all that lies above it: the key first, then its ancestors, the nearest first.
#[derive(Debug, Clone)]
struct Lineage {
    path: &'static str,
    spots: Vec<Spot>,
}

/// Who asks.
#[derive(Debug, Clone)]
enum Asker {
    Everybody,
    Anonymous {
        read: bool,
        write: bool,
    },
    Bearer {
        user: &'static str,
        groups: Vec<&'static str>,
        scopes: Vec<&'static str>,
        paths: Option<Vec<&'static str>>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Read,
    Write,
    Delete,
    Metadata,
    GiveAway,
}

/// The columns of the page's table of states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Live,
    Remembered,
    Unknown,
}

/// What governs a spot; `None` is *open*.
type Governor = Option<Metadata>;

const CREATE: u16 = 3;
const DELETE: u16 = 2;
const WRITE: u16 = 1;
const READ: u16 = 0;

/// "What governs a key is the first of these that there is."
fn governor(spots: &[Spot]) -> Governor {
    let key = &spots[0];
    if let Some(own) = &key.metadata {
        return Some(*own);
    }
    for ancestor in &spots[1..] {
        if let Some(theirs) = &ancestor.metadata {
            return Some(Metadata { owner: key.maker.unwrap_or(theirs.owner), ..*theirs });
        }
    }
    // cdwr|---r|---r
    key.maker.map(|maker| Metadata { owner: maker, group: None, mode: 0b1111_0001_0001 })
}

/// Which of the three classes speaks for a caller: the shift of its four bits.
fn class_shift(asker: &Asker, governor: &Metadata) -> u16 {
    let Asker::Bearer { user, groups, .. } = asker else { return 0 };
    if governor.owner == *user {
        8
    } else if governor.group.is_some_and(|group| groups.contains(&group)) {
        4
    } else {
        0
    }
}

fn grants(asker: &Asker, spots: &[Spot], bit: u16) -> bool {
    match governor(spots) {
        None => true,
        Some(metadata) => (metadata.mode >> class_shift(asker, &metadata)) >> bit & 1 == 1,
    }
}

/// "The right `create` of the nearest ancestor that has a live value or metadata; when none has either, the scope is
/// enough."
fn create_above(asker: &Asker, spots: &[Spot]) -> bool {
    for above in 1..spots.len() {
        if spots[above].live || spots[above].metadata.is_some() {
            return grants(asker, &spots[above..], CREATE);
        }
    }
    true
}

fn state(spot: &Spot) -> State {
    if spot.live {
        State::Live
    } else if spot.maker.is_some() || spot.metadata.is_some() {
        State::Remembered
    } else {
        State::Unknown
    }
}

fn has_scope(asker: &Asker, deed: Deed) -> bool {
    match asker {
        Asker::Everybody => true,
        Asker::Anonymous { read, write } => match deed {
            Deed::Read => *read,
            Deed::Write => *write,
            Deed::Delete | Deed::Metadata | Deed::GiveAway => false,
        },
        Asker::Bearer { scopes, .. } => {
            let wanted = match deed {
                Deed::Read => "read",
                Deed::Write | Deed::Metadata => "write",
                Deed::Delete => "delete",
                Deed::GiveAway => "admin",
            };
            scopes.contains(&wanted) || scopes.contains(&"admin")
        }
    }
}

/// "A token with `paths` reaches those paths and what lies below them, nothing else."
fn reaches(asker: &Asker, path: &str) -> bool {
    match asker {
        Asker::Bearer { paths: Some(paths), .. } => {
            paths.iter().any(|root| path == *root || path.starts_with(&format!("{root}/")))
        }
        _ => true,
    }
}

/// The whole decision, read off the page from top to bottom.
fn allowed(asker: &Asker, deed: Deed, key: &Lineage) -> bool {
    if matches!(asker, Asker::Everybody) {
        return true;
    }
    if !has_scope(asker, deed) || !reaches(asker, key.path) {
        return false;
    }
    if matches!(asker, Asker::Bearer { scopes, .. } if scopes.contains(&"admin")) {
        return true;
    }
    let spots = &key.spots;
    match (deed, state(&spots[0])) {
        (Deed::Read, _) => grants(asker, spots, READ),
        (Deed::Write, State::Live) => grants(asker, spots, WRITE),
        (Deed::Write, State::Remembered) => grants(asker, spots, CREATE) && create_above(asker, spots),
        (Deed::Write, State::Unknown) => create_above(asker, spots),
        (Deed::Delete, State::Live) => grants(asker, spots, DELETE),
        (Deed::Delete, State::Remembered | State::Unknown) => true,
        (Deed::Metadata, _) => governor(spots).is_some_and(|metadata| class_shift(asker, &metadata) == 8),
        (Deed::GiveAway, _) => false,
    }
}

/// The status that the page gives to each refusal.
fn status(asker: &Asker, deed: Deed, key: &Lineage) -> Option<u16> {
    if allowed(asker, deed, key) {
        return None;
    }
    let refused = if matches!(asker, Asker::Anonymous { .. }) { 401 } else { 403 };
    if !has_scope(asker, deed) {
        return Some(refused);
    }
    Some(match deed {
        Deed::Read => 404,
        Deed::Delete if !allowed(asker, Deed::Read, key) => 404,
        Deed::Delete | Deed::Write | Deed::Metadata | Deed::GiveAway => refused,
    })
}

// From here on: the product, asked the same.

const OWNER: &str = "owner";
const OTHER: &str = "other";
const FAMILY: &str = "family";
const KEY: &str = "top/mid/key";

struct Stored<'a>(&'a Lineage);

impl Stored<'_> {
    /// The spot of an ancestor, or of the key itself, told by how deep it lies.
    fn spot(&self, path: &Path) -> Spot {
        assert!(self.0.path == path.as_str() || self.0.path.starts_with(&format!("{}/", path.as_str())));
        self.0.spots[self.0.spots.len() - path.as_str().split('/').count()]
    }
}

fn named(name: &str) -> Principal {
    Principal::named(name).unwrap()
}

impl Lookup for Stored<'_> {
    type Error = Infallible;

    fn metadata(&mut self, path: &Path) -> Result<Option<rights::Metadata>, Infallible> {
        Ok(self.spot(path).metadata.map(|metadata| rights::Metadata {
            owner: named(metadata.owner),
            group: named(metadata.group.unwrap_or_default()),
            mode: Mode::from_bits(metadata.mode).unwrap(),
        }))
    }

    fn live_owner(&mut self, path: &Path) -> Result<Option<Principal>, Infallible> {
        let spot = self.spot(path);
        Ok(spot.live.then(|| named(spot.maker.unwrap_or_default())))
    }
}

/// What the product's caller of the decision has to find out about a key.
struct Found {
    state: kvs_auth::decision::State,
    rights: Rights,
    above: Option<Rights>,
}

fn find(key: &Lineage) -> Found {
    let path = Path::parse(key.path).unwrap();
    Found {
        state: match state(&key.spots[0]) {
            State::Live => kvs_auth::decision::State::Live,
            State::Remembered => kvs_auth::decision::State::Remembered,
            State::Unknown => kvs_auth::decision::State::Unknown,
        },
        rights: rights_of(&path, &named(key.spots[0].maker.unwrap_or_default()), &mut Stored(key)).unwrap(),
        above: rights_above(&path, &mut Stored(key)).unwrap(),
    }
}

/// An asker with the same caller as the product takes it.
struct Pair {
    asker: Asker,
    bearer: Option<Bearer>,
}

impl Pair {
    fn new(asker: Asker) -> Self {
        let bearer = match &asker {
            Asker::Everybody | Asker::Anonymous { .. } => None,
            Asker::Bearer { user, groups, scopes, paths } => Some(Bearer {
                user: named(user),
                groups: groups.iter().map(|group| named(group)).collect(),
                scopes: scopes.iter().map(|scope| Scope::named(scope).unwrap()).collect::<Scopes>(),
                paths: paths.as_ref().map(|paths| {
                    Subtrees::new(paths.iter().map(|path| Path::parse(path).unwrap()).collect()).unwrap()
                }),
                jti: Uuid::nil(),
                issued_at_s: 0,
                expires_at_s: 1,
            }),
        };
        Self { asker, bearer }
    }

    fn caller(&self) -> Caller<'_> {
        match (&self.asker, &self.bearer) {
            (_, Some(bearer)) => Caller::Bearer(bearer),
            (Asker::Anonymous { read, write }, None) => {
                Caller::Anonymous(AnonymousRights { may_read: *read, may_write: *write })
            }
            _ => Caller::Everybody,
        }
    }
}

const DEEDS: [(Deed, Action); 5] = [
    (Deed::Read, Action::Read),
    (Deed::Write, Action::Write),
    (Deed::Delete, Action::Delete),
    (Deed::Metadata, Action::Govern),
    (Deed::GiveAway, Action::GiveAway),
];

/// What the product says, as the status that the page gives to it; `None` for yes.
fn product(caller: &Caller<'_>, action: Action, path: &str, found: &Found) -> Option<u16> {
    let resource = Resource {
        path: path.as_bytes(),
        state: found.state,
        rights: &found.rights,
        above: found.above.as_ref(),
    };
    decide(caller, action, &resource).err().map(|denied| match denied {
        Denied::Unauthorized => 401,
        Denied::Forbidden => 403,
        Denied::Hidden => 404,
    })
}

fn bearer(
    user: &'static str,
    groups: &[&'static str],
    scopes: &[&'static str],
    paths: Option<&[&'static str]>,
) -> Asker {
    Asker::Bearer {
        user,
        groups: groups.to_vec(),
        scopes: scopes.to_vec(),
        paths: paths.map(<[&str]>::to_vec),
    }
}

fn askers() -> Vec<Asker> {
    let all = &["read", "write", "delete"];
    vec![
        Asker::Everybody,
        Asker::Anonymous { read: false, write: false },
        Asker::Anonymous { read: true, write: false },
        Asker::Anonymous { read: true, write: true },
        bearer(OTHER, &[], all, None),
        bearer("member", &["elsewhere", FAMILY], all, None),
        bearer(OWNER, &[], all, None),
        bearer(OWNER, &[FAMILY], all, None),
        bearer("chief", &[], &["admin"], None),
        bearer(OWNER, &[], all, Some(&["top/mid/ke", "top/mid/key/below", "key"])),
        bearer(OWNER, &[], all, Some(&["elsewhere", "top/mid"])),
        bearer("chief", &[], &["admin"], Some(&["elsewhere"])),
        bearer(OWNER, &[], &["read"], None),
        bearer(OWNER, &[], &["write"], None),
        bearer(OWNER, &[], &["delete"], None),
        bearer(OWNER, &[], &[], None),
    ]
}

/// Every telling key with what lies above it, where one mode stands on the key, on its parent, or on both.
fn lineages(mode: u16) -> Vec<Lineage> {
    let metadata = Metadata { owner: OWNER, group: Some(FAMILY), mode };
    let of_another = Metadata { owner: OTHER, group: None, mode };
    let parents = [
        Spot::default(),
        Spot { live: true, ..Spot::default() },
        Spot { maker: Some(OWNER), metadata: Some(metadata), ..Spot::default() },
        Spot { live: true, metadata: Some(of_another), ..Spot::default() },
    ];
    let mut lineages = Vec::new();
    for parent in parents {
        for live in [false, true] {
            for maker in [None, Some(OWNER), Some(OTHER)] {
                for own in [None, Some(metadata)] {
                    let key = Spot { live, maker, metadata: own };
                    lineages.push(Lineage { path: KEY, spots: vec![key, parent, Spot::default()] });
                }
            }
        }
    }
    lineages
}

#[test]
fn the_decision_is_that_of_the_page_for_every_mode_caller_action_and_state() {
    let pairs: Vec<Pair> = askers().into_iter().map(Pair::new).collect();
    for mode in 0..=4095 {
        for key in lineages(mode) {
            let found = find(&key);
            for pair in &pairs {
                for (deed, action) in DEEDS {
                    assert_eq!(
                        product(&pair.caller(), action, key.path, &found),
                        status(&pair.asker, deed, &key),
                        "{deed:?} with mode {mode:012b} by {:?} of {key:?}",
                        pair.asker
                    );
                }
            }
        }
    }
}

#[test]
fn every_answer_of_the_page_occurs_so_the_agreement_means_something() {
    let pairs: Vec<Asker> = askers();
    let mut seen = std::collections::BTreeSet::new();
    for mode in [0, 0o7777, 3857] {
        for key in lineages(mode) {
            for asker in &pairs {
                for (deed, _) in DEEDS {
                    seen.insert((format!("{deed:?}"), status(asker, deed, &key)));
                }
            }
        }
    }
    for deed in ["Read", "Write", "Delete", "Metadata", "GiveAway"] {
        for status in [None, Some(401), Some(403)] {
            assert!(seen.contains(&(deed.to_owned(), status)), "{deed} {status:?}");
        }
    }
    assert!(seen.contains(&("Read".to_owned(), Some(404))));
    assert!(seen.contains(&("Delete".to_owned(), Some(404))));
    assert!(!seen.contains(&("Write".to_owned(), Some(404))));
}

fn any_principal() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![OWNER, OTHER, "member", "chief", "root"])
}

fn any_metadata() -> impl Strategy<Value = Metadata> {
    let group = prop::option::of(prop::sample::select(vec![FAMILY, "elsewhere"]));
    (any_principal(), group, 0_u16..=4095).prop_map(|(owner, group, mode)| Metadata { owner, group, mode })
}

fn any_spot() -> impl Strategy<Value = Spot> {
    let metadata = prop::option::weighted(0.3, any_metadata());
    (any::<bool>(), prop::option::of(any_principal()), metadata).prop_map(|(live, maker, metadata)| Spot {
        live,
        maker,
        metadata,
    })
}

fn any_lineage() -> impl Strategy<Value = Lineage> {
    (1_usize..=5).prop_flat_map(|depth| {
        prop::collection::vec(any_spot(), depth).prop_map(move |spots| Lineage {
            path: ["a", "a/b", "a/b/c", "a/b/c/d", "a/b/c/d/e"][depth - 1],
            spots,
        })
    })
}

fn any_asker() -> impl Strategy<Value = Asker> {
    let scopes = prop::sample::subsequence(vec!["read", "write", "delete", "admin"], 0..=4);
    let groups = prop::sample::subsequence(vec![FAMILY, "elsewhere"], 0..=2);
    let roots = vec!["a", "a/b", "a/b/c/d", "a/b/c/d/e/f", "a/bc", "b"];
    let paths = prop::option::weighted(0.4, prop::sample::subsequence(roots, 1..=3));
    let bearer = (any_principal(), groups, scopes, paths)
        .prop_map(|(user, groups, scopes, paths)| Asker::Bearer { user, groups, scopes, paths });
    let anonymous = (any::<bool>(), any::<bool>()).prop_map(|(read, write)| Asker::Anonymous { read, write });
    (any::<u8>(), bearer, anonymous).prop_map(|(kind, bearer, anonymous)| match kind {
        0..=5 => Asker::Everybody,
        6..=60 => anonymous,
        _ => bearer,
    })
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(20_000))]

    #[test]
    fn rights_come_down_random_trees_as_the_page_says(key in any_lineage(), asker in any_asker()) {
        let found = find(&key);
        let theirs = match &found.rights {
            Rights::Open => None,
            Rights::Governed(rights) => {
                Some((rights.owner.as_str().to_owned(), rights.group.as_str().to_owned(), rights.mode.bits()))
            }
        };
        let ours = governor(&key.spots).map(|metadata| {
            (metadata.owner.to_owned(), metadata.group.unwrap_or_default().to_owned(), metadata.mode)
        });
        prop_assert_eq!(theirs, ours, "what governs {:?}", key);
        let pair = Pair::new(asker);
        for (deed, action) in DEEDS {
            prop_assert_eq!(
                product(&pair.caller(), action, key.path, &found),
                status(&pair.asker, deed, &key),
                "{:?} by {:?} of {:?}", deed, pair.asker, key
            );
        }
    }
}
