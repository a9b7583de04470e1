//! Whether bytes are a message of membership, told before the machine sees them.
//!
//! The machine answers whoever it can; that a caller speaks no sense is for the door to say.

use crate::call::CallKind;
use crate::membership::frame::check_body;
use crate::membership::message::{Ask, has_list};
use crate::wire::decode_error::DecodeError;

/// Checks the body of a call of kind [`CallKind::Swim`] or [`CallKind::Members`]; others are not for membership and pass.
///
/// # Errors
///
/// [`DecodeError`]: the bytes are no message of this kind.
pub fn check(kind: CallKind, body: &[u8]) -> Result<(), DecodeError> {
    match kind {
        CallKind::Swim => Ok(check_body(body)?),
        CallKind::Members => Ok(Ask::decode(body).map(drop)?),
        CallKind::Status | CallKind::Replicate | CallKind::Relay | CallKind::Sync | CallKind::Page => Ok(()),
    }
}

/// Whether the body of a [`CallKind::Members`] call or of its reply carries a whole member list: what a simulation counts.
#[must_use]
pub const fn carries_list(body: &[u8]) -> bool {
    has_list(body)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::call::CallKind;
    use proptest::prelude::{any, proptest};

    #[test]
    fn nonsense_is_told_from_messages() {
        for kind in [CallKind::Swim, CallKind::Members] {
            for nonsense in
                [b"".as_slice(), b"\x00", b"\x01", b"{}", &[255; 300], &[[1].as_slice(), &[0; 50]].concat()]
            {
                assert!(check(kind, nonsense).is_err(), "{}: {nonsense:?}", kind.name());
            }
        }
        // A hash and no frame.
        assert_eq!(check(CallKind::Swim, &[1, 0, 0, 0, 0, 0, 0, 0, 9]), Ok(()));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for kind in CallKind::ALL {
                let _checked = check(kind, &bytes);
            }
        }
    }
}
