//! A node that records the calls of its peers, and peers that call it: with the product's client, or byte by byte.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use kvs_core::cluster_keys::ClusterKeys;
use kvs_protocol::call::{CallFailure, CallKind};
use kvs_protocol::peer_auth::challenge::Challenge;
use kvs_protocol::peer_auth::credential::BootTag;
use kvs_protocol::peer_auth::keyring::Keyring;
use kvs_protocol::peer_auth::mac::Line;
use kvs_protocol::peer_auth::sender::Sender;
use kvs_server::clock::SystemClock;
use kvs_server::peer::client::PeerClient;
use kvs_server::peer::service::{PeerAnswer, PeerRefusal, PeerRequest, PeerService};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::{PATIENCE, TestNode};

/// The secret of the nodes under test.
pub(crate) const SECRET: &str = "correct horse battery";

/// The node that calls.
pub(crate) const CALLER: Uuid = Uuid::from_u128(0xca11);

/// Answers as its question says, and keeps every call.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<PeerRequest>>);

impl Recorder {
    /// The calls so far.
    pub(crate) fn calls(&self) -> Vec<PeerRequest> {
        self.0.lock().unwrap().clone()
    }
}

impl PeerService for Recorder {
    fn handle(&self, request: PeerRequest) -> PeerAnswer {
        let answer = match &request.body[..] {
            b"refuse" => Err(PeerRefusal::Conflict("not now, not here".to_owned())),
            b"too much" => Ok(Bytes::from(vec![0; 80 * 1024 * 1024])),
            b"hang" => {
                self.0.lock().unwrap().push(request);
                return Box::pin(std::future::pending());
            }
            body => Ok(Bytes::from([b"genuine answer to ", body].concat())),
        };
        self.0.lock().unwrap().push(request);
        Box::pin(std::future::ready(answer))
    }
}

/// A node with this line of configuration, and what records its calls.
pub(crate) async fn node_with(dir: TempDir, line: &str) -> (TestNode, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let service: Arc<dyn PeerService> = Arc::<Recorder>::clone(&recorder);
    (TestNode::start_for(dir, line, Some(service)).await, recorder)
}

/// A node with the usual secret.
pub(crate) async fn node() -> (TestNode, Arc<Recorder>) {
    node_with(TempDir::new().unwrap(), &format!("cluster_secret: {SECRET}\n")).await
}

fn keyring(secret: &str) -> Keyring {
    Keyring::new(ClusterKeys::derive(secret.as_bytes()), None)
}

/// A peer with this secret.
pub(crate) fn client(secret: &str) -> PeerClient {
    client_of(keyring(secret))
}

/// A peer with these keys.
pub(crate) fn client_of(keyring: Keyring) -> PeerClient {
    PeerClient::new(keyring, CALLER, 3, SystemClock::start()).unwrap()
}

/// One call to whoever answers at `to`.
pub(crate) async fn call(
    client: &PeerClient,
    to: impl ToString,
    kind: CallKind,
    body: &'static str,
) -> Result<Bytes, CallFailure> {
    client.call(&to.to_string(), None, kind, Bytes::from_static(body.as_bytes()), PATIENCE).await
}

/// A member of the cluster that writes its requests by hand.
pub(crate) struct HandWriter(Sender);

/// A request by hand, before it is put together.
pub(crate) struct Written {
    pub(crate) line: String,
    pub(crate) authorization: String,
    pub(crate) fields: String,
    pub(crate) body: Vec<u8>,
}

impl HandWriter {
    pub(crate) fn new(secret: &str) -> Self {
        Self(Sender::new(keyring(secret), CALLER, 3, BootTag([7; 8])))
    }

    /// A good request.
    pub(crate) fn write(&self, challenge: &Challenge, kind: CallKind, body: &[u8]) -> Written {
        let target = format!("/peer/v1/{}", kind.name());
        let line = Line { method: "POST", target: &target };
        Written {
            line: format!("POST {target}"),
            authorization: self.0.sign(challenge, line, body, 1_700_000_000_000).authorization(),
            fields: format!("Content-Length: {}\r\n", body.len()),
            body: body.to_vec(),
        }
    }
}

impl Written {
    /// Its bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let Self { line, authorization, fields, body } = self;
        let head =
            format!("{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\n{fields}\r\n");
        [head.as_bytes(), body].concat()
    }
}

/// What a node says to who asks without a credential.
pub(crate) async fn challenge(node: &TestNode) -> Challenge {
    let answer = node.post("/peer/v1/swim", "").await;
    assert_eq!(answer.status, 401);
    Challenge::decode(answer.header("x-kvs-challenge").unwrap().as_bytes()).unwrap()
}
