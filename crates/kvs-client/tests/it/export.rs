//! Exports: complete or not there, and what is imported from them is what was exported.

use std::path::Path;

use kvs_client::error::ClientError;
use kvs_client::export::{export_to, export_to_file};
use kvs_client::import::{ImportOptions, KeySource, Mode, OnDuplicate, import};
use kvs_client::limits::PAGE_BYTES_MAX;
use kvs_client::progress::Progress;

use crate::server::{Reply, Server};

fn filled(count: usize) -> Server {
    let server = Server::start();
    for n in 0..count {
        server.insert(&format!("a/{n:05}"), &format!("{{ \"n\" : {n}.0 }}"));
    }
    server.insert("b/other", "null");
    server
}

fn files_in(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn what_is_exported_page_by_page_is_imported_byte_for_byte() {
    let (first, second) = (filled(2345), Server::start());
    let mut exported = Vec::new();
    let report =
        export_to(&first.client(), "a/", &mut exported, Path::new("-"), &Progress::hidden()).unwrap();
    assert_eq!((report.keys, report.bytes), (2345, exported.len() as u64));
    assert_eq!(first.received().len(), 3);

    let options = ImportOptions {
        input: "exported".into(),
        keys: KeySource::Lines,
        on_duplicate: OnDuplicate::Overwrite,
        ttl: None,
        mode: Mode::Write,
        errors: None,
    };
    let report = import(&second.client(), exported.as_slice(), &options, &Progress::hidden());
    assert_eq!((report.created, report.is_complete()), (2345, true));
    let mut expected = first.keys();
    expected.remove("b/other");
    assert_eq!(second.keys(), expected);
}

#[test]
fn a_file_is_private_and_the_only_thing_left_in_its_folder() {
    use std::os::unix::fs::PermissionsExt;
    let (server, folder) = (filled(3), tempfile::tempdir().unwrap());
    let path = folder.path().join("out.jsonl");
    export_to_file(&server.client(), "", &path, &Progress::hidden()).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 4);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(files_in(folder.path()), ["out.jsonl"]);
}

#[test]
fn an_export_that_fails_leaves_the_former_file_and_nothing_else() {
    let mut asked = 0;
    let server = Server::scripted(move |_| {
        asked += 1;
        (asked == 2).then_some(Reply::BreakOff)
    });
    for n in 0..1500 {
        server.insert(&format!("a/{n:05}"), "1");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    std::fs::write(&path, "former").unwrap();
    let error = export_to_file(&server.client(), "", &path, &Progress::hidden()).unwrap_err();
    assert!(matches!(error, ClientError::Interrupted { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "former");
    assert_eq!(files_in(folder.path()), ["out.jsonl"]);
}

#[test]
fn what_is_no_file_is_written_to_and_not_replaced() {
    let server = filled(1);
    export_to_file(&server.client(), "", Path::new("/dev/null"), &Progress::hidden()).unwrap();
    assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
}

#[test]
fn a_page_of_large_values_is_asked_for_again_with_fewer_keys() {
    let server = Server::start();
    let large = format!("\"{}\"", "x".repeat(1024 * 1024));
    let count = PAGE_BYTES_MAX / (1024 * 1024) * 2;
    for n in 0..count {
        server.insert(&format!("a/{n:05}"), &large);
    }
    let mut exported = Vec::new();
    let report = export_to(&server.client(), "", &mut exported, Path::new("-"), &Progress::hidden()).unwrap();
    assert_eq!(report.keys, count);
    assert_eq!(exported.iter().filter(|&&byte| byte == b'\n').count() as u64, count);
}

#[test]
fn a_listing_that_does_not_go_on_is_an_error_and_no_endless_loop() {
    let page = "{\"items\":[],\"prefixes\":[],\"next\":\"same\"}";
    let server = Server::scripted(move |_| Some(Reply::json(200, page)));
    let error = export_to(&server.client(), "", &mut Vec::new(), Path::new("-"), &Progress::hidden());
    assert!(matches!(error, Err(ClientError::ForeignAnswer { .. })));
}
