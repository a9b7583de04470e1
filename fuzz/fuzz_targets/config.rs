//! Any text as a configuration: refused with one line, or taken.

#![no_main]

use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = kvs_config::config::parse(text, PathBuf::from("/fuzz/config.yaml"), &|_| None, "fuzz")
    {
        assert!(!error.to_string().contains('\n'));
    }
});
