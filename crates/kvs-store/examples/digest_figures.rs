//! Measures the digest on encoded records in memory and prints the figures as JSON: upkeep per write, memory, reading
//! everything in, the scan itself apart. The number of keys is the first argument; 1,000,000 without one.

#![expect(clippy::print_stdout, reason = "it prints its figures")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::error::Error;
use std::time::Instant;

use kvs_core::digest::ContentDigest;
use kvs_core::item::{DigestKey, item, place};
use kvs_core::namespace::Namespace;
use kvs_core::origin::{Dot, Origin};
use kvs_core::path::Path;
use kvs_core::record::{Kind, Payload, Principal, Record};
use kvs_core::record_codec;
use kvs_core::stamp::Stamp;
use kvs_core::sum_tree::source::{Source, Visitor};
use kvs_core::sum_tree::tree::{Delta, Sign, SumTree};
use kvs_core::version::Version;
use uuid::Uuid;

/// The stored records in key order, decoded anew at each visit as a store does.
struct Stored(Vec<(Vec<u8>, Path, bytes::Bytes)>, DigestKey);

impl Source for Stored {
    type Error = record_codec::CodecError;

    fn visit(&mut self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), Self::Error> {
        let start = self.0.partition_point(|(place, _, _)| place.as_slice() < from);
        for (place, path, bytes) in
            self.0.iter().skip(start).take_while(|(place, _, _)| place.as_slice() < to)
        {
            let record = record_codec::decode(Namespace::Data, path, bytes)?;
            if visitor(place, item(&self.1, Namespace::Data, path, &record)).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn record(number: u64, ms: u64) -> Record {
    let content = bytes::Bytes::from(format!("{{\"number\":{number},\"text\":\"{:0>80}\"}}", number));
    Record {
        version: Version {
            stamp: Stamp { ms, counter: 0 },
            origin_joined_ms: 1,
            uuid: Uuid::from_u128(u128::from(number) << 32 | u128::from(ms)),
        },
        dot: Dot { origin: Origin { node: Uuid::from_u128(1), epoch: 1 }, seq: number },
        kind: Kind::Value,
        expires_at_ms: 0,
        author: Principal::nobody(),
        owner: Principal::nobody(),
        digest: ContentDigest::of(&content),
        payload: Payload::Raw(content),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let count: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |count| count.parse())?;
    let key = DigestKey::alone();
    let mut stored = Vec::new();
    for number in 0..count {
        let path = Path::parse(&format!("users/{number:010}/profile/name"))?;
        let bytes = record_codec::encode(Namespace::Data, &path, &record(number, 1));
        stored.push((place(Namespace::Data, &path, 0), path, bytes::Bytes::from(bytes)));
    }
    let mut source = Stored(stored, key);

    let (from, to) = (Vec::new(), kvs_core::item::END.to_vec());
    let started = Instant::now();
    for (_, path, bytes) in &source.0 {
        std::hint::black_box(record_codec::decode(Namespace::Data, path, bytes)?);
    }
    let decode_s = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let mut items = Vec::new();
    source.visit(&from, &to, &mut |place, item| {
        items.push((place.to_vec(), item));
        std::ops::ControlFlow::Continue(())
    })?;
    let mut tree = SumTree::build(items);
    let rebuild_s = started.elapsed().as_secs_f64() - decode_s;
    let memory_bytes = tree.memory_bytes();

    // Overwrites of scattered keys: one item goes, one comes.
    let writes = 200_000_u64.min(count);
    let scattered: Vec<u64> =
        (0..writes).map(|write| write.wrapping_mul(0x9e37_79b9_7f4a_7c15) % count).collect();
    let pairs: Vec<(Path, Record, Record)> = scattered
        .iter()
        .map(|number| {
            Ok((
                Path::parse(&format!("users/{number:010}/profile/name"))?,
                record(*number, 1),
                record(*number, 2),
            ))
        })
        .collect::<Result<_, Box<dyn Error>>>()?;
    let started = Instant::now();
    for (path, old, new) in &pairs {
        for (record, sign) in [(old, Sign::Remove), (new, Sign::Add)] {
            let item = item(&key, Namespace::Data, path, record);
            tree.apply(&Delta { key: place(Namespace::Data, path, 0), item, sign });
        }
    }
    let overwrite_us = started.elapsed().as_secs_f64() * 1e6 / f64::from(u32::try_from(writes)?);

    // Every key new, in order: every block is cut in its turn and its records are read.
    let mut grown = SumTree::default();
    let inserts = usize::try_from(200_000_u64.min(count))?;
    let all = std::mem::take(&mut source.0);
    let started = Instant::now();
    for entry in all.into_iter().take(inserts) {
        let record = record_codec::decode(Namespace::Data, &entry.1, &entry.2)?;
        let item = item(&key, Namespace::Data, &entry.1, &record);
        grown.apply(&Delta { key: entry.0.clone(), item, sign: Sign::Add });
        source.0.push(entry);
        grown.settle(&mut source)?;
    }
    let insert_us = started.elapsed().as_secs_f64() * 1e6 / f64::from(u32::try_from(inserts)?);
    println!(
        "{{\"keys\":{count},\"overwrite_us\":{overwrite_us:.3},\"insert_us\":{insert_us:.3},\
         \"memory_bytes\":{memory_bytes},\"rebuild_beyond_scan_s\":{rebuild_s:.3},\"scan_s\":{decode_s:.3}}}"
    );
    Ok(())
}
