//! Asking a running node for a backup of itself: `POST /backup`.
//!
//! The file is written by the node, into its own backup folder; nothing of it travels.

use serde::Deserialize;
use serde_json::value::RawValue;
use ureq::http::Method;

use crate::error::ClientError;
use crate::http::{Http, Request};

/// A backup that the node made and verified.
#[derive(Debug, Deserialize)]
pub struct Made {
    /// The file, as a path on the node's machine.
    pub file: String,
    /// Its size.
    pub size_bytes: u64,
    /// Keys with a value.
    pub keys: u64,
    /// Bytes of their values as sent.
    pub bytes: u64,
    /// Deleted and expired keys.
    pub tombstones: u64,
    /// Former versions.
    pub revisions: u64,
}

/// Has the node make a backup now. Returns it, and the node's whole answer as sent.
///
/// # Errors
///
/// What the node said; it keeps no part of a backup that failed.
pub fn create(http: &Http) -> Result<(Made, Box<RawValue>), ClientError> {
    let answer = http.send(&Request::new(Method::POST, "/backup".to_owned()))?;
    let answer: Box<RawValue> = serde_json::from_slice(&answer.body).map_err(|error| http.foreign(error))?;
    let made = serde_json::from_str(answer.get()).map_err(|error| http.foreign(error))?;
    Ok((made, answer))
}
