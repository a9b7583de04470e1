//! The checks of a request's head that come before any route: is it one request, and is it meant for this node.
//!
//! hyper lets all of this through (a missing or doubled `Host`, two lengths, absolute targets), and each has been used to
//! make two parties read one request differently. Source: RFC 9112 sections 3.2 and 6.1, RFC 9113 section 8.3.1.

use std::sync::OnceLock;

use http::header::{HOST, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, ORIGIN, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Request, Version};

use crate::connection::activity::Activity;
use crate::context::HostPolicy;
use crate::host;
use crate::limits::{HEADERS_MAX, TARGET_BYTES_MAX};
use crate::peer::marks::PEER_PREFIX;
use crate::problem::{Code, Problem};

/// What one pass over the fields of a head finds.
#[derive(Debug, Default)]
pub(crate) struct Head<'a> {
    host: Option<&'a HeaderValue>,
    hosts: usize,
    origin: Option<&'a HeaderValue>,
    /// The body is chunked: such a request is the last one of its connection.
    pub(crate) has_transfer_encoding: bool,
    has_foreign_coding: bool,
    /// There are conditions to be read.
    pub(crate) is_conditional: bool,
}

impl<'a> Head<'a> {
    /// Looks at every field once.
    pub(crate) fn read<B>(request: &'a Request<B>) -> Self {
        let mut head = Self::default();
        for (name, value) in request.headers() {
            if name == HOST {
                head.host = Some(value);
                head.hosts += 1;
            } else if name == IF_NONE_MATCH || name == IF_MATCH || name == IF_UNMODIFIED_SINCE {
                head.is_conditional = true;
            } else if name == TRANSFER_ENCODING {
                // One coding that everybody understands the same way; anything else is a length to quarrel about.
                head.has_foreign_coding |=
                    head.has_transfer_encoding || !value.as_bytes().eq_ignore_ascii_case(b"chunked");
                head.has_transfer_encoding = true;
            } else if name == ORIGIN {
                head.origin = Some(value);
            }
        }
        head
    }

    /// Whether the request may be served at all.
    ///
    /// # Errors
    ///
    /// [`Code::BadRequest`], [`Code::BadHost`], [`Code::BadOrigin`], [`Code::UriTooLong`] or
    /// [`Code::HeadersTooLarge`].
    pub(crate) fn check<B>(
        &self,
        request: &Request<B>,
        policy: &HostCheck,
        activity: &Activity,
    ) -> Result<(), Problem> {
        if request.headers().len() > HEADERS_MAX {
            return Err(Problem::new(
                Code::HeadersTooLarge,
                format!("more than {HEADERS_MAX} header fields"),
            ));
        }
        if request.uri().path().len() + request.uri().query().map_or(0, str::len) > TARGET_BYTES_MAX {
            let detail = format!("path and query are longer than {TARGET_BYTES_MAX} bytes");
            return Err(Problem::new(Code::UriTooLong, detail));
        }
        if activity.has_fragment() {
            return Err(bad("a target has no fragment: the number sign of a key is written %23"));
        }
        if self.has_transfer_encoding && activity.has_ambiguous_length() {
            return Err(bad("Transfer-Encoding and Content-Length exclude each other"));
        }
        if self.has_foreign_coding {
            return Err(bad("the only Transfer-Encoding understood is chunked, once"));
        }
        let authority = self.authority(request)?;
        // Nodes call each other by any name and prove who they are, which no page of a browser can.
        policy.check(authority, request.uri().path().starts_with(PEER_PREFIX))?;
        match self.origin {
            Some(origin) if policy.policy == HostPolicy::LoopbackOnly => {
                check_origin(request.method(), origin)
            }
            _ => Ok(()),
        }
    }

    /// The name that the request is for; empty only for HTTP/1.0 without `Host`.
    fn authority<'b, B>(&self, request: &'b Request<B>) -> Result<&'b [u8], Problem>
    where
        'a: 'b,
    {
        if self.hosts > 1 {
            return Err(bad("more than one Host"));
        }
        let host = self.host.map(HeaderValue::as_bytes);
        let target = request.uri().authority().map(|authority| authority.as_str().as_bytes());
        if request.version() >= Version::HTTP_2 {
            return match (target, host) {
                (Some(target), Some(host)) if target != host => Err(bad("Host and :authority differ")),
                (Some(authority), _) | (None, Some(authority)) => Ok(authority),
                (None, None) => Err(bad("neither :authority nor Host")),
            };
        }
        if target.is_some() && request.method() != Method::CONNECT {
            return Err(bad("absolute targets are for proxies; this is none"));
        }
        match host {
            Some([]) => Err(bad("the Host is empty")),
            Some(host) => Ok(host),
            None if request.version() < Version::HTTP_11 => Ok(&[]),
            None => Err(bad("no Host")),
        }
    }
}

