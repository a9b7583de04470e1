//! Answers that are written without the parser: to clients beyond the cap, and in place of the parser's own.
//!
//! hyper answers what it cannot read by a bare status line. Every answer of the node carries a problem and a request id, so
//! such an answer is replaced before it is sent.

use memchr::memmem;

use crate::http::reply::X_REQUEST_ID;
use crate::problem::{Code, Problem};
use crate::request_id::RequestId;

/// How every answer of the parser's own begins: it only refuses.
const REFUSAL_START: &[u8] = b"HTTP/1.1 4";
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// A whole answer that ends its connection.
pub(crate) fn whole_answer(problem: &Problem, id: RequestId) -> Vec<u8> {
    let body = problem.to_json();
    let status = problem.code.status();
    let retry_after =
        problem.code.retry_after_s().map(|s| format!("retry-after: {s}\r\n")).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n{retry_after}\
         {X_REQUEST_ID}: {id}\r\nconnection: close\r\n\r\n",
        body.len(),
    );
    [head.as_bytes(), &body].concat()
}

/// Puts an answer of ours where `waiting` ends in a bare one of the parser.
pub(crate) fn replace_bare(waiting: &mut Vec<u8>, id: RequestId) {
    let Some(start) = memmem::rfind(waiting, REFUSAL_START) else { return };
    let Some(bare) = waiting.get(start..) else { return };
    if !bare.ends_with(END_OF_HEAD) || memmem::find(bare, X_REQUEST_ID.as_str().as_bytes()).is_some() {
        return;
    }
    let problem = match bare.get(REFUSAL_START.len()..REFUSAL_START.len() + 2) {
        Some(b"31") => Problem::new(Code::HeadersTooLarge, "the head is too large"),
        Some(b"14") => Problem::new(Code::UriTooLong, "the target is too long"),
        _ => Problem::new(Code::BadRequest, "this is not well-formed HTTP"),
    };
    waiting.truncate(start);
    waiting.extend_from_slice(&whole_answer(&problem, id));
}

#[cfg(test)]
mod tests {
    use super::replace_bare;
    use crate::request_id::RequestIds;

    fn replaced(waiting: &str) -> String {
        let mut bytes = waiting.as_bytes().to_vec();
        replace_bare(&mut bytes, RequestIds::of_connection(1, 1).id(0));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_bare_refusal_gets_a_problem_and_an_id() {
        for (status, code) in
            [("400 Bad Request", "bad_request"), ("431 X", "headers_too_large"), ("414 X", "uri_too_long")]
        {
            let answer =
                replaced(&format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"));
            assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
            assert!(answer.contains("\r\nx-request-id: ") && answer.contains(code), "{answer}");
        }
    }

    #[test]
    fn answers_before_it_and_answers_of_ours_stay() {
        let earlier = "HTTP/1.1 200 OK\r\nx-request-id: 1\r\ncontent-length: 1\r\n\r\n1";
        let both = replaced(&format!("{earlier}HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"));
        assert!(both.starts_with(earlier) && both.contains("bad_request"), "{both}");
        let ours = "HTTP/1.1 412 Precondition Failed\r\nx-request-id: 1\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(replaced(ours), ours);
        assert_eq!(replaced(earlier), earlier);
        assert_eq!(replaced(""), "");
    }
}
