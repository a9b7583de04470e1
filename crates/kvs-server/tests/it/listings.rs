//! `_range` and `_get`.

use serde_json::{Value, json};

use crate::support::{TestNode, refused};

async fn filled() -> TestNode {
    let node = TestNode::start().await;
    for key in ["a", "b/1", "b/2", "b/2/x", "b/3", "c", "d/e/f", "é"] {
        node.put(&format!("/kv/{}", key.replace('é', "%C3%A9")), &format!("\"{key}\"")).await;
    }
    node
}

fn paths(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["path"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_in_byte_order_with_their_values() {
    let node = filled().await;
    let page = node.get("/kv/_range").await.json();
    assert_eq!(paths(&page), ["a", "b/1", "b/2", "b/2/x", "b/3", "c", "d/e/f", "é"]);
    assert_eq!(page["items"][3]["data"], "b/2/x");
    assert_eq!((&page["prefixes"], &page["next"]), (&json!([]), &json!(null)));
    let keys = node.get("/kv/_range?keys_only=true&prefix=b/").await.json();
    assert!(keys["items"][0].get("data").is_none() && keys["items"][0]["uuid"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_has_its_start_and_not_its_end() {
    let node = filled().await;
    for (query, expected) in [
        ("start_key=b/2&end_key=c", vec!["b/2", "b/2/x", "b/3"]),
        ("start_key=/b/2&end_key=/c&reverse=true", vec!["b/3", "b/2/x", "b/2"]),
        ("prefix=b/2", vec!["b/2", "b/2/x"]),
        ("prefix=%C3%A9", vec!["é"]),
        ("start_key=x&end_key=b", vec![]),
    ] {
        assert_eq!(paths(&node.get(&format!("/kv/_range?{query}")).await.json()), expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deeper_keys_fold_at_the_delimiter() {
    let node = filled().await;
    let top = node.get("/kv/_range?delimiter=/").await.json();
    assert_eq!((paths(&top), &top["prefixes"]), (vec!["a", "c", "é"], &json!(["b/", "d/"])));
    let below = node.get("/kv/_range?delimiter=/&prefix=b/").await.json();
    assert_eq!((paths(&below), &below["prefixes"]), (vec!["b/1", "b/2", "b/3"], &json!(["b/2/"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_any_size_add_up_to_the_whole() {
    let node = filled().await;
    for query in ["", "&reverse=true", "&delimiter=/", "&delimiter=/&reverse=true", "&prefix=b/"] {
        let whole = node.get(&format!("/kv/_range?limit=1000{query}")).await.json();
        for limit in 1..=4 {
            let (mut found, mut folded) = (Vec::new(), Vec::new());
            let mut cursor = String::new();
            loop {
                let page = node.get(&format!("/kv/_range?limit={limit}{query}{cursor}")).await.json();
                let rows = paths(&page).len() + page["prefixes"].as_array().unwrap().len();
                assert!(rows <= limit);
                found.extend(page["items"].as_array().unwrap().clone());
                folded.extend(page["prefixes"].as_array().unwrap().clone());
                match page["next"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(json!(found), whole["items"], "{query} {limit}");
            assert_eq!(json!(folded), whole["prefixes"], "{query} {limit}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_large_values_is_cut_short_and_goes_on() {
    let node = TestNode::start_with("compression_enabled: false\n").await;
    let value = format!("\"{}\"", "x".repeat(1_000_000));
    for number in 10..30 {
        assert_eq!(node.put(&format!("/kv/big/{number}"), &value).await.status, 201);
    }
    let mut found = Vec::new();
    let mut cursor = String::new();
    let mut pages = 0;
    loop {
        let answer = node.get(&format!("/kv/_range?limit=1000{cursor}")).await;
        assert!(answer.text().len() <= 16 * 1024 * 1024);
        let page = answer.json();
        pages += 1;
        found.extend(paths(&page).into_iter().map(str::to_owned));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert!(pages > 1);
    assert_eq!(found, (10..30).map(|number| format!("big/{number}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_queries_of_a_range_are_refused() {
    let node = TestNode::start().await;
    for (query, code) in [
        ("limit=0", "bad_query"),
        ("limit=1001", "bad_query"),
        ("limt=5", "bad_query"),
        ("reverse=maybe", "bad_query"),
        ("cursor=abc", "bad_cursor"),
        ("prefix=%FF", "bad_query"),
    ] {
        assert_eq!(node.get(&format!("/kv/_range?{query}")).await.refusal(), refused(400, code), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_keys_are_read_in_the_order_asked() {
    let node = filled().await;
    let got = node.post("/kv/_get", "{\"paths\":[\"c\",\"none\",\"/é\",\"c\"]}").await.json();
    assert_eq!(got["items"].as_array().unwrap().len(), 4);
    assert_eq!((&got["items"][0]["path"], &got["items"][0]["data"]), (&json!("c"), &json!("c")));
    assert_eq!(got["items"][1], json!({"path": "none", "error": "not_found"}));
    assert_eq!(got["items"][2]["data"], "é");
    assert_eq!(got["items"][3], got["items"][0]);
    assert_eq!(node.post("/kv/_get", "{\"paths\":[]}").await.text(), "{\"items\":[]}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_path_among_many_is_named_by_its_place() {
    let node = TestNode::start().await;
    let answer = node.post("/kv/_get", "{\"paths\":[\"a\",\"b//c\"]}").await;
    assert_eq!((answer.refusal(), answer.json()["index"].as_u64()), (refused(400, "bad_path"), Some(1)));
    for body in ["", "[]", "{\"paths\":[1]}", "{\"paths\":[],\"x\":1}", "{\"path\":[]}"] {
        assert_eq!(node.post("/kv/_get", body).await.refusal(), refused(400, "bad_json"), "{body}");
    }
    let many = format!("{{\"paths\":[{}]}}", vec!["\"a\""; 1001].join(","));
    assert_eq!(node.post("/kv/_get", &many).await.refusal(), refused(400, "bad_json"));
}
