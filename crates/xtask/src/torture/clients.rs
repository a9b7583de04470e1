//! What clients do meanwhile: writes of every kind on random nodes, each told to the ledger.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::torture::ledger::{Ledger, Write};
use crate::torture::nodes::NODES;
use crate::torture::random::Random;
use crate::torture::talk::{Answer, Silence, Talk};

/// How many keys there are.
const KEYS: u64 = 300;

/// How many clients write at once.
pub(crate) const CLIENTS: u64 = 4;

/// Problems with a status of 500 and above that the documents name for a node that is well.
const REFUSALS: [&str; 5] = ["overloaded", "stopping", "syncing", "not_ready", "clock_ahead"];

/// The longest life of a value that has one.
pub(crate) const MAX_TTL_S: u64 = 20;

/// One client.
pub(crate) struct Client<'a> {
    talks: Vec<Talk>,
    random: Random,
    ledger: &'a Ledger,
    numbers: &'a AtomicU64,
}

impl<'a> Client<'a> {
    /// A client of these nodes.
    pub(crate) const fn new(
        talks: Vec<Talk>,
        random: Random,
        ledger: &'a Ledger,
        numbers: &'a AtomicU64,
    ) -> Self {
        Self { talks, random, ledger, numbers }
    }

    /// Writes until told to stop.
    pub(crate) fn run(&mut self, over: &AtomicBool) {
        while !over.load(Ordering::Acquire) {
            let node = self.random.place(NODES);
            match self.random.below(100) {
                0..45 => self.put(node, "", None, "put"),
                45..57 => self.put_for_a_while(node),
                57..70 => self.delete(node),
                70..78 => self.put(node, "If-None-Match: *\r\n", None, "put if absent"),
                78..88 => self.put_if_same(node),
                _ => self.batch(node),
            }
            thread::sleep(Duration::from_millis(self.random.below(30)));
        }
    }

    fn key(&mut self) -> String {
        format!("k/{:03}", self.random.below(KEYS))
    }

    /// How many copies are waited for: what to ask, and on how many disks a write is when that was reached.
    fn wish(&mut self) -> (&'static str, usize) {
        match self.random.below(10) {
            0..4 => ("", 1),
            4..6 => ("w=1&timeout=1s", 2),
            6..8 => ("w=majority&timeout=1s", NODES / 2 + 1),
            _ => ("w=all&timeout=1s", NODES),
        }
    }

    fn next(&self, node: usize, key: String, is_delete: bool, ttl_ms: Option<u64>) -> Write {
        Write {
            id: self.numbers.fetch_add(1, Ordering::Relaxed),
            key,
            is_delete,
            ttl_ms,
            node,
            began_ms: self.ledger.now_ms(),
            ended_ms: None,
            copies: 0,
            uuid: None,
        }
    }

    fn put(&mut self, node: usize, header: &str, ttl_s: Option<u64>, name: &str) {
        let key = self.key();
        self.put_key(node, key, header, ttl_s, name);
    }

    fn put_for_a_while(&mut self, node: usize) {
        let ttl_s = self.random.between(1, MAX_TTL_S);
        self.put(node, "", Some(ttl_s), "put with a life");
    }

    fn put_key(&mut self, node: usize, key: String, header: &str, ttl_s: Option<u64>, name: &str) {
        let (wish, copies) = self.wish();
        let write = self.next(node, key, false, ttl_s.map(|seconds| seconds * 1000));
        let ttl = ttl_s.map(|seconds| format!("&ttl={seconds}s")).unwrap_or_default();
        let query = format!("{wish}{ttl}");
        let target = format!("/kv/{}?{}", write.key, query.trim_start_matches('&'));
        let body = value(&write).to_string();
        let answer = self.ask(node, "PUT", target.trim_end_matches('?'), header, &body, name);
        self.settle(vec![write], answer, copies);
    }

    fn put_if_same(&mut self, node: usize) {
        let key = self.key();
        let Some(talk) = self.talks.get_mut(node) else { return };
        let Ok(read) = talk.ask("GET", &format!("/kv/{key}"), "", "") else { return };
        self.check(&read, "read");
        let Some(uuid) = text(&read.json(), "uuid") else { return };
        self.put_key(node, key, &format!("If-Match: \"{uuid}\"\r\n"), None, "put if unchanged");
    }

