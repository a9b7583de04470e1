//! Making a token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, crypto};

use super::claims::Claims;
use super::error::TokenError;
use super::keys::TokenKeys;
use crate::limits::TOKEN_BYTES_MAX;

/// The token that says this, signed with the current key: at most [`TOKEN_BYTES_MAX`] ASCII characters.
///
/// The header is written here and not by the library, so that there is exactly one for each key.
///
/// # Errors
///
/// What [`Claims::check`] refuses, [`TokenError::TooLong`] when its subtrees make it too long, or
/// [`TokenError::Signing`].
pub fn mint(claims: &Claims, keys: &TokenKeys) -> Result<String, TokenError> {
    claims.check()?;
    let key = &keys.current;
    let payload = URL_SAFE_NO_PAD.encode(claims.write(&key.issuer)?);
    let message = format!("{}.{payload}", key.header);
    let mac =
        crypto::sign(message.as_bytes(), &key.signing, Algorithm::HS256).map_err(|_| TokenError::Signing)?;
    let token = format!("{message}.{mac}");
    if token.len() > TOKEN_BYTES_MAX { Err(TokenError::TooLong) } else { Ok(token) }
}
