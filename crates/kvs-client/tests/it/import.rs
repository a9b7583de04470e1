//! Imports: every line is accounted for, whatever the node does.

use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use kvs_client::error::{ClientError, ErrorKind};
use kvs_client::http::Http;
use kvs_client::import::{ImportOptions, KeySource, Mode, OnDuplicate, import};
use kvs_client::limits::{ATTEMPTS_MAX, BATCH_BYTES_MAX, LINE_BYTES_MAX, NODE_REFUSALS_MAX};
use kvs_client::progress::Progress;
use kvs_client::report::ImportReport;
use kvs_client::template::Template;

use crate::server::{Reply, Server, client_of};

fn options() -> ImportOptions {
    ImportOptions {
        input: PathBuf::from("input"),
        keys: KeySource::Template(Template::parse("k/{n}", "-").unwrap()),
        on_duplicate: OnDuplicate::Overwrite,
        ttl: None,
        mode: Mode::Write,
        errors: None,
    }
}

fn run(http: &Http, input: &str, options: &ImportOptions) -> ImportReport {
    let report = import(http, input.as_bytes(), options, &Progress::hidden());
    assert!(report.is_balanced(), "{report:?}");
    report
}

fn numbered(count: usize) -> String {
    (1..=count).map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

fn refused_lines(report: &ImportReport) -> Vec<u64> {
    report.refusals.iter().map(|refusal| refusal.line).collect()
}

#[test]
fn good_lines_are_stored_byte_for_byte_and_bad_ones_are_named() {
    let server = Server::start();
    let input = "{\"n\": \"a/b\" }\n\nno json\n{\"n\":[]}\n{}\n{\"n\":\"..\"}";
    let report = run(&server.client(), input, &options());
    assert_eq!((report.lines, report.created, report.blank, report.refused), (6, 2, 1, 3));
    assert_eq!((report.escaped_fields, report.empty_fields), (1, 1));
    assert_eq!(refused_lines(&report), [3, 4, 6]);
    assert!(!report.is_complete());
    let keys = server.keys();
    assert_eq!(keys["k/a%2Fb"], "{\"n\": \"a/b\" }");
    assert_eq!(keys["k/-"], "{}");
}

#[test]
fn many_lines_travel_in_full_batches_over_one_connection() {
    let server = Server::start();
    let report = run(&server.client(), &numbered(2500), &options());
    assert_eq!((report.created, report.is_complete()), (2500, true));
    assert_eq!(server.keys().len(), 2500);
    assert_eq!((server.received().len(), server.connections()), (3, 1));
}

#[test]
fn a_gzipped_input_is_read_like_the_text_in_it() {
    let server = Server::start();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(numbered(10).as_bytes()).unwrap();
    let input = encoder.finish().unwrap();
    let report = import(&server.client(), input.as_slice(), &options(), &Progress::hidden());
    assert_eq!((report.created, report.bytes), (10, input.len() as u64));
}

#[test]
fn a_value_too_large_for_a_batch_is_put_alone_and_in_its_place() {
    let server = Server::scripted(|received| (received.method == "PUT").then(|| Reply::json(201, "{}")));
    let large = format!("{{\"n\":2,\"x\":\"{}\"}}", "x".repeat(BATCH_BYTES_MAX));
    let input = format!("{{\"n\":1}}\n{large}\n{{\"n\":3}}\n");
    let report = run(&server.client(), &input, &ImportOptions { ttl: Some("1h".to_owned()), ..options() });
    assert_eq!((report.created, report.is_complete()), (3, true));
    let received = server.received();
    let resources: Vec<&str> = received.iter().map(|received| received.resource.as_str()).collect();
    assert_eq!(resources, ["/kv/_batch", "/kv/k/2?ttl=1h", "/kv/_batch"]);
    assert_eq!(received[1].body, large);
}

#[test]
fn a_line_above_the_bound_is_refused_and_the_rest_is_stored() {
    let server = Server::start();
    let input = format!("{{\"n\":1,\"x\":\"{}\"}}\n{{\"n\":2}}\n", "x".repeat(LINE_BYTES_MAX));
    let report = run(&server.client(), &input, &options());
    assert_eq!((report.created, refused_lines(&report)), (1, vec![1]));
}

#[test]
fn repeated_keys_follow_the_chosen_rule() {
    let input = "{\"n\":1,\"v\":1}\n{\"n\":1,\"v\":2}\n{\"n\":\"1~2\"}\n{\"n\":1,\"v\":3}\n";
    let import_with = |on_duplicate| {
        let server = Server::start();
        let report = run(&server.client(), input, &ImportOptions { on_duplicate, ..options() });
        (server.keys(), report)
    };

    let (keys, report) = import_with(OnDuplicate::Overwrite);
    assert_eq!((report.created, report.replaced, report.duplicate_keys), (2, 2, 2));
    assert_eq!(keys["k/1"], "{\"n\":1,\"v\":3}");

    let (keys, report) = import_with(OnDuplicate::Skip);
    assert_eq!((report.created, report.skipped, report.duplicate_keys), (2, 2, 2));
    assert_eq!(keys["k/1"], "{\"n\":1,\"v\":1}");

    let (keys, report) = import_with(OnDuplicate::Number);
    assert_eq!((report.created, report.numbered, report.replaced, report.duplicate_keys), (4, 3, 0, 3));
    assert_eq!(keys["k/1~2"], "{\"n\":1,\"v\":2}");
    assert_eq!(keys["k/1~2~2"], "{\"n\":\"1~2\"}");
    assert_eq!(keys["k/1~3"], "{\"n\":1,\"v\":3}");
}

#[test]
fn a_dry_run_judges_every_line_and_sends_nothing() {
    let server = Server::start();
    let input = format!("{}bad\n", numbered(1500));
    let report = run(&server.client(), &input, &ImportOptions { mode: Mode::DryRun, ..options() });
    assert_eq!((report.unsent, report.refused, report.created), (1500, 1, 0));
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_lifetime_is_sent_with_every_value() {
    let server = Server::start();
    run(&server.client(), "{\"n\":1}", &ImportOptions { ttl: Some("1h".to_owned()), ..options() });
    assert!(server.received()[0].body.contains("\"ttl\":\"1h\""));
    let report =
        run(&server.client(), "{\"n\":1}", &ImportOptions { ttl: Some("soon".to_owned()), ..options() });
    assert_eq!(report.stopped.map(|error| error.kind()), Some(ErrorKind::Usage));
}

/// Refuses a batch as long as it holds one of these values, and says where if told to.
fn picky(bad: &'static [u32], names_index: bool) -> Server {
    Server::scripted(move |received| {
        let ops = received.body.split("{\"op\"").skip(1);
        let index = ops
            .enumerate()
            .find(|(_, op)| bad.iter().any(|bad| op.contains(&format!("\"k/{bad}\""))))
            .map(|(index, _)| index)?;
        Some(Reply::problem(400, "bad_json", names_index.then_some(index)))
    })
}

#[test]
fn an_operation_that_the_node_refuses_costs_itself_only() {
    for names_index in [true, false] {
        let server = picky(&[1, 2, 500, 1000, 1200], names_index);
        let report = run(&server.client(), &numbered(1200), &options());
        assert_eq!((report.created, report.replaced), (1195, 0), "index named: {names_index}");
        assert_eq!(refused_lines(&report), [1, 2, 500, 1000, 1200]);
        assert_eq!(report.refusals[0].path.as_deref(), Some("k/1"));
        assert!(report.refusals[0].reason.contains("bad_json"));
        assert!(report.stopped.is_none());
    }
}

#[test]
fn the_order_of_the_lines_is_kept_around_a_refused_one() {
    let server = picky(&[3], false);
    let input = "{\"n\":1,\"v\":1}\n{\"n\":2}\n{\"n\":3}\n{\"n\":1,\"v\":2}\n{\"n\":1,\"v\":3}\n";
    run(&server.client(), input, &options());
    assert_eq!(server.keys()["k/1"], "{\"n\":1,\"v\":3}");
}

#[test]
fn an_import_of_which_the_node_takes_nothing_ends_early() {
    let server = Server::scripted(|_| Some(Reply::problem(413, "too_large", Some(0))));
    let report = run(&server.client(), &numbered(5000), &options());
    assert_eq!((report.refused, report.created), (NODE_REFUSALS_MAX, 0));
    assert!(report.stopped.is_some() && report.lines < 5000);
}

#[test]
fn a_node_that_asks_to_wait_is_asked_again() {
    let mut asked = 0;
    let server = Server::scripted(move |_| {
        asked += 1;
        match asked {
            1 => Some(Reply::wait(503)),
            3 => Some(Reply::wait(429)),
            _ => None,
        }
    });
    let report = run(&server.client(), &numbered(2000), &options());
    assert_eq!((report.created, report.pauses, report.is_complete()), (2000, 2, true));
}

#[test]
fn a_node_that_asks_to_wait_for_ever_ends_the_import() {
    let server = Server::scripted(|_| Some(Reply::wait(503)));
    let report = run(&server.client(), &numbered(10), &options());
    assert_eq!((report.unsent, report.created), (10, 0));
    assert!(matches!(report.stopped, Some(ClientError::Refused(problem)) if problem.status == 503));
    assert_eq!(server.received().len(), ATTEMPTS_MAX as usize);
}

#[test]
fn a_missing_right_or_a_full_disk_ends_the_import_at_once() {
    for (status, code) in [(403, "read_only"), (507, "disk_full"), (401, "unauthorized"), (503, "poisoned")] {
        let server = Server::scripted(move |_| Some(Reply::problem(status, code, None)));
        let report = run(&server.client(), &numbered(3000), &options());
        assert_eq!((report.unsent, report.refused), (report.lines, 0));
        assert!(report.stopped.unwrap().to_string().contains(code));
        assert_eq!(server.received().len(), 1);
    }
}

#[test]
fn a_connection_that_breaks_ends_the_import_with_what_is_stored_so_far() {
    let mut asked = 0;
    let server = Server::scripted(move |_| {
        asked += 1;
        (asked == 2).then_some(Reply::BreakOff)
    });
    let report = run(&server.client(), &numbered(3000), &options());
    assert_eq!((report.created, report.unsent), (1000, report.lines - 1000));
    assert!(matches!(report.stopped, Some(ClientError::Interrupted { .. })), "{:?}", report.stopped);
}

#[test]
fn an_answer_that_is_not_a_nodes_is_no_success() {
    for body in ["{\"results\":[]}", "[]", "hello", "{\"results\":[{\"status\":404}]}"] {
        let server = Server::scripted(move |_| Some(Reply::json(200, body)));
        let report = run(&server.client(), "{\"n\":1}", &options());
        assert!(matches!(report.stopped, Some(ClientError::ForeignAnswer { .. })), "{body}");
        assert_eq!((report.created, report.unsent), (0, 1));
    }
}

#[test]
fn without_a_node_nothing_is_sent_and_the_kind_says_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let report = run(&client_of(&url), "{\"n\":1}", &options());
    assert_eq!(report.stopped.map(|error| error.kind()), Some(ErrorKind::NotRunning));
}

#[test]
fn all_refused_lines_are_written_to_the_errors_file() {
    let folder = tempfile::tempdir().unwrap();
    let errors = folder.path().join("errors.jsonl");
    let server = picky(&[7], true);
    let input = format!("{}{}", "bad\n".repeat(30), numbered(10));
    let report = run(&server.client(), &input, &ImportOptions { errors: Some(errors.clone()), ..options() });
    assert_eq!((report.refused, report.refusals.len()), (31, 20));
    let written = std::fs::read_to_string(errors).unwrap();
    let lines: Vec<serde_json::Value> =
        written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), lines[0]["line"].as_u64(), lines[30]["line"].as_u64()), (31, Some(1), Some(37)));
    assert_eq!(lines[30]["path"], "k/7");
}

#[test]
fn an_input_that_breaks_off_keeps_what_was_read_before() {
    struct Torn<'a>(&'a [u8]);
    impl std::io::Read for Torn<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match std::io::Read::read(&mut self.0, buffer)? {
                0 => Err(std::io::Error::other("torn")),
                read => Ok(read),
            }
        }
    }
    let server = Server::start();
    let input = numbered(1001);
    let report = import(&server.client(), Torn(input.as_bytes()), &options(), &Progress::hidden());
    assert!(matches!(report.stopped, Some(ClientError::Read { .. })));
    assert_eq!((report.created, report.unsent, report.is_balanced()), (1000, 1, true));
}