    fn delete(&mut self, node: usize) {
        let (wish, copies) = self.wish();
        let key = self.key();
        let write = self.next(node, key, true, None);
        let target = format!("/kv/{}?{wish}", write.key);
        let answer = self.ask(node, "DELETE", target.trim_end_matches('?'), "", "", "delete");
        self.settle(vec![write], answer, copies);
    }

    fn batch(&mut self, node: usize) {
        let (wish, copies) = self.wish();
        let first = self.random.below(KEYS);
        let count = self.random.between(2, 6);
        let mut writes = Vec::new();
        for step in 0..count {
            let key = format!("k/{:03}", (first + step * 7) % KEYS);
            let is_delete = self.random.chance(20);
            writes.push(self.next(node, key, is_delete, None));
        }
        let ops: Vec<Value> = writes
            .iter()
            .map(|write| match write.is_delete {
                true => json!({"op": "delete", "path": write.key}),
                false => json!({"op": "put", "path": write.key, "data": value(write)}),
            })
            .collect();
        let body = json!({ "ops": ops }).to_string();
        let target = format!("/kv/_batch?{wish}");
        let answer = self.ask(node, "POST", target.trim_end_matches('?'), "", &body, "batch");
        self.settle(writes, answer, copies);
    }

    fn ask(
        &mut self,
        node: usize,
        method: &str,
        target: &str,
        header: &str,
        body: &str,
        name: &str,
    ) -> Result<Answer, Silence> {
        self.ledger.count(&format!("asked: {name}"));
        let Some(talk) = self.talks.get_mut(node) else { return Err(Silence::NotSent) };
        let answer = talk.ask(method, target, header, body);
        match &answer {
            Ok(answer) => self.check(answer, name),
            Err(silence) => self.ledger.count(&format!("answered: {silence:?}")),
        }
        answer
    }

    /// Counts an answer, and notes one that no document names.
    fn check(&self, answer: &Answer, name: &str) {
        let Answer { status, .. } = *answer;
        if status < 400 {
            self.ledger.count(&format!("answered: {status}"));
            return;
        }
        let code = answer.code();
        self.ledger.count(&format!("answered: {status} {code}"));
        let is_known = matches!(status, 404 | 412) || status == 503 && REFUSALS.contains(&&*code);
        if !is_known {
            self.ledger.wrong(format!("{name} was answered {status} {code}"));
        }
    }

    /// Tells the ledger of writes that were one request.
    fn settle(&self, mut writes: Vec<Write>, answer: Result<Answer, Silence>, copies: usize) {
        let ended_ms = self.ledger.now_ms();
        match answer {
            Err(Silence::NotSent) => return,
            Err(Silence::Unanswered) => {}
            Ok(answer) if answer.status >= 400 => return,
            Ok(answer) => {
                let body = answer.json();
                let copies = match answer.status {
                    202 => {
                        1 + body
                            .get("replicated")
                            .and_then(Value::as_u64)
                            .map_or(0, |n| usize::try_from(n).unwrap_or(0))
                    }
                    _ => copies,
                };
                let results = body.get("results").and_then(Value::as_array).cloned();
                let results = results.unwrap_or_else(|| vec![body]);
                let mut results = results.into_iter();
                for write in &mut writes {
                    let result = results.next().unwrap_or_default();
                    write.ended_ms = Some(ended_ms);
                    write.uuid = text(&result, "uuid");
                    // A delete of what is not there is no write.
                    let is_none = result.get("status").and_then(Value::as_u64) == Some(404);
                    write.copies = if is_none { 0 } else { copies };
                }
            }
        }
        self.ledger.write(writes);
    }
}

fn value(write: &Write) -> Value {
    json!({"id": write.id, "filling": "kv".repeat(usize::try_from(write.id % 60).unwrap_or(0))})
}

fn text(json: &Value, member: &str) -> Option<String> {
    json.get(member).and_then(Value::as_str).map(str::to_owned)
}
