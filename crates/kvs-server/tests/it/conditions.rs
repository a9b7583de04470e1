//! Entity tags and the conditions that name them.

use crate::support::{JSON, TestNode, refused};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_the_version_is_told_so() {
    let node = TestNode::start().await;
    let put = node.put("/kv/a", "1").await;
    let etag = put.header("etag").unwrap();
    let got = node.get("/kv/a").await;
    assert_eq!(got.header("etag"), Some(etag));
    assert!(got.header("last-modified").is_some_and(|date| date.ends_with(" GMT")));
    assert_eq!(got.header("cache-control"), Some("no-cache"));
    for tags in [etag.to_owned(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
        let known = node.request("GET", "/kv/a", &format!("If-None-Match: {tags}\r\n"), "").await;
        assert_eq!((known.status, known.text()), (304, ""), "{tags}");
        assert_eq!(known.header("etag"), Some(etag));
    }
    assert_eq!(node.request("GET", "/kv/a", "If-None-Match: \"x\"\r\n", "").await.status, 200);
    assert_eq!(node.request("GET", "/kv/b", "If-None-Match: *\r\n", "").await.status, 404);
    assert_eq!(node.request("GET", "/kv/a", &format!("If-Match: {etag}\r\n"), "").await.status, 200);
    let failed = node.request("GET", "/kv/a", "If-Match: \"x\"\r\n", "").await;
    assert_eq!(failed.refusal(), refused(412, "precondition_failed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_a_get_without_its_body() {
    let node = TestNode::start().await;
    node.put("/kv/a", "{\"x\":1}").await;
    let (got, head) = (node.get("/kv/a").await, node.request("HEAD", "/kv/a", "", "").await);
    assert_eq!(head.status, 200);
    for name in ["etag", "last-modified", "content-type", "content-length"] {
        assert_eq!(head.header(name), got.header(name), "{name}");
    }
    assert_eq!(head.header("content-length"), Some(got.text().len().to_string().as_str()));
    assert_eq!(node.request("HEAD", "/kv/b", "", "").await.status, 404);
    // No byte of a body is on the wire: the next answer follows at once.
    let mut client = node.connect().await;
    client
        .send("HEAD /kv/a HTTP/1.1\r\nHost: localhost\r\n\r\nGET /kv/b HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(client.answer_head().await.status, 200);
    assert_eq!(client.answer().await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conditional_write_happens_only_if_its_condition_holds() {
    let node = TestNode::start().await;
    let if_match = |tag: &str| format!("{JSON}If-Match: {tag}\r\n");
    let absent = format!("{JSON}If-None-Match: *\r\n");
    let failed = refused(412, "precondition_failed");
    assert_eq!(node.request("PUT", "/kv/a", &if_match("*"), "0").await.refusal(), failed);
    let first = node.request("PUT", "/kv/a", &absent, "1").await;
    assert_eq!(first.status, 201);
    assert_eq!(node.request("PUT", "/kv/a", &absent, "2").await.refusal(), failed);
    let tag = first.header("etag").unwrap();
    let second = node.request("PUT", "/kv/a", &if_match(tag), "3").await;
    assert_eq!(second.status, 200);
    assert_eq!(node.request("PUT", "/kv/a", &if_match(tag), "4").await.refusal(), failed);
    // A weak tag never matches strongly.
    let weak = format!("W/{}", second.header("etag").unwrap());
    assert_eq!(node.request("PUT", "/kv/a", &if_match(&weak), "5").await.refusal(), failed);
    assert_eq!(node.get("/kv/a").await.json()["data"], 3);
    assert_eq!(node.request("DELETE", "/kv/a", &if_match(tag), "").await.refusal(), failed);
    assert_eq!(
        node.request("DELETE", "/kv/a", &if_match(second.header("etag").unwrap()), "").await.status,
        204
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_writers_with_one_condition_one_wins() {
    let node = TestNode::start().await;
    let tag = node.put("/kv/a", "0").await.header("etag").unwrap().to_owned();
    let headers = format!("{JSON}If-Match: {tag}\r\n");
    let mut writers = Vec::new();
    for number in 1..=16 {
        let (mut client, headers) = (node.connect().await, headers.clone());
        writers.push(tokio::spawn(async move {
            client.request("PUT", "/kv/a", &headers, &number.to_string()).await.status
        }));
    }
    let mut won = 0;
    for writer in writers {
        match writer.await.unwrap() {
            200 => won += 1,
            status => assert_eq!(status, 412),
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_is_not_well_formed_is_refused() {
    let node = TestNode::start().await;
    for header in [
        "If-Match: abc",
        "If-Match: \"a",
        "If-None-Match: ",
        "If-Unmodified-Since: Thu, 01 Jan 2026 00:00:00 GMT",
    ] {
        let put = node.request("PUT", "/kv/a", &format!("{JSON}{header}\r\n"), "1").await;
        assert_eq!(put.refusal(), refused(400, "bad_condition"), "{header}");
    }
    let recursive = node.request("DELETE", "/kv/a?recursive=true", "If-Match: *\r\n", "").await;
    assert_eq!(recursive.refusal(), refused(400, "bad_condition"));
}
