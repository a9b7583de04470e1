//! A node that asks for tokens, and people with accounts on it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::node::Node;
use crate::support::sandbox::Sandbox;

/// The secret of nodes that ask for tokens, where a test has to know it.
pub(crate) const SECRET: &str = "chosen-for-tests-of-access-alone";

/// What a user may do at all, unless a test says otherwise.
pub(crate) const SCOPES: [&str; 3] = ["read", "write", "delete"];

/// Someone with an account and a token.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    /// The user.
    pub(crate) uuid: String,
    /// A token of the scopes [`SCOPES`].
    pub(crate) token: String,
}

/// A node with accounts. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct World {
    node: Node,
    root: String,
    config: PathBuf,
    // Dropped after the node, which runs in it.
    sandbox: Sandbox,
}

/// The token that a node keeps for whoever may read its data directory.
pub(crate) fn root_token(data: &Path) -> String {
    std::fs::read_to_string(data.join("root.token")).unwrap().trim_end().to_owned()
}

/// Makes a user with a token by an administrator's client.
#[track_caller]
pub(crate) fn person(admin: &mut Client, nickname: &str) -> Person {
    let uuid = admin.post("/auth/users", &json!({ "nickname": nickname })).expect(201).uuid();
    let token = minted(admin, &json!({ "user_uuid": uuid, "scopes": SCOPES }));
    Person { uuid, token }
}

/// Makes a group by an administrator's client; its uuid.
#[track_caller]
pub(crate) fn group(admin: &mut Client, name: &str, members: &[&Person]) -> String {
    let members: Vec<&str> = members.iter().map(|person| person.uuid.as_str()).collect();
    admin.post("/auth/groups", &json!({ "name": name, "members": members })).expect(201).uuid()
}

/// Has a token made.
#[track_caller]
pub(crate) fn minted(client: &mut Client, wish: &Value) -> String {
    client.post("/auth/tokens", wish).expect(201).word("token")
}

impl World {
    /// A node alone with these lines in its configuration, which may replace those that make it ask for tokens.
    pub(crate) fn new(lines: &[(&str, &str)]) -> Self {
        let asks = [("auth_enabled", "true"), ("cluster_secret", SECRET)];
        let asks = asks.into_iter().filter(|(key, _)| lines.iter().all(|(other, _)| key != other));
        let lines: Vec<(&str, &str)> = asks.chain(lines.iter().copied()).collect();
        let sandbox = Sandbox::new();
        let config = sandbox.configure("config.yaml", &lines);
        Self::started(sandbox, config)
    }

    /// The node.
    pub(crate) const fn node(&self) -> &Node {
        &self.node
    }

    /// Where it runs.
    pub(crate) const fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The token of root.
    pub(crate) fn root_token(&self) -> &str {
        &self.root
    }

    /// A client without a token.
    pub(crate) fn stranger(&self) -> Client {
        self.node.client()
    }

    /// A client with a token.
    pub(crate) fn bearer(&self, token: &str) -> Client {
        self.node.client().with_token(token)
    }

    /// The client of the built-in administrator.
    pub(crate) fn root(&self) -> Client {
        self.bearer(&self.root)
    }

    /// Makes a user with a token.
    #[track_caller]
    pub(crate) fn person(&self, nickname: &str) -> Person {
        person(&mut self.root(), nickname)
    }

    /// A client of a person.
    pub(crate) fn of(&self, person: &Person) -> Client {
        self.bearer(&person.token)
    }

    /// Sets metadata as root.
    #[track_caller]
    pub(crate) fn govern(&self, path: &str, metadata: &Value) {
        self.root().put(&format!("/meta/{path}"), metadata.to_string()).expect(200);
    }

    /// Ends the node and starts it again with the same configuration.
    pub(crate) fn restarted(self) -> Self {
        let Self { node, config, sandbox, .. } = self;
        node.stop();
        Self::started(sandbox, config)
    }

    /// The same after a crash.
    pub(crate) fn crashed(self) -> Self {
        let Self { node, config, sandbox, .. } = self;
        node.kill();
        Self::started(sandbox, config)
    }

    fn started(sandbox: Sandbox, config: PathBuf) -> Self {
        let node = Node::start(&sandbox, &config);
        let root = root_token(&sandbox.folder().join("data"));
        Self { node, root, config, sandbox }
    }
}
