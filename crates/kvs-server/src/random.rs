//! The one room of the server where the system's randomness is read.

use rand::TryRng;

use crate::error::ServerError;

/// Bytes that other processes cannot guess.
///
/// # Errors
///
/// [`ServerError::Runtime`].
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], ServerError> {
    let mut bytes = [0; N];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(|error| ServerError::Runtime {
        operation: "read randomness",
        source: std::io::Error::other(error),
    })?;
    Ok(bytes)
}
