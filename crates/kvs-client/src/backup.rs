//! Asking a running node for a backup of itself: `POST /backup`.
//!
//! The file is written by the node, into its own backup folder; nothing of it travels.

use serde_json::value::RawValue;
use ureq::http::Method;

use crate::error::ClientError;
use crate::http::{Http, Request};

/// Has the node write a backup now, and returns its answer as sent: an object with `file`, `keys`, `bytes` and what else
/// the node says about it.
///
/// # Errors
///
/// What the node said; it keeps no part of a backup that failed.
pub fn create(http: &Http) -> Result<Box<RawValue>, ClientError> {
    let answer = http.send(&Request::new(Method::POST, "/backup".to_owned()))?;
    serde_json::from_slice(&answer.body).map_err(|error| http.foreign(error))
}
