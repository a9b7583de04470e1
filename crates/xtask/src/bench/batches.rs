//! Loading many keys into a node: `POST /kv/_batch`, several puts a request, over a few connections.

use crate::bench::dialect;
use crate::bench::load::{self, Load, Outcome, Stop};
use crate::bench::server::Server;

/// Puts in one request: half a MiB of values of 1 KiB, below the bound of a body.
pub(crate) const OPS_PER_REQUEST: u64 = 500;

/// Connections that load at once.
const CONNECTIONS: usize = 4;

/// Writes the path of operation `number` as it stands in JSON, without quotes.
pub(crate) type WritePath<'a> = dyn Fn(u64, &mut Vec<u8>) + 'a;

/// Writes the JSON value of operation `number`.
pub(crate) type WriteValue<'a> = dyn Fn(u64, &mut Vec<u8>) + 'a;

/// Puts keys `0..count` into the node.
///
/// # Errors
///
/// A request was not answered with success; the keys before it are there.
pub(crate) fn put_all(
    server: &Server,
    count: u64,
    path: &WritePath<'_>,
    value: &WriteValue<'_>,
) -> anyhow::Result<Outcome> {
    let load = Load {
        address: server.address,
        protocol: server.dialect.protocol(),
        connections: CONNECTIONS,
        stop: Stop::Count(count.div_ceil(OPS_PER_REQUEST)),
        least_body_bytes: 0,
    };
    let mut body = Vec::new();
    let outcome = load::run(load, &mut |request, out| {
        let first = request * OPS_PER_REQUEST;
        body.clear();
        write_batch(first..count.min(first + OPS_PER_REQUEST), path, value, &mut body);
        dialect::post(out, format_args!("POST /kv/_batch"), &body);
    })?;
    outcome.verified()
}

/// Appends a batch with one put for each of the numbers.
pub(crate) fn write_batch(
    numbers: std::ops::Range<u64>,
    path: &WritePath<'_>,
    value: &WriteValue<'_>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"ops\":[");
    for number in numbers.clone() {
        if number > numbers.start {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"op\":\"put\",\"path\":\"");
        path(number, out);
        out.extend_from_slice(b"\",\"data\":");
        value(number, out);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_json_with_one_put_for_each_number() {
        let mut out = Vec::new();
        let path = |number: u64, out: &mut Vec<u8>| out.extend_from_slice(dialect::key(number).as_bytes());
        let value =
            |number: u64, out: &mut Vec<u8>| out.extend_from_slice(format!("{{\"n\":{number}}}").as_bytes());
        write_batch(7..9, &path, &value, &mut out);
        let batch: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let expected = serde_json::json!({"ops": [
            {"op": "put", "path": "bench/users/00000007", "data": {"n": 7}},
            {"op": "put", "path": "bench/users/00000008", "data": {"n": 8}},
        ]});
        assert_eq!(batch, expected);
    }
}
