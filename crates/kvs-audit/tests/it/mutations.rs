//! A thousand ways to bend a trail in one place: each is told, and at its place where the chain shows one.

use std::fs;
use std::path::PathBuf;

use kvs_audit::hash::EntryHash;
use kvs_audit::report::{Report, Verdict};
use kvs_audit::verify::{Against, verify};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::scene::{NODE, Scene, fill};

/// How many bent trails are looked at.
const MUTATIONS: u32 = 1_000;

/// A way to bend a trail of lines. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Bend {
    FlipByte {
        line: usize,
        byte: usize,
        bits: u8,
    },
    Drop {
        line: usize,
    },
    Copy {
        line: usize,
        to: usize,
    },
    Swap {
        one: usize,
        other: usize,
    },
    /// A line that is whole in itself, with the right number, that follows nothing.
    Forge {
        line: usize,
    },
    /// A line that follows the one before it, without the rest being hashed anew.
    ForgeFitting {
        line: usize,
    },
    /// A line changed and hashed anew, and the rest left as it was.
    Rehash {
        line: usize,
    },
    /// A line changed, and everything from there on hashed anew.
    RehashAll {
        line: usize,
    },
}

fn bends() -> impl Strategy<Value = Bend> {
    let at = || any::<usize>();
    prop_oneof![
        3 => (at(), at(), 1_u8..=255).prop_map(|(line, byte, bits)| Bend::FlipByte { line, byte, bits }),
        1 => at().prop_map(|line| Bend::Drop { line }),
        1 => (at(), at()).prop_map(|(line, to)| Bend::Copy { line, to }),
        1 => (at(), at()).prop_map(|(one, other)| Bend::Swap { one, other }),
        1 => at().prop_map(|line| Bend::Forge { line }),
        1 => at().prop_map(|line| Bend::ForgeFitting { line }),
        1 => at().prop_map(|line| Bend::Rehash { line }),
        1 => at().prop_map(|line| Bend::RehashAll { line }),
    ]
}

/// The bytes of a line as lines stand in files.
type Line = Vec<u8>;

/// The line with other content, following `prev`, and its hash.
fn hashed(line: &[u8], content: (&str, &str), prev: &str) -> (Line, String) {
    let text = std::str::from_utf8(line).unwrap();
    let (members, _) = text.split_once(",\"prev\":\"").unwrap();
    let head = format!("{},\"prev\":\"{prev}\"", members.replace(content.0, content.1));
    let hash = EntryHash::of(head.as_bytes()).to_hex();
    (format!("{head},\"hash\":\"{hash}\"}}\n").into_bytes(), hash)
}

fn member(line: &[u8], name: &str) -> String {
    serde_json::from_slice::<serde_json::Value>(line).unwrap()[name].as_str().unwrap().to_owned()
}

/// Bends `lines`; returns the first line (from 0) that may be named for it, and the last.
fn bend(lines: &mut Vec<Line>, bend: &Bend) -> (usize, usize) {
    let count = lines.len();
    let edit = ("\"event\":\"", "\"event\":\"x");
    match *bend {
        Bend::FlipByte { line, byte, bits } => {
            let line = line % count;
            let byte = byte % lines[line].len();
            lines[line][byte] ^= bits;
            (line, line)
        }
        Bend::Drop { line } => {
            let line = line % count;
            lines.remove(line);
            (line, line)
        }
        Bend::Copy { line, to } => {
            let (line, to) = (line % count, to % (count + 1));
            lines.insert(to, lines[line].clone());
            // A copy beside its original is the same wherever it stands.
            if to == line { (to + 1, to + 1) } else { (to, to) }
        }
        Bend::Swap { one, other } => {
            let one = one % count;
            let other = if other % count == one { (one + 1) % count } else { other % count };
            lines.swap(one, other);
            (one.min(other), one.min(other))
        }
        Bend::Forge { line } => {
            let line = line % count;
            let (forged, _) = hashed(&lines[line], edit, &"ab".repeat(32));
            lines.insert(line, forged);
            (line, line)
        }
        Bend::ForgeFitting { line } => {
            let line = line % count;
            let (forged, _) = hashed(&lines[line], edit, &member(&lines[line], "prev"));
            lines.insert(line, forged);
            // When nothing follows, no one can tell which of the two is the one too many.
            (line, if line + 1 == count { line + 1 } else { line })
        }
        Bend::Rehash { line } => {
            let line = line % count;
            (lines[line], _) = hashed(&lines[line], edit, &member(&lines[line], "prev"));
            // When one line follows, it may as well be that one.
            (line, if line + 2 == count { line + 1 } else { line })
        }
        Bend::RehashAll { line } => {
            let line = line % count;
            let mut prev = member(&lines[line], "prev");
            for (at, text) in lines.iter_mut().enumerate().skip(line) {
                let content = if at == line { edit } else { ("", "") };
                (*text, prev) = hashed(text, content, &prev);
            }
            // The chain is whole: only who kept a checkpoint can tell, from that entry on.
            (line, count - 1)
        }
    }
}

