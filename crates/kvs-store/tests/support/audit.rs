//! An audit of a whole store: every table read row by row and compared with the records.
//!
//! It knows the formats from their documentation and puts index rows together itself: an error in the product's own
//! idea of its indexes must not hide here.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use kvs_core::record::{Kind, Record};
use kvs_store::engine::contract::Order;
use kvs_store::keys::{read_history_key, read_record_key};
use kvs_store::observer::Key;
use kvs_store::read::view::View;
use kvs_store::row::{RevisionRow, Row};
use kvs_store::store::Store;
use kvs_store::table::Table;

/// A write's number: node, epoch, seq.
pub(crate) type DotNumber = (u128, u64, u64);

/// What a dot stands for: namespace and path, and the version's uuid.
pub(crate) type Dotted = (Vec<u8>, u128);

/// Rows of a table.
type TableRows = BTreeSet<(Vec<u8>, Vec<u8>)>;

/// What the audit read.
pub(crate) struct Audit {
    pub(crate) rows: BTreeMap<Key, Row>,
    pub(crate) revisions: BTreeMap<(Key, u64), RevisionRow>,
}

impl Audit {
    /// Every dot of records and history with what it stands for.
    ///
    /// Panics when one dot stands for two things.
    pub(crate) fn dots(&self) -> BTreeMap<DotNumber, Dotted> {
        let mut dots = BTreeMap::new();
        let current = self.rows.iter().map(|(key, row)| (key, &row.record));
        let lost = self.revisions.iter().map(|((key, _), revision)| (key, &revision.record));
        for (key, record) in current.chain(lost) {
            note_dot(&mut dots, key, record);
        }
        dots
    }
}

/// Adds a dot to those known; panics when it is known as something else.
pub(crate) fn note_dot(dots: &mut BTreeMap<DotNumber, Dotted>, key: &Key, record: &Record) {
    let dot = record.dot;
    let number = (dot.origin.node.as_u128(), dot.origin.epoch, dot.seq);
    let thing = (key_bytes(key), record.version.uuid.as_u128());
    if let Some(known) = dots.insert(number, thing.clone()) {
        assert_eq!(known, thing, "the dot {number:?} was used twice");
    }
}

/// Reads everything and compares it; panics at the first thing that does not fit.
pub(crate) fn audit(store: &Store) -> Audit {
    let view = store.view().unwrap();
    let audit = read(&view);
    let mut expected: BTreeMap<&str, TableRows> = BTreeMap::new();
    let (mut keys, mut bytes, mut tombstones, mut last_seq) = (0, 0, 0, 0);
    for (key, row) in &audit.rows {
        for (table, row_key, row_value) in index_rows(key, row) {
            assert!(
                expected.entry(table).or_default().insert((row_key, row_value)),
                "two keys share a row of {table}"
            );
        }
        match row.record.kind {
            Kind::Value => {
                keys += 1;
                bytes += row.record.payload.raw_len() as u64;
            }
            Kind::Tombstone | Kind::Expired => tombstones += 1,
            Kind::Dropped | Kind::Voided => {}
        }
        last_seq = last_seq.max(row.local_seq);
        audit_history(&audit, key, row);
    }
    for (key, number) in audit.revisions.keys() {
        let row =
            audit.rows.get(key).unwrap_or_else(|| unreachable!("revision {number} of {key:?} has no key"));
        assert!(
            (row.revisions.first()..row.revisions.next).contains(number),
            "revision {number} of {key:?} is over"
        );
    }
    for table in [Table::Log, Table::ByTime, Table::Expiry, Table::Tombstones] {
        let found: TableRows =
            scan(&view, table).into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        let wanted = expected.remove(table.name()).unwrap_or_default();
        assert_eq!(found, wanted, "the table {} does not follow from the records", table.name());
    }
    let status = store.status();
    assert_eq!(
        (status.keys, status.bytes, status.tombstones),
        (keys, bytes, tombstones),
        "the counters differ from a recount"
    );
    assert!(status.last_local_seq >= last_seq, "a local sequence number was given out twice");
    audit_own_numbers(store, &view, &audit);
    audit
}

