//! The law of spellings, tested over a vault as the door asks it: whatever is cached, a raw path finds the key that it spells
//! and no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvs_auth::caller::Caller;
use kvs_core::namespace::Namespace;
use kvs_core::path::{Path, PathError};
use kvs_core::precondition::Precondition;
use kvs_store::clock::Clock;
use kvs_store::commit::asker::Asker;
use kvs_store::commit::write::{Change, Write};
use kvs_store::engine::device::Device;
use kvs_store::medium::MemoryMedium;
use kvs_store::observer::{BatchStats, Key, Observer};
use kvs_store::settings::Settings;
use kvs_store::store::Store;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert_eq, proptest};
use proptest::{collection, sample};
use uuid::Uuid;

use crate::access::guard::Guard;
use crate::access::presence::Presence;
use crate::access::vault::Vault;
use crate::answer::Answer;
use crate::answer_cache::AnswerCache;
use crate::metrics::Metrics;

const NOW_MS: u64 = 1_700_000_000_000;

struct Standing;

impl Clock for Standing {
    fn now_ms(&self) -> u64 {
        NOW_MS
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// Tells the cache of commits, as the observer of a node does.
struct Forgetting(Arc<AnswerCache>);

impl Observer for Forgetting {
    fn committing(&self, keys: &[Key]) {
        self.0.mark_changing(keys.iter().map(|key| &key.path));
    }

    fn committed(&self, keys: &[Key]) {
        self.0.forget(keys.iter().map(|key| &key.path));
    }

    fn batch(&self, _: &BatchStats) {}
}

/// A vault over a store in memory, asked as the door asks it.
struct Asked {
    vault: Vault,
    metrics: Metrics,
}

impl Asked {
    fn new() -> Self {
        let answers = Arc::new(AnswerCache::new(1 << 20));
        let medium = Box::new(MemoryMedium { device: Device::new() });
        let observer = Arc::new(Forgetting(Arc::clone(&answers)));
        let opened = Store::open_inline(medium, Settings::default(), Arc::new(Standing), observer, [7; 32]);
        let store = Arc::new(opened.unwrap());
        let vault = Vault::new(store, answers, Arc::new(Presence::default()), Arc::new(Guard::Off));
        Self { vault, metrics: Metrics::new() }
    }

    fn commit(&self, key: &str, change: Change) {
        let path = Path::parse(key).unwrap();
        let (namespace, precondition) = (Namespace::Data, Precondition::default());
        let write = Write { namespace, path, change, precondition, asker: Asker::nobody() };
        self.vault.own().commit(vec![write]).unwrap();
    }

    fn put(&self, key: &str) -> Uuid {
        let content = self.vault.prepare(Bytes::from_static(b"1"));
        self.commit(key, Change::Put { content, lifetime: None });
        self.vault.own().read(Namespace::Data, &Path::parse(key).unwrap()).unwrap().unwrap().version.uuid
    }

    /// What a `GET` of this raw text finds: from the cache, else by the decoded path.
    fn get(&self, raw: &str) -> Result<Option<Uuid>, PathError> {
        let caller = Caller::Everybody;
        let raw = raw.as_bytes();
        let answer = match self.vault.cached(&caller, raw, || NOW_MS) {
            Some(answer) => Some(answer),
            None => {
                let path = Path::parse_encoded(raw)?;
                self.vault.read(&caller, &path, NOW_MS, &self.metrics).unwrap()
            }
        };
        Ok(answer.as_ref().map(Answer::uuid))
    }
}

/// How a character of a key is written in a request.
#[derive(Debug, Clone, Copy)]
enum Style {
    /// As itself, unless the syntax of requests takes it away.
    Bare,
    Upper,
    Lower,
}

/// One spelling of a key, its styles taken in turn.
fn spelt(key: &str, styles: &[Style]) -> String {
    let mut raw = String::new();
    for (char, style) in key.chars().zip(styles.iter().cycle()) {
        let is_syntax = matches!(char, '%' | '?' | '#' | ' ');
        match style {
            _ if char == '/' => raw.push(char),
            Style::Bare if !is_syntax => raw.push(char),
            Style::Lower => char.to_string().bytes().for_each(|byte| raw.push_str(&format!("%{byte:02x}"))),
            _ => char.to_string().bytes().for_each(|byte| raw.push_str(&format!("%{byte:02X}"))),
        }
    }
    raw
}

fn keys() -> impl Strategy<Value = Vec<String>> {
    let piece = sample::select(vec![
        "a", "b", " ", "+", "%", "%20", "%2B", "%61", "%2F", "%25", "25", "20", "é", "e\u{301}", "%C3%A9",
        "?", "#", "/", "&", "=", ";", "\u{a0}", "A", "2", "F",
    ]);
    let key = collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat());
    let other = "[^\\p{Cc}]{1,12}";
    collection::vec(proptest::prop_oneof![3 => key, 1 => other], 1..8)
}

fn styles() -> impl Strategy<Value = Vec<Style>> {
    collection::vec(sample::select(vec![Style::Bare, Style::Upper, Style::Lower]), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Keys, and the spellings of keys as keys of their own, each asked for in several spellings after each other one.
    #[test]
    fn every_spelling_finds_its_own_key_and_no_other(
        keys in keys(),
        styles in collection::vec(styles(), 2..5),
        is_deleted in collection::vec(any::<bool>(), 8),
    ) {
        let asked = Asked::new();
        let mut all: Vec<String> = Vec::new();
        for key in &keys {
            all.push(key.strip_prefix('/').unwrap_or(key).to_owned());
            // What spells one key is the text of another, and so once more.
            for style in &styles {
                let once = spelt(key, style);
                all.push(spelt(&once, style));
                all.push(once);
            }
        }
        all.retain(|key| !key.starts_with('/') && Path::parse(key).is_ok());
        let mut values: BTreeMap<String, Option<Uuid>> = BTreeMap::new();
        for key in all {
            let uuid = asked.put(&key);
            values.insert(key, Some(uuid));
        }
        let mut spellings: Vec<(String, String)> = Vec::new();
        for key in values.keys() {
            for style in styles.iter().map(Vec::as_slice).chain([&[Style::Bare][..], &[Style::Upper]]) {
                spellings.push((spelt(key, style), key.clone()));
                spellings.push((format!("/{}", spelt(key, style)), key.clone()));
            }
        }
        // The first round fills the cache, the second finds it filled with everything, in the other order.
        for (raw, key) in spellings.iter().chain(spellings.iter().rev()) {
            prop_assert_eq!(asked.get(raw), Ok(values[key]), "{:?} of {:?}", raw, key);
        }
        for (key, is_deleted) in values.iter_mut().zip(is_deleted.iter().cycle()) {
            if *is_deleted {
                asked.commit(key.0, Change::Delete);
                *key.1 = None;
            }
        }
        for (raw, key) in spellings.iter().chain(spellings.iter().rev()) {
            prop_assert_eq!(asked.get(raw), Ok(values[key]), "{:?} of {:?} after deletes", raw, key);
        }
        // What is no path stays none, whatever is cached.
        for key in values.keys().filter(|key| key.contains(['%', '/'])) {
            let expected = Path::parse_encoded(key.as_bytes());
            match expected {
                Err(error) => prop_assert_eq!(asked.get(key), Err(error), "{:?}", key),
                Ok(path) => {
                    let value = values.get(path.as_str()).copied().flatten();
                    prop_assert_eq!(asked.get(key), Ok(value), "{:?}", key);
                }
            }
        }
    }
}

#[test]
fn a_text_without_escapes_is_found_without_being_read_as_a_path() {
    let asked = Asked::new();
    let uuid = asked.put("a+b/é");
    assert_eq!(asked.get("a%2Bb/%C3%A9"), Ok(Some(uuid)));
    let found = asked.vault.cached(&Caller::Everybody, "a+b/é".as_bytes(), || NOW_MS);
    assert_eq!(found.as_ref().map(Answer::uuid), Some(uuid));
}
