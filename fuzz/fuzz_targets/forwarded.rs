//! Any header fields of proxies: an address that no stranger can choose, whatever they say.

#![no_main]

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue};
use kvs_server::client_address::client_address;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (common, standard) = bytes.split_at(bytes.len() / 2);
    let mut headers = HeaderMap::new();
    for (name, value) in [("x-forwarded-for", common), ("forwarded", standard)] {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    let stranger = IpAddr::from([203, 0, 113, 7]);
    assert_eq!(client_address(stranger, &headers, &[]), stranger);
    if let Ok(trusted) = "203.0.113.0/24".parse() {
        core::hint::black_box(client_address(stranger, &headers, &[trusted]));
    }
});
