//! Whoever holds the cluster's key: a peer that says what it likes, over a raw connection.

use std::net::SocketAddr;

use bytes::Bytes;
use kvs_core::cluster_keys::ClusterKeys;
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
use kvs_protocol::call::CallKind;
use kvs_protocol::peer_auth::challenge::Challenge;
use kvs_protocol::peer_auth::credential::BootTag;
use kvs_protocol::peer_auth::keyring::Keyring;
use kvs_protocol::peer_auth::mac::Line;
use kvs_protocol::peer_auth::sender::Sender;
use kvs_protocol::wire::keyed_record::KeyedRecord;
use kvs_protocol::wire::replicate::{ReplicateReply, ReplicateRequest};
use uuid::Uuid;

use crate::support::answer::Answer;
use crate::support::wait::unix_ms;
use crate::support::wire::Wire;

/// A peer of our own making.
pub(crate) struct Peer {
    sender: Sender,
    /// Its identity.
    pub(crate) node: Uuid,
    address: SocketAddr,
    writes: u64,
    cursor: Option<LogPosition>,
}

impl Peer {
    /// A peer that holds these keys and speaks to the node at `address`.
    pub(crate) fn new(address: SocketAddr, keys: &ClusterKeys, node: Uuid) -> Self {
        let boot = BootTag(unix_ms().to_be_bytes());
        let sender = Sender::new(Keyring::new(keys.clone(), None), node, 1, boot);
        Self { sender, node, address, writes: 0, cursor: None }
    }

    /// Makes a call, on a connection of its own. An answer that came from the key's holder has its seal checked.
    pub(crate) fn call(&self, kind: CallKind, body: &[u8]) -> Answer {
        let mut wire = Wire::open(self.address);
        let target = format!("/peer/v1/{}", kind.name());
        let authorization = self.authorization(&mut wire, &target, body);
        wire.send(self.head(&target, &format!("Authorization: {}\r\n", authorization.1), body.len()));
        // A node that refuses a length does not read the body.
        drop(wire.try_send(body));
        let answer = wire.answer();
        if answer.status != 401 {
            let seal = answer.header("x-kvs-seal").expect("a sealed answer").as_bytes();
            assert!(authorization.0.is_answered_by(answer.status, &answer.body, seal), "{}", answer.shown());
        }
        answer
    }

    /// A credential that this peer made for a call without a body, for whoever uses it elsewhere.
    pub(crate) fn credential(&self, kind: CallKind) -> String {
        self.authorization(&mut Wire::open(self.address), &format!("/peer/v1/{}", kind.name()), b"").1
    }

    /// Sends the head of a call whose body is said to have this length, with more header fields, and then some bytes.
    pub(crate) fn call_with(&self, kind: CallKind, length: usize, fields: &str, body: &[u8]) -> Answer {
        let mut wire = Wire::open(self.address);
        let target = format!("/peer/v1/{}", kind.name());
        let authorization = self.authorization(&mut wire, &target, body);
        let fields = format!("Authorization: {}\r\n{fields}", authorization.1);
        wire.send(self.head(&target, &fields, length));
        drop(wire.try_send(body));
        wire.answer()
    }

    fn head(&self, target: &str, fields: &str, length: usize) -> String {
        let host = self.address;
        format!("POST {target} HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: {length}\r\n\r\n")
    }

    /// Asks for a challenge and answers it.
    fn authorization(
        &self,
        wire: &mut Wire,
        target: &str,
        body: &[u8],
    ) -> (kvs_protocol::peer_auth::sender::Signed, String) {
        wire.send(self.head(target, "", 0));
        let refused = wire.answer().refused(401, "unauthorized");
        let challenge = Challenge::decode(refused.header("x-kvs-challenge").unwrap().as_bytes()).unwrap();
        let line = Line { method: "POST", target };
        let signed = self.sender.sign(&challenge, line, body, unix_ms());
        let text = signed.authorization();
        (signed, text)
    }

    /// A record of this peer's next write, stamped as it likes.
    pub(crate) fn record(&mut self, path: &str, stamp: Stamp, json: &str) -> KeyedRecord {
        self.record_of(path, stamp, json, json)
    }

    /// The same with the digest of another content, in a record that is whole otherwise.
    pub(crate) fn record_of(&mut self, path: &str, stamp: Stamp, json: &str, digested: &str) -> KeyedRecord {
        self.record_in(Namespace::Data, path, stamp, (json, digested))
    }

    /// A record of any namespace, with its content and the content that its digest is of.
    pub(crate) fn record_in(
        &mut self,
        namespace: Namespace,
        path: &str,
        stamp: Stamp,
        (json, digested): (&str, &str),
    ) -> KeyedRecord {
        self.writes += 1;
        let record = Record {
            version: Version { stamp, origin_joined_ms: 1, uuid: Uuid::from_u128(u128::from(self.writes)) },
            dot: Dot { origin: Origin { node: self.node, epoch: 1 }, seq: self.writes },
            kind: Kind::Value,
            expires_at_ms: 0,
            author: Principal::nobody(),
            owner: Principal::nobody(),
            digest: ContentDigest::of(digested.as_bytes()),
            payload: Payload::Raw(Bytes::copy_from_slice(json.as_bytes())),
        };
        let path = Path::parse(path).unwrap();
        let record = record_codec::encode(namespace, &path, &record).into();
        KeyedRecord { namespace, path, record }
    }

    /// Ships records as the next part of this peer's log, with the claim that they are all of it.
    pub(crate) fn ship(&mut self, records: Vec<KeyedRecord>) -> Answer {
        let before = self.cursor.map_or(0, |cursor| cursor.local_seq);
        let mut claim = Vector::default();
        claim.raise(Origin { node: self.node, epoch: 1 }, self.writes);
        let request = ReplicateRequest {
            from: self.cursor,
            start_local_seq: before + 1,
            to: LogPosition { epoch: 1, local_seq: self.writes },
            left_out: Vector::default(),
            claim,
            records,
        };
        let answer = self.call(CallKind::Replicate, &request.encode());
        if answer.status == 200 {
            self.cursor = ReplicateReply::decode(&answer.body.clone().into()).unwrap().cursor;
        }
        answer
    }
}
