//! Users and tokens on a running node, made with root's token from its data directory.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::bench::auth::caller::Caller;
use crate::bench::reader::Protocol;
use crate::bench::{client, node};

/// The face of one node for its administrator.
pub(crate) struct Accounts {
    address: SocketAddr,
    root: Caller,
}

/// A token that was made.
pub(crate) struct Token {
    /// Who sends it.
    pub(crate) bearer: Caller,
    /// Its name, by which it is revoked.
    pub(crate) jti: String,
}

impl Accounts {
    /// Takes root's token of the node that runs in `folder`.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(crate) fn of(address: SocketAddr, folder: &Path) -> anyhow::Result<Self> {
        let path = node::data_dir(folder).join("root.token");
        let token = std::fs::read_to_string(&path)
            .with_context(|| format!("{} could not be read", path.display()))?;
        Ok(Self { address, root: Caller::bearing(token.trim()) })
    }

    /// Makes a user; gives its uuid.
    ///
    /// # Errors
    ///
    /// The node refuses.
    pub(crate) fn add_user(&self, nickname: &str) -> anyhow::Result<String> {
        let body = serde_json::json!({ "nickname": nickname });
        text(&self.post("/auth/users", &body)?, "uuid")
    }

    /// Makes a token with which the user reads and writes.
    ///
    /// # Errors
    ///
    /// The node refuses.
    pub(crate) fn make_token(&self, user: &str) -> anyhow::Result<Token> {
        let body = serde_json::json!({ "user_uuid": user, "scopes": ["read", "write"], "ttl": "1d" });
        let answer = self.post("/auth/tokens", &body)?;
        Ok(Token { bearer: Caller::bearing(&text(&answer, "token")?), jti: text(&answer, "jti")? })
    }

    /// Appends the request that revokes a token.
    pub(crate) fn revoke(&self, jti: &str, out: &mut Vec<u8>) {
        self.root.ask(format_args!("DELETE /auth/tokens/{jti}"), out);
    }

    fn post(&self, page: &str, body: &Value) -> anyhow::Result<Value> {
        let mut request = Vec::new();
        self.root.send(format_args!("POST {page}"), body.to_string().as_bytes(), &mut request);
        let (answer, bytes) = client::fetch(self.address, Protocol::Http, &request)?;
        if !answer.success {
            bail!("{page} was answered with {}", answer.status);
        }
        let begin = bytes.len().saturating_sub(answer.body_bytes);
        serde_json::from_slice(bytes.get(begin..).unwrap_or_default())
            .with_context(|| format!("{page} was answered with no JSON"))
    }
}

fn text(answer: &Value, member: &str) -> anyhow::Result<String> {
    let text = answer.get(member).and_then(Value::as_str);
    text.map(str::to_owned).with_context(|| format!("the answer has no {member}"))
}
