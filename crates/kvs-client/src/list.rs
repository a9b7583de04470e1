//! Listings: `GET /kv/_range`, page by page.
//!
//! A page is asked for with as many keys as the node gives at once. When its values are too large for one answer the
//! same page is asked for with fewer keys, so that a listing of large values ends as well as one of small ones.

use std::fmt::Write;
use std::time::Duration;

use kvs_core::limits::RANGE_LIMIT_MAX;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use ureq::http::Method;

use crate::error::ClientError;
use crate::http::{Http, Request};
use crate::limits::PAGE_BYTES_MAX;
use crate::path::component;
use crate::retry::send_patiently;

/// Whether the values are listed with the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Keys, versions and times alone.
    Omitted,
    /// The values too.
    Included,
}

/// What to list.
#[derive(Debug, Clone)]
pub struct RangeQuery {
    /// Keys that begin with this text; empty for all.
    pub prefix: String,
    /// Folds what lies behind this text, after the prefix, into one line.
    pub delimiter: Option<String>,
    /// Whether values are included.
    pub values: Values,
}

/// One key of a listing, as the node sends it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Listed {
    /// The key.
    pub path: String,
    /// Its version.
    pub uuid: String,
    /// When it was written, in milliseconds since 1970.
    pub timestamp: u64,
    /// The value's bytes as they were sent; absent in a listing of keys.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    /// When it ends, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// A member that is there, the value `null` included.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::deserialize(deserializer).map(Some)
}

/// One answer.
#[derive(Debug, Deserialize)]
pub struct Page {
    /// Keys in byte order.
    #[serde(rename = "items")]
    pub keys: Vec<Listed>,
    /// Folded prefixes in byte order, each ending in the delimiter.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// Where the next page begins.
    next: Option<String>,
}

/// The pages of one listing, first to last.
#[derive(Debug)]
pub struct Pages<'a> {
    http: &'a Http,
    query: RangeQuery,
    page_keys: usize,
    state: State,
}

/// How far a listing is.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Start,
    At(String),
    End,
}

impl<'a> Pages<'a> {
    /// Begins a listing; nothing is asked for yet.
    #[must_use]
    pub const fn new(http: &'a Http, query: RangeQuery) -> Self {
        Self { http, query, page_keys: RANGE_LIMIT_MAX, state: State::Start }
    }

    /// Whether the last page was read.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.state == State::End
    }

    /// The next page with at most `keys_max` lines (keys and prefixes together), or `None` at the end.
    ///
    /// # Errors
    ///
    /// What the node said; the same page can be asked for again.
    pub fn next_page(
        &mut self,
        keys_max: usize,
        on_pause: &mut dyn FnMut(Duration),
    ) -> Result<Option<Page>, ClientError> {
        loop {
            if self.is_at_end() || keys_max == 0 {
                return Ok(None);
            }
            let keys = self.page_keys.min(keys_max).max(1);
            let mut request = Request::new(Method::GET, self.resource(keys));
            if keys > 1 {
                request.answer_bytes_max = PAGE_BYTES_MAX;
            }
            let body = match send_patiently(self.http, &request, &mut |pause, _| on_pause(pause)) {
                Ok(answer) => answer.body,
                Err(ClientError::AnswerTooLong { .. }) if keys > 1 => {
                    self.page_keys = keys / 2;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let page: Page = serde_json::from_slice(&body).map_err(|error| self.http.foreign(error))?;
            let next = page.next.clone().map_or(State::End, State::At);
            if next == self.state {
                return Err(self
                    .http
                    .foreign("the listing does not go on: a page names itself as the next one"));
            }
            self.state = next;
            // Grows back after a stretch of large values.
            self.page_keys = self.page_keys.saturating_mul(2).min(RANGE_LIMIT_MAX);
            return Ok(Some(page));
        }
    }

    fn resource(&self, keys: usize) -> String {
        let mut resource = format!("/kv/_range?limit={keys}");
        let mut add = |name: &str, value: &str| {
            // Writing to a string does not fail.
            write!(resource, "&{name}={}", component(value)).unwrap_or_default();
        };
        if !self.query.prefix.is_empty() {
            add("prefix", &self.query.prefix);
        }
        if let Some(delimiter) = &self.query.delimiter {
            add("delimiter", delimiter);
        }
        if self.query.values == Values::Omitted {
            add("keys_only", "true");
        }
        if let State::At(cursor) = &self.state {
            add("cursor", cursor);
        }
        resource
    }
}
