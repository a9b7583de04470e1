//! Any bytes as the path of a request: refused, or a path that reads back as itself.

#![no_main]

use kvs_core::path::Path;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    if let Ok(path) = Path::parse_encoded(raw) {
        assert_eq!(Path::from_stored(path.as_bytes()), Ok(path.clone()));
        assert_eq!(Path::parse(path.as_str()), Ok(path));
    }
});