fn read(view: &View) -> Audit {
    let rows = scan(view, Table::Records).into_iter().map(|(row_key, value)| {
        let key = read_record_key(&row_key).unwrap();
        let row = Row::decode(&key, &value).unwrap();
        (key, row)
    });
    let revisions = scan(view, Table::History).into_iter().map(|(row_key, value)| {
        let (key, number) = read_history_key(&row_key).unwrap();
        let revision = RevisionRow::decode(&key, &value).unwrap();
        ((key, number), revision)
    });
    Audit { rows: rows.collect(), revisions: revisions.collect() }
}

fn audit_history(audit: &Audit, key: &Key, row: &Row) {
    for number in row.revisions.first()..row.revisions.next {
        let revision = audit
            .revisions
            .get(&(key.clone(), number))
            .unwrap_or_else(|| unreachable!("revision {number} of {key:?} is missing"));
        assert!(
            revision.record.precedence(&row.record).is_lt(),
            "the history of {key:?} holds what should be current"
        );
    }
}

/// The numbers that this node gives out next are greater than all that it gave out.
fn audit_own_numbers(store: &Store, view: &View, audit: &Audit) {
    let own = store.identity().origin;
    let counters = view.get(Table::Node, b"counters").unwrap().unwrap();
    let number = |at: usize| u64::from_be_bytes(counters[at * 8..at * 8 + 8].try_into().unwrap());
    assert_eq!(number(0), store.status().last_local_seq + 1, "the stored counter is another one");
    for (node, epoch, seq) in audit.dots().into_keys() {
        if node == own.node.as_u128() {
            assert!(epoch != own.epoch || seq < number(1), "the number {seq} will be given out again");
        }
    }
}

fn scan(view: &View, table: Table) -> Vec<(Bytes, Bytes)> {
    view.range(table, (Bound::Unbounded, Bound::Unbounded), Order::Ascending).map(Result::unwrap).collect()
}

fn key_bytes(key: &Key) -> Vec<u8> {
    [&[key.namespace as u8], key.path.as_bytes()].concat()
}

/// An epoch: four bytes when it is from before epochs told their beginning, else eight.
fn epoch_bytes(epoch: u64) -> Vec<u8> {
    epoch.to_be_bytes()[if epoch >> 32 == 0 { 4 } else { 0 }..].to_vec()
}

/// Index rows as the documentation of the tables says.
fn index_rows(key: &Key, row: &Row) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let record = &row.record;
    let key = key_bytes(key);
    let at = |ms: u64| [&ms.to_be_bytes(), key.as_slice()].concat();
    let stamped = at(record.version.stamp.ms);
    let mut logged = key.clone();
    if let Some(mark) = row.ships {
        logged[0] |= if mark.epoch >> 32 == 0 { 0x80 } else { 0xc0 };
        let mark = [epoch_bytes(mark.epoch), mark.seq.to_be_bytes().to_vec()].concat();
        logged.splice(1..1, mark);
    }
    let mut rows =
        vec![("log", row.local_seq.to_be_bytes().to_vec(), logged), ("by_time", stamped.clone(), Vec::new())];
    if record.kind == Kind::Value {
        if record.expires_at_ms != 0 {
            rows.push(("expiry", at(record.expires_at_ms), Vec::new()));
        }
    } else {
        let (origin, seq) = (record.dot.origin, record.dot.seq);
        let dot =
            [origin.node.as_bytes().as_slice(), &epoch_bytes(origin.epoch), &seq.to_be_bytes()].concat();
        let since = if record.kind == Kind::Expired { record.expires_at_ms } else { 0 };
        rows.push(("tombstones", dot, at(since.max(record.version.stamp.ms))));
    }
    rows
}
