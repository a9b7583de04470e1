//! Backups with fitting checksums and wrong content: whoever can compute a checksum can still not make the reader panic,
//! take more memory than a block has, or restore what no node could have written.

use std::path::Path;
use std::process::Command;

use kvs_core::namespace::Namespace;
use kvs_store::backup::format::BLOCK_BYTES_MAX;
use kvs_store::backup::verify::verify;
use kvs_store::keys::{history_key, record_key};
use kvs_store::row::Row;
use kvs_store::settings::Settings;
use kvs_store::table::Table;
use uuid::Uuid;

use crate::node::{Node, restore_to, rows};

/// Set for the process that reads a forged file and looks at its own memory.
const CHILD_FILE: &str = "KVS_TEST_FORGED_FILE";

fn tag(parts: &[&[u8]]) -> [u8; 32] {
    *blake3::hash(&parts.concat()).as_bytes()
}

/// Writes a backup as the format's tables say it, from the blocks' frames and the lengths that they claim.
fn forge(file: &Path, frames: &[(Vec<u8>, u32)], counts: [u64; 4]) {
    let node = Uuid::from_u128(1);
    let mut out = b"\x89KVSB\r\n\x1a\x01".to_vec();
    out.extend_from_slice(node.as_bytes());
    out.extend_from_slice(&1_u32.to_be_bytes());
    out.extend_from_slice(&5_u64.to_be_bytes());
    let header_tag = tag(&[&out]);
    out.extend_from_slice(&header_tag);
    let mut chain = header_tag;
    for (frame, rows_len) in frames {
        let mut head = vec![1];
        head.extend_from_slice(&u32::try_from(frame.len()).unwrap().to_be_bytes());
        head.extend_from_slice(&rows_len.to_be_bytes());
        chain = tag(&[&chain, &head, frame]);
        out.extend([head.as_slice(), frame, &chain].concat());
    }
    let mut manifest = chain.to_vec();
    manifest.extend_from_slice(&(frames.len() as u64).to_be_bytes());
    manifest.extend_from_slice(node.as_bytes());
    manifest.extend_from_slice(&1_u32.to_be_bytes());
    for number in [5, 9, 9].into_iter().chain(counts) {
        manifest.extend_from_slice(&u64::to_be_bytes(number));
    }
    manifest.extend_from_slice(b"\x01n\x01v");
    let mut trailer = vec![2];
    trailer.extend_from_slice(&u32::try_from(manifest.len()).unwrap().to_be_bytes());
    trailer.extend_from_slice(&manifest);
    let trailer_tag = tag(&[&header_tag, &trailer]);
    trailer.extend_from_slice(&trailer_tag);
    out.extend_from_slice(&trailer);
    out.extend_from_slice(&u32::try_from(trailer.len()).unwrap().to_be_bytes());
    out.extend_from_slice(b"KVSBend\n");
    std::fs::write(file, out).unwrap();
}

fn row(table: Table, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut row = vec![if table == Table::Records { 1 } else { 2 }];
    row.extend_from_slice(&u16::try_from(key.len()).unwrap().to_be_bytes());
    row.extend_from_slice(key);
    row.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
    row.extend_from_slice(value);
    row
}

/// One block with these rows.
fn block(rows: &[Vec<u8>]) -> (Vec<u8>, u32) {
    let rows = rows.concat();
    (zstd::bulk::compress(&rows, 1).unwrap(), u32::try_from(rows.len()).unwrap())
}

/// A node's rows, ready to be put together in other ways: keys `a` (two revisions) and `b` (none).
fn honest() -> (Node, Vec<Vec<u8>>) {
    let mut node = Node::new(Settings::default());
    for json in ["1", "2", "3"] {
        node.put("a", json, None);
    }
    node.put("b", "44", None);
    node.close();
    let records = rows(&node.data_dir(), Table::Records);
    let history = rows(&node.data_dir(), Table::History);
    let of = |table, rows: &[(bytes::Bytes, bytes::Bytes)]| -> Vec<_> {
        rows.iter().map(|(key, value)| row(table, key, value)).collect()
    };
    let (records, history) = (of(Table::Records, &records), of(Table::History, &history));
    let ordered = vec![records[0].clone(), history[0].clone(), history[1].clone(), records[1].clone()];
    (node, ordered)
}

