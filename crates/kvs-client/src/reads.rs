//! Reads of one key: its value and its history.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use ureq::http::Method;

use crate::error::ClientError;
use crate::http::{Http, Request};
use crate::list::present;
use crate::path;

/// A value with its version.
#[derive(Debug, Serialize, Deserialize)]
pub struct Fetched {
    /// The version.
    pub uuid: String,
    /// When it was written, in milliseconds since 1970.
    pub timestamp: u64,
    /// The value's bytes as they were sent.
    pub data: Box<RawValue>,
    /// When it ends, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// Reads the value of `key`.
///
/// # Errors
///
/// [`ClientError::Refused`] with 404 when there is none.
pub fn fetch(http: &Http, key: &str) -> Result<Fetched, ClientError> {
    let path = path::parse(key)?;
    let answer = http.send(&Request::new(Method::GET, format!("/kv/{}", path::encode(&path))))?;
    serde_json::from_slice(&answer.body).map_err(|error| http.foreign(error))
}

/// One version of a key, as a history lists it.
#[derive(Debug, Deserialize)]
pub struct Version {
    /// The version.
    pub uuid: String,
    /// When it was written, in milliseconds since 1970.
    pub timestamp: u64,
    /// What was done: `put`, `delete` or `expire`.
    pub op: String,
    /// Bytes of its value.
    pub size: u64,
    /// What beat it: `newer`, `older_node`, `smaller_uuid`, `expired`, `deleted_elsewhere` or `recalled`; `None` for the current
    /// version.
    pub rule: Option<String>,
}

/// The versions of a key.
#[derive(Debug)]
pub struct History {
    /// The whole answer as sent.
    pub answer: Box<RawValue>,
    /// Newest first.
    pub versions: Vec<Version>,
}

/// Reads which versions of `key` there are.
///
/// # Errors
///
/// [`ClientError::Refused`] with 404 when there never was a value, or it is forgotten.
pub fn history(http: &Http, key: &str) -> Result<History, ClientError> {
    let path = path::parse(key)?;
    let answer = http.send(&Request::new(Method::GET, format!("/history/{}", path::encode(&path))))?;
    let answer: Box<RawValue> = serde_json::from_slice(&answer.body).map_err(|error| http.foreign(error))?;
    let versions = serde_json::from_str(answer.get()).map_err(|error| http.foreign(error))?;
    Ok(History { answer, versions })
}

/// One version of a key.
#[derive(Debug)]
pub struct FetchedVersion {
    /// The whole answer as sent.
    pub answer: Box<RawValue>,
    /// The value's bytes; `None` for a version that deleted the key, or in which it expired.
    pub data: Option<Box<RawValue>>,
}

/// Reads one version of `key`.
///
/// # Errors
///
/// [`ClientError::Refused`] with 404 when the history does not hold it.
pub fn fetch_version(http: &Http, key: &str, uuid: &str) -> Result<FetchedVersion, ClientError> {
    #[derive(Deserialize)]
    struct Data {
        #[serde(default, deserialize_with = "present")]
        data: Option<Box<RawValue>>,
    }
    let path = path::parse(key)?;
    let resource = format!("/history/{}/{}", path::encode(&path), path::component(uuid));
    let answer = http.send(&Request::new(Method::GET, resource))?;
    let answer: Box<RawValue> = serde_json::from_slice(&answer.body).map_err(|error| http.foreign(error))?;
    let Data { data } = serde_json::from_str(answer.get()).map_err(|error| http.foreign(error))?;
    Ok(FetchedVersion { answer, data })
}
