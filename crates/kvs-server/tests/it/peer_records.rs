//! Records and parts of a log as the calling node would send them.

use bytes::Bytes;
use kvs_core::digest::ContentDigest;
use kvs_core::log_position::LogPosition;
use kvs_core::namespace::Namespace;
use kvs_core::origin::{Dot, Origin};
use kvs_core::path::Path;
use kvs_core::record::{Kind, Payload, Principal, Record};
use kvs_core::record_codec;
use kvs_core::stamp::Stamp;
use kvs_core::vector::Vector;
use kvs_core::version::Version;
use kvs_protocol::wire::keyed_record::KeyedRecord;
use kvs_protocol::wire::replicate::ReplicateRequest;
use uuid::Uuid;

use crate::peer_support::CALLER;

/// The life of the caller that wrote the records.
pub(crate) const ORIGIN: Origin = Origin { node: CALLER, epoch: 77 };

/// A value, stamped at this moment, ms since 1970.
pub(crate) fn record(ms: u64, seq: u64, json: &'static str) -> Record {
    Record {
        version: Version { stamp: Stamp::at(ms), origin_joined_ms: 5, uuid: Uuid::from_u128(seq.into()) },
        dot: Dot { origin: ORIGIN, seq },
        kind: Kind::Value,
        expires_at_ms: 0,
        author: Principal::nobody(),
        owner: Principal::nobody(),
        digest: ContentDigest::of(json.as_bytes()),
        payload: Payload::Raw(Bytes::from_static(json.as_bytes())),
    }
}

/// A part of the caller's log, from its beginning, that claims all of these records.
pub(crate) fn part(records: &[(&str, Record)]) -> Bytes {
    let keyed = records.iter().map(|(path, record)| {
        let (namespace, path) = (Namespace::Data, Path::parse(path).unwrap());
        let record = record_codec::encode(namespace, &path, record).into();
        KeyedRecord { namespace, path, record }
    });
    let request = ReplicateRequest {
        from: None,
        start_local_seq: 0,
        to: LogPosition { epoch: ORIGIN.epoch, local_seq: 9 },
        left_out: Vector::default(),
        claim: records.iter().map(|(_, record)| (ORIGIN, record.dot.seq)).collect(),
        records: keyed.collect(),
    };
    request.encode().into()
}
