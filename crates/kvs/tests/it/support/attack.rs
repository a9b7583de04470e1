//! Asking for something wrong while a well-behaved client goes on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::node::Node;
use crate::support::wait::until_true;

/// Sends bytes on a connection of their own; the answer, or `None` when the connection was closed instead.
pub(crate) fn ask(node: &Node, bytes: impl AsRef<[u8]>) -> Option<Answer> {
    let mut wire = node.wire();
    wire.send(bytes);
    let answer = wire.answer_or_close();
    if let Some(answer) = &answer {
        answer.check();
    }
    answer
}

/// Each request must be answered with an error of the client or cut off, and nothing behind it may be answered.
pub(crate) fn assert_all_refused(node: &Node, requests: &[String]) {
    let mut wrong = Vec::new();
    for request in requests {
        let Some(answer) = ask(node, request) else { continue };
        if !(400..500).contains(&answer.status) && answer.status != 501 || answer.shown().contains("secret") {
            let (head, _) = request.split_once("\r\n\r\n").unwrap();
            wrong.push(format!("{head:?}: {}", answer.shown()));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Runs `attack` while a well-behaved client reads and writes; every one of its requests must succeed.
pub(crate) fn while_served(node: &Node, attack: impl FnOnce()) {
    let over = AtomicBool::new(false);
    let served = AtomicU64::new(0);
    let address = node.address();
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut client = Client::new(address);
            while !over.load(Ordering::Acquire) {
                let number = served.load(Ordering::Relaxed);
                let target = format!("/kv/behaved/{}", number % 10);
                assert!(client.put(&target, number.to_string()).status < 300);
                assert_eq!(client.get(&target).expect(200).json()["data"], number);
                // And one that has to connect first.
                if number.is_multiple_of(50) {
                    Client::new(address).get("/health").expect(200);
                }
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
        // Also when the attack fails the test, so that the scope ends.
        let stop = Stop(&over);
        // The client must be served before, during and after the attack.
        until_true("the well-behaved client to be served", || {
            served.load(Ordering::Relaxed) > 0 || client.is_finished()
        });
        attack();
        let before = served.load(Ordering::Relaxed);
        until_true("the well-behaved client to be served again", || {
            served.load(Ordering::Relaxed) > before + 10 || client.is_finished()
        });
        drop(stop);
        client.join().unwrap();
    });
}

/// Raises a flag when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