/// The check of a connection's `Host`, which is nearly always the same: the first good one is remembered.
#[derive(Debug)]
pub(crate) struct HostCheck {
    policy: HostPolicy,
    good: OnceLock<Box<[u8]>>,
}

impl HostCheck {
    /// A check that has seen no name yet.
    pub(crate) const fn new(policy: HostPolicy) -> Self {
        Self { policy, good: OnceLock::new() }
    }

    /// Empty is the name of HTTP/1.0 without `Host`: there is no browser behind that, those speak HTTP/1.1 and later.
    fn check(&self, authority: &[u8], is_of_peer: bool) -> Result<(), Problem> {
        if authority.is_empty() || self.good.get().is_some_and(|good| **good == *authority) {
            return Ok(());
        }
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=:[]%".contains(byte);
        if !authority.iter().all(allowed) {
            return Err(bad("the Host is not well-formed"));
        }
        if is_of_peer {
            return Ok(());
        }
        if self.policy == HostPolicy::LoopbackOnly && !host::is_loopback(authority) {
            return Err(Problem::new(
                Code::BadHost,
                "this node listens on loopback and answers only to localhost, 127.0.0.0/8 and [::1]",
            ));
        }
        self.good.get_or_init(|| authority.into());
        Ok(())
    }
}

fn check_origin(method: &Method, origin: &HeaderValue) -> Result<(), Problem> {
    let is_read = *method == Method::GET || *method == Method::HEAD;
    if is_read || host::is_loopback_origin(origin.as_bytes()) {
        return Ok(());
    }
    Err(Problem::new(Code::BadOrigin, "pages of other origins may not write to this node"))
}