#[test]
fn rows_that_no_node_could_have_written_are_refused_whatever_the_checksums_say() {
    let (node, good) = honest();
    let file = node.folder.path().join("forged.kvsb");
    let target = node.folder.path().join("target");
    let counts = [2, 3, 0, 2];
    forge(&file, &[block(&good)], counts);
    // The forger's format is the true one: an honest file passes.
    let manifest = verify(&file, &mut |_| {}).unwrap().manifest().clone();
    assert_eq!((manifest.tally.keys, manifest.tally.revisions), (2, 2));
    forge(&file, &[block(&good[..2]), block(&good[2..])], counts);
    assert!(verify(&file, &mut |_| {}).is_ok());

    let [a, a_first, a_second, b] = good.as_slice() else { panic!("four rows") };
    let rows = |chosen: &[&Vec<u8>]| chosen.iter().map(|row| (*row).clone()).collect::<Vec<_>>();
    let decoded = kvs_store::keys::read_record_key(b"\x01b").unwrap();
    let mut lying = Row::decode(&decoded, &bytes::Bytes::copy_from_slice(&b[1 + 2 + 2 + 4..])).unwrap();
    lying.record.payload = kvs_core::record::Payload::Raw(bytes::Bytes::from_static(b"45"));
    let lying = row(Table::Records, b"\x01b", &lying.encode(&decoded));
    let stray_key = history_key(Namespace::Data, &decoded.path, 0);
    let unknown_kind = {
        let mut row = b.clone();
        row[0] = 3;
        row
    };
    let reserved = row(Table::Records, b"\x01_x", &b[9..]);
    let other_key = row(
        Table::Records,
        &record_key(Namespace::Data, &kvs_core::path::Path::parse("c").unwrap()),
        &b[9..],
    );
    for (name, rows, counts) in [
        ("out of order", rows(&[b, a, a_first, a_second]), counts),
        ("twice", rows(&[a, a_first, a_second, b, b]), [3, 5, 0, 2]),
        ("a revision is missing", rows(&[a, a_second, b]), [2, 3, 0, 1]),
        ("the last revision is missing", rows(&[a, a_first]), [1, 1, 0, 1]),
        ("revisions out of order", rows(&[a, a_second, a_first, b]), counts),
        ("a revision too many", rows(&[a, a_first, a_second, b, a_second]), [2, 3, 0, 3]),
        ("a revision first", rows(&[a_first, a, a_second, b]), counts),
        (
            "a stray revision",
            [good.clone(), vec![row(Table::History, &stray_key, b"")]].concat(),
            [2, 3, 0, 3],
        ),
        ("too few counted", good.clone(), [1, 3, 0, 2]),
        ("too many bytes counted", good.clone(), [2, 4, 0, 2]),
        ("a tombstone counted", good.clone(), [2, 3, 1, 2]),
        ("an unknown kind of row", rows(&[a, a_first, a_second, &unknown_kind]), counts),
        ("a payload and another digest", rows(&[a, a_first, a_second, &lying]), counts),
        ("a reserved path", rows(&[a, a_first, a_second, &reserved]), counts),
        ("a record under another key", rows(&[a, a_first, a_second, &other_key]), counts),
        ("half a row", vec![a[..20].to_vec()], counts),
        ("no rows", vec![vec![]], counts),
    ] {
        forge(&file, &[block(&rows)], counts);
        assert!(restore_to(&file, &target).is_err(), "{name}");
        assert!(!target.exists(), "{name}");
    }
}

#[test]
fn a_block_is_never_larger_than_it_says_nor_than_a_block_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bomb.kvsb");
    // A gigabyte of zeros in some 30 kB.
    let mut bomb = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..1024 {
        std::io::Write::write_all(&mut bomb, &zeros).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    let most = u32::try_from(BLOCK_BYTES_MAX).unwrap();
    for claim in [0, 1, 1 << 20, most, most + 1, 1 << 30, u32::MAX] {
        forge(&file, &[(bomb.clone(), claim)], [0; 4]);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "forged::reads_a_forged_file_in_bounded_memory", "--ignored", "--nocapture"])
            .env(CHILD_FILE, &file)
            .output()
            .unwrap();
        assert!(child.status.success(), "claim {claim}: {}", String::from_utf8_lossy(&child.stdout));
    }
}

#[test]
#[ignore = "the process that another test starts to look at its memory"]
fn reads_a_forged_file_in_bounded_memory() {
    let Ok(file) = std::env::var(CHILD_FILE) else { return };
    assert!(verify(Path::new(&file), &mut |_| {}).is_err());
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(peak) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
        let peak_kb: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        // One block, its frame, and the test's own program.
        assert!(peak_kb < 200 * 1024, "{peak_kb} kB");
    }
}

#[test]
fn a_length_without_bytes_behind_it_takes_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("long.kvsb");
    forge(&file, &[], [0; 4]);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.truncate(69);
    bytes.extend_from_slice(&[1, 0x03, 0xff, 0xff, 0xff, 0, 0x10, 0, 0]);
    std::fs::write(&file, &bytes).unwrap();
    let error = verify(&file, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("cut off"), "{error}");
    bytes[70] = 0xff;
    std::fs::write(&file, &bytes).unwrap();
    let error = verify(&file, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("out of bounds"), "{error}");
}