#[test]
fn a_thousand_bent_trails_are_told_and_the_place_is_named() {
    let scene = Scene::new();
    let log = scene.log(2_500);
    fill(&log, 10);
    scene.keep(&log.checkpoint_now(3_000).unwrap().unwrap());
    fill(&log, 30);
    scene.keep(&log.checkpoint_now(4_000).unwrap().unwrap());
    drop(log);
    // Whoever bends the trail thinks of the node's own checkpoints.
    scene.forget_own();
    let whole: Vec<(PathBuf, Vec<Line>)> = scene
        .segments()
        .into_iter()
        .map(|path| {
            let bytes = fs::read(&path).unwrap();
            (path, bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect())
        })
        .collect();
    let lines: Vec<Line> = whole.iter().flat_map(|(_, lines)| lines.clone()).collect();
    assert!(whole.len() > 3 && lines.len() == 41);
    assert_eq!(scene.verify().verdict(), Verdict::Anchored { up_to: 41 });

    let peers = [scene.peer()];
    let config = Config { cases: MUTATIONS, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let outcome = runner.run(&bends(), |how| {
        let mut bent = lines.clone();
        let (first, last) = bend(&mut bent, &how);
        prop_assume!(bent != lines);
        let layout = layout(&whole, bent.len(), first);
        let mut rest = &bent[..];
        for ((path, _), count) in whole.iter().zip(&layout) {
            let (here, behind) = rest.split_at(*count);
            fs::write(path, here.concat()).unwrap();
            rest = behind;
        }
        // The auditor knows whose trail it should be.
        let asked = Against { peer_paths: &peers, node: Some(NODE) };
        let report = verify(&scene.audit(), asked, &mut |_| {}).unwrap();
        prop_assert_eq!(report.verdict(), Verdict::Bad, "{:?}", report);
        if let Some(named) = named(&whole, &layout, &report) {
            prop_assert!(
                first <= named && named <= last,
                "{:?}: {} to {}: {:?}",
                how,
                first,
                last,
                report.fault
            );
        }
        Ok(())
    });
    for (path, lines) in &whole {
        fs::write(path, lines.concat()).unwrap();
    }
    assert_eq!(scene.verify().verdict(), Verdict::Anchored { up_to: 41 });
    outcome.unwrap();
}

/// How many lines of the bent trail each file gets: as many as it had, and the one with the bend what is more or less.
fn layout(whole: &[(PathBuf, Vec<Line>)], bent_count: usize, at: usize) -> Vec<usize> {
    let mut counts: Vec<usize> = whole.iter().map(|(_, lines)| lines.len()).collect();
    let (count, mut end) = (counts.iter().sum::<usize>(), 0);
    let bent_file = counts.iter().position(|lines| {
        end += lines;
        at < end
    });
    let bent_file = bent_file.unwrap_or(counts.len() - 1);
    counts[bent_file] = counts[bent_file] + bent_count - count;
    counts
}

/// Which line (from 0, of all) the report names; `None` when it names none, as for a cut end.
fn named(whole: &[(PathBuf, Vec<Line>)], layout: &[usize], report: &Report) -> Option<usize> {
    let place = report.fault.as_ref()?.place.as_ref()?;
    let file = whole.iter().position(|(path, _)| path.file_name().unwrap().to_str() == Some(&place.file));
    let before: usize = layout[..file.expect("a segment")].iter().sum();
    Some(before + usize::try_from(place.line).unwrap() - 1)
}
