//! The values that every target stores: JSON documents of 1 KiB, made from a number, compressible about like JSON.
//!
//! The same number gives the same bytes in every run. They hold no quote, backslash or dollar sign inside strings, so
//! that they can stand in the configuration of nginx as they are.

use std::io::Write as _;

/// Length of each document in bytes.
pub(crate) const DOCUMENT_BYTES: usize = 1024;

const WORDS: [&str; 64] = [
    "account", "amber", "anchor", "autumn", "balance", "basket", "bridge", "candle", "carbon", "castle",
    "cellar", "circle", "copper", "cotton", "customer", "delivery", "desert", "dinner", "engine", "evening",
    "falcon", "feather", "forest", "garden", "glacier", "granite", "harbor", "history", "invoice", "island",
    "jacket", "kitchen", "ladder", "lantern", "library", "marble", "market", "meadow", "mirror", "morning",
    "mountain", "needle", "north", "ocean", "orchard", "order", "packet", "paper", "pending", "pepper",
    "pilot", "quarter", "reason", "river", "saddle", "shipment", "silver", "station", "summer", "thunder",
    "valley", "velvet", "window", "winter",
];

/// A mixing function (splitmix64): spreads consecutive numbers over the whole range, always in the same way.
pub(crate) const fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A stream of numbers that depends on its seed only.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0) % bound
    }

    fn word(&mut self) -> &'static str {
        let position = usize::try_from(self.below(64)).unwrap_or(0);
        WORDS.get(position).copied().unwrap_or("word")
    }
}

/// Appends document `number`, exactly [`DOCUMENT_BYTES`] long.
pub(crate) fn write_document(number: u64, out: &mut Vec<u8>) {
    let begin = out.len();
    let mut draw = Draw(mix(number));
    write_fields(number, &mut draw, out);
    // The note fills up to the last two bytes, which close the string and the object.
    let end = begin + DOCUMENT_BYTES - 2;
    while out.len() < end {
        out.extend_from_slice(draw.word().as_bytes());
        out.push(b' ');
    }
    out.truncate(end);
    out.extend_from_slice(b"\"}");
}

fn write_fields(number: u64, draw: &mut Draw, out: &mut Vec<u8>) {
    let (first, last, city) = (draw.word(), draw.word(), draw.word());
    let mut text = |arguments: std::fmt::Arguments<'_>| {
        // Writing into a vector cannot fail.
        out.write_fmt(arguments).ok();
    };
    text(format_args!(
        "{{\"id\":\"user-{number:08}\",\"name\":\"{first} {last}\",\"email\":\"{first}.{last}@example.org\","
    ));
    text(format_args!("\"active\":{},\"visits\":{},", draw.below(2) == 0, draw.below(100_000)));
    text(format_args!(
        "\"created\":\"20{:02}-{:02}-{:02}T",
        draw.below(30),
        draw.below(12) + 1,
        draw.below(28) + 1
    ));
    text(format_args!("{:02}:{:02}:{:02}Z\",", draw.below(24), draw.below(60), draw.below(60)));
    text(format_args!(
        "\"address\":{{\"street\":\"{} {}\",\"city\":\"{city}\",",
        draw.word(),
        draw.below(400)
    ));
    text(format_args!(
        "\"lat\":{}.{:05},\"lng\":{}.{:05}}},",
        draw.below(90),
        draw.below(100_000),
        draw.below(180),
        draw.below(100_000)
    ));
    text(format_args!("\"tags\":[\"{}\",\"{}\",\"{}\"],\"orders\":[", draw.word(), draw.word(), draw.word()));
    for position in 0..7 {
        let comma = if position == 0 { "" } else { "," };
        text(format_args!("{comma}{{\"sku\":\"{:012x}\",\"what\":\"{}\",", draw.below(1 << 48), draw.word()));
        text(format_args!(
            "\"count\":{},\"price\":{}.{:02}}}",
            draw.below(20) + 1,
            draw.below(500),
            draw.below(100)
        ));
    }
    text(format_args!("],\"note\":\""));
}

/// Documents `0..count`, kept in memory so that making them costs the measured time nothing.
pub(crate) struct Documents {
    bytes: Vec<u8>,
    count: u64,
}

impl Documents {
    /// Makes `count` documents: `count` KiB of memory.
    pub(crate) fn new(count: u64) -> Self {
        let mut bytes = Vec::with_capacity(usize::try_from(count).unwrap_or(0) * DOCUMENT_BYTES);
        for number in 0..count {
            write_document(number, &mut bytes);
        }
        Self { bytes, count }
    }

    /// Document `number`, counted around.
    pub(crate) fn document(&self, number: u64) -> &[u8] {
        let begin = usize::try_from(number % self.count.max(1)).unwrap_or(0) * DOCUMENT_BYTES;
        self.bytes.get(begin..begin + DOCUMENT_BYTES).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_is_json_of_one_kibibyte() {
        for number in (0..20_000).chain([u64::from(u32::MAX), 99_999_999]) {
            let mut bytes = Vec::new();
            write_document(number, &mut bytes);
            assert_eq!(bytes.len(), DOCUMENT_BYTES, "{number}");
            let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(value["orders"].as_array().unwrap().len(), 7, "{number}");
            assert!(!bytes.iter().any(|byte| b"\\$'".contains(byte)), "{number}");
        }
    }

    #[test]
    fn documents_differ_by_number_and_repeat_between_runs() {
        let documents = Documents::new(100);
        let mut again = Vec::new();
        write_document(7, &mut again);
        assert_eq!(documents.document(7), again);
        assert_eq!(documents.document(107), again);
        assert_ne!(documents.document(8), again);
    }
}
