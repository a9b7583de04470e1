//! Reads of one key: its value and its history.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use ureq::http::Method;

use crate::error::ClientError;
use crate::http::{Http, Request};
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
