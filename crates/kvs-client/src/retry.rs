//! Trying again when the node asks for it: 429 and 503, bounded in number and in time.
//!
//! Only those two: the node says with them that it did not carry the request out, so a second attempt cannot write
//! twice. A broken connection says nothing of the kind and is an error at once.

use std::time::Duration;

use crate::error::{ClientError, Problem};
use crate::http::{Answer, Http, Request};
use crate::limits::{ATTEMPTS_MAX, PAUSE_FIRST, PAUSE_MAX, PAUSE_UNASKED_MAX};

/// Sends `request` until it is answered otherwise than 429 or 503, at most [`ATTEMPTS_MAX`] times. Before each pause
/// `on_pause` is called with its length and with what the node said.
///
/// # Errors
///
/// As [`Http::send`]; after the last attempt with the node's last refusal.
pub(crate) fn send_patiently(
    http: &Http,
    request: &Request<'_>,
    on_pause: &mut dyn FnMut(Duration, &Problem),
) -> Result<Answer, ClientError> {
    let mut attempt = 1;
    loop {
        match http.send(request) {
            Err(ClientError::Refused(problem)) if asks_to_wait(&problem) && attempt < ATTEMPTS_MAX => {
                let pause = pause_before(attempt, problem.retry_after);
                on_pause(pause, &problem);
                std::thread::sleep(pause);
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Whether waiting can help. A node whose disk failed takes no writes until someone restarts it.
fn asks_to_wait(problem: &Problem) -> bool {
    matches!(problem.status, 429 | 503) && problem.code != "poisoned"
}

/// How long to wait after attempt number `attempt` (from 1).
fn pause_before(attempt: u32, asked: Option<Duration>) -> Duration {
    match asked {
        Some(asked) => asked.min(PAUSE_MAX),
        None => {
            let doubled = PAUSE_FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(16));
            doubled.min(PAUSE_UNASKED_MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::pause_before;
    use crate::limits::{ATTEMPTS_MAX, PAUSE_FIRST, PAUSE_MAX, PAUSE_UNASKED_MAX};
    use std::time::Duration;

    #[test]
    fn the_node_chooses_the_pause_up_to_a_bound() {
        assert_eq!(pause_before(1, Some(Duration::from_secs(7))), Duration::from_secs(7));
        assert_eq!(pause_before(1, Some(Duration::from_secs(86_400))), PAUSE_MAX);
    }

    #[test]
    fn unasked_pauses_double_up_to_a_bound() {
        assert_eq!(pause_before(1, None), PAUSE_FIRST);
        assert_eq!(pause_before(2, None), PAUSE_FIRST * 2);
        assert_eq!(pause_before(ATTEMPTS_MAX, None), PAUSE_UNASKED_MAX);
        assert_eq!(pause_before(u32::MAX, None), PAUSE_UNASKED_MAX);
    }
}
