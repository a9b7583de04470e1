//! One value: written, read, deleted, expired.

use crate::support::{JSON, TestNode, eventually, refused};

#[tokio::test(flavor = "multi_thread")]
async fn a_value_comes_back_byte_for_byte() {
    let node = TestNode::start().await;
    for (key, sent) in [
        ("plain", "{\"a\":1}"),
        ("blanks", " \n{ \"a\" : 1.0 ,\"a\":2}\t"),
        ("scalar", "1e2"),
        ("text", "\"\\u00e9\\ud83d\\ude00 \u{7f}\""),
        ("null", "null"),
    ] {
        let put = node.put(&format!("/kv/bytes/{key}"), sent).await;
        assert_eq!(put.status, 201);
        // Twice: from the store, then from the cache.
        for _ in 0..2 {
            let got = node.get(&format!("/kv/bytes/{key}")).await;
            assert_eq!(got.status, 200);
            let (uuid, timestamp) = (put.uuid(), put.json()["timestamp"].clone());
            assert_eq!(
                got.text(),
                format!("{{\"uuid\":\"{uuid}\",\"timestamp\":{timestamp},\"data\":{sent}}}")
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_after_a_write_shows_that_write_however_hot_the_key_is() {
    let node = TestNode::start().await;
    let (mut writer, mut reader) = (node.connect().await, node.connect().await);
    for round in 0..300 {
        let put = writer.request("PUT", "/kv/hot", JSON, &round.to_string()).await;
        for _ in 0..3 {
            let got = reader.request("GET", "/kv/hot", "", "").await;
            assert_eq!((got.uuid(), got.json()["data"].as_u64()), (put.uuid(), Some(round)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_write_creates_and_the_next_replaces() {
    let node = TestNode::start().await;
    let first = node.put("/kv/a", "1").await;
    let second = node.put("/kv/a", "2").await;
    assert_eq!((first.status, second.status), (201, 200));
    assert_eq!(second.header("etag"), Some(format!("\"{}\"", second.uuid()).as_str()));
    assert!(first.uuid() != second.uuid());
    assert_eq!(node.delete("/kv/a").await.status, 204);
    assert_eq!(node.put("/kv/a", "3").await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leading_slash_and_encoding_name_the_same_key() {
    let node = TestNode::start().await;
    assert_eq!(node.put("/kv/caf%C3%A9/%7Ex", "1").await.status, 201);
    assert_eq!(node.put("/kv//caf%c3%a9/~x", "2").await.status, 200);
    assert_eq!(node.get("/kv/caf%C3%A9/~x").await.json()["data"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_paths_are_refused_for_every_verb() {
    let node = TestNode::start().await;
    let long = format!("/kv/{}", "a".repeat(1025));
    let deep = format!("/kv/{}", vec!["a"; 65].join("/"));
    for target in [
        "/kv/",
        "/kv/a//b",
        "/kv/a/",
        "/kv/../a",
        "/kv/a/%2e%2E",
        "/kv/a%2Fb",
        "/kv/a%00b",
        "/kv/%5Frange",
        "/kv/_x",
        "/kv/_range/a",
        "/kv/a%FF",
        "/kv/a%",
        &long,
        &deep,
    ] {
        assert_eq!(node.get(target).await.refusal(), refused(400, "bad_path"), "{target}");
        assert_eq!(node.put(target, "1").await.refusal(), refused(400, "bad_path"), "{target}");
        assert_eq!(node.delete(target).await.refusal(), refused(400, "bad_path"), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_json_is_refused_and_nothing_is_stored() {
    let node = TestNode::start().await;
    let deep = "[".repeat(129) + &"]".repeat(129);
    for body in ["", "{", "1 2", "nul", "1e999", "\"\\ud800\"", "{\"a\":\"\u{1}\"}", "\u{feff}1", &deep] {
        assert_eq!(node.put("/kv/bad", body).await.refusal(), refused(400, "bad_json"), "{body}");
    }
    assert_eq!(node.get("/kv/bad").await.status, 404);
    let deepest = "[".repeat(128) + &"]".repeat(128);
    assert_eq!(node.put("/kv/deep", &deepest).await.status, 201);
    assert!(node.get("/kv/deep").await.text().contains(&deepest));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_json_is_taken_as_json() {
    let node = TestNode::start().await;
    for headers in ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"]
    {
        let put = node.request("PUT", "/kv/a", headers, "1").await;
        assert_eq!(put.refusal(), refused(415, "unsupported_media_type"), "{headers}");
    }
    let put = node.request("PUT", "/kv/a", "Content-Type: application/json; charset=utf-8\r\n", "1").await;
    assert_eq!(put.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_to_live_comes_by_envelope_query_or_default() {
    let node = TestNode::start_with("default_ttl: \"1d\"\n").await;
    let lifetime = async |key: &str| {
        let got = node.get(key).await.json();
        got["expires_at"].as_u64().map(|expires| expires - got["timestamp"].as_u64().unwrap())
    };
    node.put("/kv/default", "1").await;
    assert_eq!(lifetime("/kv/default").await, Some(86_400_000));
    node.put("/kv/query?ttl=15m", "1").await;
    assert_eq!(lifetime("/kv/query").await, Some(900_000));
    node.put("/kv/never?ttl=0", "1").await;
    assert_eq!(lifetime("/kv/never").await, None);
    node.put("/kv/envelope", "{\"data\":{\"x\": 1},\"ttl\":\"1h30m\"}").await;
    assert_eq!(lifetime("/kv/envelope").await, Some(5_400_000));
    assert!(node.get("/kv/envelope").await.text().contains("\"data\":{\"x\": 1},"));
    // The envelope's own is nearer to the value than the query's.
    node.put("/kv/both?ttl=1m", "{\"ttl\":2,\"data\":null}").await;
    assert_eq!(lifetime("/kv/both").await, Some(2000));
    let three = "{\"data\":1,\"ttl\":\"1h\",\"x\":2}";
    node.put("/kv/three", three).await;
    assert!(node.get("/kv/three").await.text().contains(three));
    assert_eq!(lifetime("/kv/three").await, Some(86_400_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_time_to_live_is_refused() {
    let node = TestNode::start().await;
    for (target, body) in [
        ("/kv/a?ttl=soon", "1"),
        ("/kv/a?ttl=", "1"),
        ("/kv/a", "{\"data\":1,\"ttl\":\"-1\"}"),
        ("/kv/a", "{\"data\":1,\"ttl\":null}"),
        ("/kv/a", "{\"data\":1,\"ttl\":1.5}"),
    ] {
        assert_eq!(node.put(target, body).await.refusal(), refused(400, "bad_ttl"), "{target} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_value_is_gone_for_every_reader() {
    let node = TestNode::start().await;
    let put = node.put("/kv/short?ttl=1s", "1").await;
    assert_eq!(put.status, 201);
    // Into the cache, which must let go of it too.
    assert_eq!(node.get("/kv/short").await.status, 200);
    eventually("the value expires", async || node.get("/kv/short").await.status == 404).await;
    assert_eq!(node.delete("/kv/short").await.status, 404);
    assert_eq!(node.put("/kv/short", "2").await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_bounded_announced_or_not() {
    let node = TestNode::start_with("max_json_size: 100\n").await;
    let fits = format!("\"{}\"", "x".repeat(98));
    assert_eq!(node.put("/kv/a", &fits).await.status, 201);
    assert_eq!(node.put("/kv/a", &format!("{fits} ")).await.refusal(), refused(413, "too_large"));
    let mut client = node.connect().await;
    // Refused by its announcement, before a byte of it was sent.
    client.send(format!("PUT /kv/a HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 101\r\n\r\n")).await;
    assert_eq!(client.answer().await.refusal(), refused(413, "too_large"));
    assert!(client.is_closed().await);
    let mut client = node.connect().await;
    client
        .send(format!("PUT /kv/a HTTP/1.1\r\nHost: localhost\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n"))
        .await;
    for _ in 0..5 {
        client.send(format!("1e\r\n{}\r\n", "x".repeat(30))).await;
    }
    assert_eq!(client.answer().await.refusal(), refused(413, "too_large"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_refused_body_does_not_cost_the_client_its_answer() {
    let node = TestNode::start_with("max_json_size: 100\n").await;
    let mut client = node.connect().await;
    let body = "x".repeat(2_000_000);
    client
        .send(format!(
            "PUT /kv/a HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.refusal(), refused(413, "too_large"));
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_travel_whole() {
    let node = TestNode::start_with("max_json_size: 8000000\n").await;
    let value = format!("\"{}\"", "0123456789abcdef".repeat(300_000));
    assert_eq!(node.put("/kv/large", &value).await.status, 201);
    assert!(node.get("/kv/large").await.text().contains(&value));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subtree_is_deleted_with_its_root_and_nothing_beside_it() {
    let node = TestNode::start().await;
    for key in ["t", "t/a", "t/b/c", "t-x", "tt", "u"] {
        node.put(&format!("/kv/{key}"), "1").await;
    }
    let ops: Vec<String> = (0..900)
        .map(|number| format!("{{\"op\":\"put\",\"path\":\"t/many/{number}\",\"data\":1}}"))
        .collect();
    for _ in 0..2 {
        assert_eq!(node.post("/kv/_batch", &format!("{{\"ops\":[{}]}}", ops.join(","))).await.status, 200);
    }
    let ops = ops.join(",").replace("t/many", "t/more");
    assert_eq!(node.post("/kv/_batch", &format!("{{\"ops\":[{ops}]}}")).await.status, 200);
    let deleted = node.delete("/kv/t?recursive=true").await;
    assert_eq!((deleted.status, deleted.text()), (200, "{\"deleted\":1803}"));
    for (key, status) in
        [("t", 404), ("t/a", 404), ("t/b/c", 404), ("t/more/5", 404), ("t-x", 200), ("tt", 200), ("u", 200)]
    {
        assert_eq!(node.get(&format!("/kv/{key}")).await.status, status, "{key}");
    }
    assert_eq!(node.delete("/kv/t?recursive=true").await.text(), "{\"deleted\":0}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_parameters_are_not_ignored() {
    let node = TestNode::start().await;
    assert_eq!(node.put("/kv/a?tll=1h", "1").await.refusal(), refused(400, "bad_query"));
    assert_eq!(node.put("/kv/a?ttl=1h&ttl=2h", "1").await.refusal(), refused(400, "bad_query"));
    assert_eq!(node.delete("/kv/a?recursiv=true").await.refusal(), refused(400, "bad_query"));
    assert_eq!(node.get("/kv/a?pretty").await.refusal(), refused(400, "bad_query"));
    assert_eq!(node.put("/kv/a?w=most", "1").await.refusal(), refused(400, "bad_query"));
    assert_eq!(node.put("/kv/a?w=1&timeout=soon", "1").await.refusal(), refused(400, "bad_query"));
    assert_eq!(node.get("/kv/a").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_wants_copies_on_a_node_alone_is_made_and_told_that_there_are_none() {
    let node = TestNode::start().await;
    let answer = node.put("/kv/a?w=2", "1").await;
    assert_eq!((answer.status, answer.json()["replicated"].as_u64()), (202, Some(0)));
    assert_eq!(node.put("/kv/a?w=majority", "2").await.status, 200);
    assert_eq!(node.put("/kv/a?w=all", "3").await.status, 200);
    let answer = node.delete("/kv/a?w=1").await;
    assert_eq!((answer.status, answer.json()["replicated"].as_u64()), (202, Some(0)));
    assert_eq!(node.get("/kv/a").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_node_answers_reads_and_refuses_writes() {
    let node = TestNode::start().await;
    node.put("/kv/a", "1").await;
    let node = TestNode::start_in(node.stop().await, "read_only: true\n").await;
    assert_eq!(node.get("/kv/a").await.status, 200);
    assert_eq!(node.get("/health").await.json()["mode"], "read-only");
    let version = node.get("/kv/a").await.uuid();
    for answer in [
        node.put("/kv/a", "2").await,
        node.delete("/kv/a").await,
        node.delete("/kv/a?recursive=true").await,
        node.post("/kv/_batch", "{\"ops\":[]}").await,
        node.request("POST", &format!("/history/a/{version}/restore"), "", "").await,
    ] {
        assert_eq!(answer.refusal(), refused(403, "read_only"));
    }
}
