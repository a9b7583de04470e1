//! Writes of one key: put, remove, and a former version brought back.

use kvs_config::duration::parse_ttl;
use kvs_core::path::Path;
use serde::{Deserialize, Serialize};
use ureq::http::{Method, header};

use crate::error::ClientError;
use crate::http::{Http, Request};
use crate::json;
use crate::limits::VALUE_BYTES_MAX;
use crate::path::{self, component};

/// What must hold for a write to happen. Checked inside the node's commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Always,
    /// The current version is this one.
    VersionIs(String),
    /// The key has no value.
    Absent,
}

impl Condition {
    fn apply<'a>(&self, request: Request<'a>) -> Request<'a> {
        match self {
            Self::Always => request,
            Self::VersionIs(uuid) => request.with_header(header::IF_MATCH, format!("\"{uuid}\"")),
            Self::Absent => request.with_header(header::IF_NONE_MATCH, "*".to_owned()),
        }
    }
}

/// Whether a write made a key or gave it another value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// The key had no value.
    Created,
    /// The key had one: it is in the history now.
    Replaced,
}

/// A version that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The version.
    pub uuid: String,
    /// When it was written, in milliseconds since 1970.
    pub timestamp: u64,
    /// When it ends, in milliseconds since 1970; `None` for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// Writes `value`, the text of one JSON value, byte for byte. An object with exactly the members `data` and `ttl` is an
/// envelope: the node stores its `data`. `ttl` is a duration such as `1h`.
///
/// # Errors
///
/// [`ClientError::BadValue`] and [`ClientError::BadPath`] before anything is sent; [`ClientError::Refused`] with 412
/// when the condition does not hold. Nothing was written in any of these cases.
pub fn put(
    http: &Http,
    key: &str,
    value: &str,
    ttl: Option<&str>,
    condition: &Condition,
) -> Result<(Effect, Written), ClientError> {
    let path = path::parse(key)?;
    if value.len() as u64 > VALUE_BYTES_MAX {
        return Err(ClientError::ValueTooLong { bytes_max: VALUE_BYTES_MAX });
    }
    json::check(value).map_err(|error| ClientError::BadValue { reason: error.to_string() })?;
    if let Some(text) = ttl {
        parse_ttl(text).map_err(|source| ClientError::BadTtl { text: text.to_owned(), source })?;
    }
    let resource = resource_of_put(&path, ttl);
    let request = condition.apply(Request::new(Method::PUT, resource).with_body(value.as_bytes()));
    let answer = http.send(&request)?;
    let effect = if answer.status == 201 { Effect::Created } else { Effect::Replaced };
    let written = serde_json::from_slice(&answer.body).map_err(|error| http.foreign(error))?;
    Ok((effect, written))
}

/// Where a value with this lifetime is put.
pub(crate) fn resource_of_put(path: &Path, ttl: Option<&str>) -> String {
    let query = ttl.map(|ttl| format!("?ttl={}", component(ttl))).unwrap_or_default();
    format!("/kv/{}{query}", path::encode(path))
}

/// Deletes one key; its value stays in the history.
///
/// # Errors
///
/// [`ClientError::Refused`] with 404 when there is none, with 412 when the condition does not hold.
pub fn remove(http: &Http, key: &str, condition: &Condition) -> Result<(), ClientError> {
    let path = path::parse(key)?;
    let request = Request::new(Method::DELETE, format!("/kv/{}", path::encode(&path)));
    http.send(&condition.apply(request)).map(|_| ())
}

/// Deletes a key and everything below it, and returns how many values that were.
///
/// # Errors
///
/// What the node said.
pub fn remove_subtree(http: &Http, key: &str) -> Result<u64, ClientError> {
    #[derive(Deserialize)]
    struct Removed {
        deleted: u64,
    }
    let path = path::parse(key)?;
    let resource = format!("/kv/{}?recursive=true", path::encode(&path));
    let answer = http.send(&Request::new(Method::DELETE, resource))?;
    let Removed { deleted } = serde_json::from_slice(&answer.body).map_err(|error| http.foreign(error))?;
    Ok(deleted)
}

/// Writes a former version back as a new one.
///
/// # Errors
///
/// [`ClientError::Refused`] with 404 when the history of `key` does not hold `uuid`.
pub fn restore(http: &Http, key: &str, uuid: &str) -> Result<Written, ClientError> {
    let path = path::parse(key)?;
    let resource = format!("/history/{}/{}/restore", path::encode(&path), component(uuid));
    let answer = http.send(&Request::new(Method::POST, resource))?;
    serde_json::from_slice(&answer.body).map_err(|error| http.foreign(error))
}
