//! Any bytes as a checkpoint of an audit trail: refused, or what encodes to the same bytes.

#![no_main]

use kvs_audit::checkpoint::Checkpoint;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(checkpoint) = Checkpoint::decode(bytes) {
        assert_eq!(
            Checkpoint::decode(checkpoint.encode().as_bytes()).map(|same| same.encode()).ok(),
            Some(checkpoint.encode())
        );
    }
});