fn bad(detail: &'static str) -> Problem {
    Problem::new(Code::BadRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::{Head, HostCheck};
    use crate::connection::activity::{Activity, CoarseClock};
    use crate::context::HostPolicy;
    use crate::problem::Code;
    use http::{Request, Version};
    use std::sync::Arc;

    fn request(method: &str, uri: &str, version: Version, fields: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method).uri(uri).version(version);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn verdict_of(request: &Request<()>, policy: HostPolicy) -> Result<(), Code> {
        let activity = Activity::new(Arc::new(CoarseClock::default()));
        Head::read(request).check(request, &HostCheck::new(policy), &activity).map_err(|problem| problem.code)
    }

    fn verdict(method: &str, uri: &str, version: Version, fields: &[(&str, &str)]) -> Result<(), Code> {
        verdict_of(&request(method, uri, version, fields), HostPolicy::LoopbackOnly)
    }

    #[test]
    fn http_1_1_has_exactly_one_host() {
        let version = Version::HTTP_11;
        assert_eq!(verdict("GET", "/", version, &[("host", "localhost")]), Ok(()));
        assert_eq!(verdict("GET", "/", version, &[]), Err(Code::BadRequest));
        assert_eq!(verdict("GET", "/", version, &[("host", "")]), Err(Code::BadRequest));
        let doubled = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(verdict("GET", "/", version, &doubled), Err(Code::BadRequest));
        assert_eq!(verdict("GET", "/", version, &[("host", "a,b")]), Err(Code::BadRequest));
    }

    #[test]
    fn http_1_0_may_leave_it_out_but_not_lie() {
        assert_eq!(verdict("GET", "/", Version::HTTP_10, &[]), Ok(()));
        assert_eq!(verdict("GET", "/", Version::HTTP_10, &[("host", "evil.example")]), Err(Code::BadHost));
    }

    #[test]
    fn http_2_has_an_authority_or_a_host_that_agree() {
        let version = Version::HTTP_2;
        assert_eq!(verdict("GET", "http://localhost:1/", version, &[]), Ok(()));
        assert_eq!(verdict("GET", "/", version, &[("host", "[::1]:1")]), Ok(()));
        assert_eq!(verdict("GET", "http://localhost/", version, &[("host", "localhost")]), Ok(()));
        assert_eq!(verdict("GET", "http://localhost/", version, &[("host", "[::1]")]), Err(Code::BadRequest));
        assert_eq!(verdict("GET", "/", version, &[]), Err(Code::BadRequest));
        assert_eq!(verdict("GET", "http://evil.example/", version, &[]), Err(Code::BadHost));
    }

    #[test]
    fn absolute_targets_are_refused() {
        let fields = [("host", "localhost")];
        assert_eq!(verdict("GET", "http://localhost/kv/a", Version::HTTP_11, &fields), Err(Code::BadRequest));
    }

    #[test]
    fn a_fragment_on_the_wire_is_refused() {
        let activity = Activity::new(Arc::new(CoarseClock::default()));
        activity.note_fragment();
        // The parser has cut it off.
        let request = request("GET", "/kv/a", Version::HTTP_11, &[("host", "localhost")]);
        let refused = Head::read(&request).check(&request, &HostCheck::new(HostPolicy::Any), &activity);
        assert_eq!(refused.map_err(|problem| problem.code), Err(Code::BadRequest));
    }

    #[test]
    fn another_host_is_refused_on_loopback_only() {
        let request = request("GET", "/", Version::HTTP_11, &[("host", "kv.example:80")]);
        assert_eq!(verdict_of(&request, HostPolicy::LoopbackOnly), Err(Code::BadHost));
        assert_eq!(verdict_of(&request, HostPolicy::Any), Ok(()));
    }

    #[test]
    fn nodes_may_call_by_any_name_and_open_nothing_by_that() {
        let check = HostCheck::new(HostPolicy::LoopbackOnly);
        let activity = Activity::new(Arc::new(CoarseClock::default()));
        let fields = [("host", "my-machine:8081")];
        let by_peer = request("POST", "/peer/v1/swim", Version::HTTP_11, &fields);
        assert!(Head::read(&by_peer).check(&by_peer, &check, &activity).is_ok());
        let by_page = request("GET", "/kv/a", Version::HTTP_11, &fields);
        let refused = Head::read(&by_page).check(&by_page, &check, &activity);
        assert_eq!(refused.map_err(|problem| problem.code), Err(Code::BadHost));
    }

    #[test]
    fn a_good_name_does_not_open_the_connection_to_bad_ones() {
        let check = HostCheck::new(HostPolicy::LoopbackOnly);
        for (host, is_good) in
            [("localhost", true), ("evil.example", false), ("[::1]", true), ("localhost", true)]
        {
            assert_eq!(check.check(host.as_bytes(), false).is_ok(), is_good, "{host}");
        }
    }

    #[test]
    fn pages_of_other_origins_read_nothing_and_write_nothing() {
        let foreign = [("host", "localhost"), ("origin", "http://evil.example")];
        // What they read is kept from them by their browser, as the answer does not allow it.
        assert_eq!(verdict("GET", "/", Version::HTTP_11, &foreign), Ok(()));
        assert_eq!(verdict("POST", "/", Version::HTTP_11, &foreign), Err(Code::BadOrigin));
        let own = [("host", "localhost"), ("origin", "http://localhost:3000")];
        assert_eq!(verdict("POST", "/", Version::HTTP_11, &own), Ok(()));
    }

    #[test]
    fn heads_are_bounded() {
        let fields: Vec<_> = std::iter::repeat_n(("x", "y"), 64).chain([("host", "localhost")]).collect();
        assert_eq!(verdict("GET", "/", Version::HTTP_11, &fields), Err(Code::HeadersTooLarge));
        let long = format!("/{}", "a".repeat(20_000));
        assert_eq!(verdict("GET", &long, Version::HTTP_11, &[("host", "localhost")]), Err(Code::UriTooLong));
    }

    #[test]
    fn chunked_once_is_the_only_coding() {
        let with = |codings: &[(&'static str, &'static str)]| {
            let fields: Vec<_> =
                std::iter::once(("host", "localhost")).chain(codings.iter().copied()).collect();
            verdict("PUT", "/", Version::HTTP_11, &fields)
        };
        assert_eq!(with(&[("transfer-encoding", "Chunked")]), Ok(()));
        for value in ["gzip, chunked", "chunked, chunked", "identity", ""] {
            assert_eq!(with(&[("transfer-encoding", value)]), Err(Code::BadRequest), "{value}");
        }
        let twice = [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        assert_eq!(with(&twice), Err(Code::BadRequest));
    }

    #[test]
    fn two_lengths_on_the_wire_are_refused() {
        let activity = Activity::new(Arc::new(CoarseClock::default()));
        activity.note_ambiguous_length();
        let fields = [("host", "localhost"), ("transfer-encoding", "chunked")];
        let request = request("PUT", "/", Version::HTTP_11, &fields);
        let refused = Head::read(&request).check(&request, &HostCheck::new(HostPolicy::Any), &activity);
        assert_eq!(refused.map_err(|problem| problem.code), Err(Code::BadRequest));
    }
}
