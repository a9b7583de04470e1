//! Files that hold anything at all: they are judged, and a node opens behind them, without a crash.

use std::fs;
use std::ops::ControlFlow;

use kvs_audit::audit_log::AuditLog;
use kvs_audit::report::Verdict;
use kvs_audit::show::{Filter, show};
use proptest::prelude::*;

use crate::scene::{Scene, fill, options};

/// Bytes with more line breaks, digits and braces than chance has.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        Just(b"\n".to_vec()),
        Just(br#"{"seq":18446744073709551615,"time_ms":1,"event":"opened","who":"","result":"ok""#.to_vec()),
        Just(format!(r#","prev":"{0}","hash":"{0}"}}"#, "0".repeat(64)).into_bytes()),
        Just(vec![0; 3000]),
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_in_any_file_are_judged_and_gone_on_behind(
        segment in bytes(), first_seq in prop_oneof![1..9_u64, any::<u64>()], own in bytes(), peer in bytes(), retired in bytes(),
    ) {
        let scene = Scene::new();
        fill(&scene.log(700), 3);
        let name = format!("{first_seq:020}.jsonl");
        fs::write(scene.audit().join(name), &segment).unwrap();
        fs::write(scene.audit().join("checkpoints.jsonl"), own).unwrap();
        fs::create_dir_all(scene.peer().join("audit/peers")).unwrap();
        fs::write(scene.peer().join(format!("audit/peers/{}.jsonl", crate::scene::NODE)), peer).unwrap();
        fs::write(scene.audit().join("retired.json"), retired).unwrap();
        let before = scene.verify();
        // The statement about removed entries is none, whatever else is right.
        prop_assert_eq!(before.verdict(), Verdict::Bad);
        show(&scene.audit(), &Filter::default(), &mut |_, _| ControlFlow::Continue(())).unwrap();
        let log = AuditLog::open(&scene.audit(), options(700), 2_000).unwrap();
        prop_assert!(log.opening().damage.is_some());
        fill(&log, 3);
        drop(log);
        prop_assert_eq!(scene.verify().verdict(), Verdict::Bad);
    }
}
