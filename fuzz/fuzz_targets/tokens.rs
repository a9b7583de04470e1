//! Any text as a token, signed or not: refused, or claims that mint the same token again.

#![no_main]

use kvs_auth::token::keys::TokenKeys;
use kvs_auth::token::mint::mint;
use kvs_auth::token::verify::verify;
use kvs_core::cluster_keys::ClusterKeys;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let keys = TokenKeys::new(&ClusterKeys::derive(b"fuzz"), None);
    if let Ok(claims) = verify(text, &keys, 1_000_000, 60) {
        assert_eq!(mint(&claims, &keys).as_deref(), Ok(text));
    }
});
