//! The bodies of calls about accounts, read strictly: a member that is unknown, doubled or `null` is refused, so that
//! nobody can be shown one thing and have another one done.

use std::time::Duration;

use http::HeaderMap;
use hyper::body::Incoming;
use kvs_auth::accounts::error::AccountError;
use kvs_auth::accounts::group::{Group, members_of};
use kvs_auth::accounts::nickname::Nickname;
use kvs_auth::accounts::user::Standing;
use kvs_auth::issue::Wish;
use kvs_auth::json::{present, read_object};
use kvs_auth::limits::{ACCOUNT_BYTES_MAX, TOKEN_LIFETIME_MAX_S};
use kvs_auth::subject::Subject;
use kvs_auth::subtrees::{SUBTREES_MAX, Subtrees};
use kvs_auth::token::claims::scopes_of;
use kvs_core::path::Path;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::context::Node;
use crate::http::body;
use crate::http::write::{bad_json, ttl_of_json};
use crate::problem::{Code, Problem};

/// `POST /auth/users`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    nickname: String,
}

/// `PUT /auth/users/{uuid}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangedUser {
    nickname: String,
    /// Without it the user stays as it is: a new name enables nobody.
    #[serde(default, deserialize_with = "present")]
    disabled: Option<bool>,
}

/// `POST /auth/groups`, `PUT /auth/groups/{uuid}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenGroup {
    name: String,
    #[serde(default)]
    members: Vec<String>,
}

/// `POST /auth/tokens`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WishedToken {
    #[serde(default, deserialize_with = "present")]
    user_uuid: Option<String>,
    scopes: Vec<String>,
    #[serde(default, deserialize_with = "present")]
    ttl: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "present")]
    paths: Option<Vec<String>>,
}

impl NewUser {
    /// The name.
    ///
    /// # Errors
    ///
    /// [`Code::BadJson`].
    pub(crate) fn nickname(self) -> Result<Nickname, Problem> {
        nickname_of(self.nickname)
    }
}

impl ChangedUser {
    /// The name, and whether the user's tokens are taken; `None` where that stays as it is.
    ///
    /// # Errors
    ///
    /// [`Code::BadJson`].
    pub(crate) fn parts(self) -> Result<(Nickname, Option<Standing>), Problem> {
        let standing = |disabled| if disabled { Standing::Disabled } else { Standing::Enabled };
        Ok((nickname_of(self.nickname)?, self.disabled.map(standing)))
    }
}

impl WrittenGroup {
    /// The group.
    ///
    /// # Errors
    ///
    /// [`Code::BadJson`].
    pub(crate) fn group(self) -> Result<Group, Problem> {
        let members = members_of(&self.members).map_err(|error| bad_account(&error))?;
        Ok(Group { name: nickname_of(self.name)?, members })
    }
}

impl WishedToken {
    /// The wish.
    ///
    /// # Errors
    ///
    /// [`Code::BadJson`]; [`Code::BadPath`] and [`Code::BadTtl`] for what is wrong with those.
    pub(crate) fn wish(self) -> Result<Wish, Problem> {
        let subject = match self.user_uuid {
            Some(text) => Some(Subject::parse(&text).ok_or_else(|| {
                Problem::new(Code::BadJson, "user_uuid takes a user's uuid in lower case, or root")
            })?),
            None => None,
        };
        let scopes = scopes_of(&self.scopes).filter(|scopes| !scopes.is_empty()).ok_or_else(|| {
            Problem::new(Code::BadJson, "scopes takes some of read, write, delete and admin, each once")
        })?;
        let lifetime_s = self.ttl.map(|ttl| lifetime_of(ttl_of_json(&ttl)?)).transpose()?;
        Ok(Wish {
            subject,
            scopes,
            lifetime_s,
            paths: self.paths.map(|roots| subtrees_of(&roots)).transpose()?,
        })
    }
}

fn lifetime_of(ttl: Option<Duration>) -> Result<u64, Problem> {
    let seconds = ttl.map(|ttl| ttl.as_secs()).filter(|seconds| *seconds <= TOKEN_LIFETIME_MAX_S);
    seconds.ok_or_else(|| {
        let days = TOKEN_LIFETIME_MAX_S / 86_400;
        Problem::new(Code::BadTtl, format!("a token lives at least a second and at most {days} days"))
    })
}

fn subtrees_of(roots: &[String]) -> Result<Subtrees, Problem> {
    // Counted before they are read: a body has room for many.
    if roots.is_empty() || roots.len() > SUBTREES_MAX {
        return Err(Problem::new(Code::BadJson, format!("paths takes 1 to {SUBTREES_MAX} subtrees")));
    }
    // A subtree may be written with a slash at its end, as a prefix of a listing is.
    let root = |text: &String| Path::parse(text.strip_suffix('/').unwrap_or(text));
    let roots = roots.iter().map(root).collect::<Result<Vec<_>, _>>()?;
    Subtrees::new(roots).ok_or_else(|| Problem::internal("counted subtrees are too many"))
}

fn nickname_of(name: String) -> Result<Nickname, Problem> {
    Nickname::new(name).map_err(|error| bad_account(&error))
}

fn bad_account(error: &AccountError) -> Problem {
    Problem::new(Code::BadJson, error.to_string())
}

/// Reads a body.
///
/// # Errors
///
/// [`Code::UnsupportedMediaType`], [`Code::TooLarge`], [`Code::BadJson`], and what else a body can be refused for.
pub(crate) async fn read<T: DeserializeOwned>(
    node: &Node,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<T, Problem> {
    body::expect_json(headers)?;
    let whole = body::read(headers, body, ACCOUNT_BYTES_MAX, &node.budget).await?;
    read_object(&whole.bytes).map_err(|error| bad_json(&error))
}

#[cfg(test)]
mod tests {
    use super::{ChangedUser, NewUser, WishedToken, WrittenGroup};
    use crate::problem::Code;
    use kvs_auth::accounts::user::Standing;
    use kvs_auth::issue::Wish;
    use kvs_auth::json::read_object;
    use kvs_auth::scopes::{Scope, Scopes};
    use kvs_auth::subject::Subject;

    const UUID: &str = "0b0d7f9e-9a1c-4a52-8f3e-6f2d1c0a9b8e";

    fn wish(text: &str) -> Result<Wish, Code> {
        let body: WishedToken = read_object(text.as_bytes()).map_err(|_| Code::BadJson)?;
        body.wish().map_err(|problem| problem.code)
    }

    #[test]
    fn a_wish_is_read_as_documented() {
        let text = format!(
            r#"{{"user_uuid":"{UUID}","scopes":["write","read"],"ttl":"1h30m","paths":["/home/ann","pub/"]}}"#
        );
        let wished = wish(&text).unwrap();
        assert_eq!(wished.subject, Subject::parse(UUID));
        assert_eq!(wished.scopes, Scopes::NONE.with(Scope::Read).with(Scope::Write));
        assert_eq!(wished.lifetime_s, Some(5400));
        let roots: Vec<String> = wished.paths.unwrap().roots().iter().map(ToString::to_string).collect();
        assert_eq!(roots, ["home/ann", "pub"]);
        let least = wish(r#"{"scopes":["admin"]}"#).unwrap();
        assert_eq!((least.subject, least.lifetime_s, least.paths), (None, None, None));
        assert_eq!(wish(r#"{"scopes":["read"],"ttl":90}"#).unwrap().lifetime_s, Some(90));
        assert_eq!(wish(r#"{"user_uuid":"root","scopes":["read"]}"#).unwrap().subject, Some(Subject::Root));
    }

    #[test]
    fn nothing_else_is_a_wish() {
        for (text, code) in [
            (r#"{}"#, Code::BadJson),
            (r#"{"scopes":[]}"#, Code::BadJson),
            (r#"{"scopes":["read","read"]}"#, Code::BadJson),
            (r#"{"scopes":["all"]}"#, Code::BadJson),
            (r#"{"scopes":["read"],"scopes":["admin"]}"#, Code::BadJson),
            (r#"{"scopes":["read"],"\u0073copes":["admin"]}"#, Code::BadJson),
            (r#"{"scopes":["read"],"admin":true}"#, Code::BadJson),
            (r#"{"scopes":["read"],"user_uuid":null}"#, Code::BadJson),
            (r#"{"scopes":["read"],"user_uuid":"ann"}"#, Code::BadJson),
            (r#"{"scopes":["read"],"paths":null}"#, Code::BadJson),
            (r#"{"scopes":["read"],"paths":[]}"#, Code::BadJson),
            (r#"{"scopes":["read"],"paths":["a//b"]}"#, Code::BadPath),
            (r#"{"scopes":["read"],"paths":["a//"]}"#, Code::BadPath),
            (r#"{"scopes":["read"],"paths":["/"]}"#, Code::BadPath),
            (r#"{"scopes":["read"],"paths":["_x"]}"#, Code::BadPath),
            (r#"{"scopes":["read"],"ttl":"0"}"#, Code::BadTtl),
            (r#"{"scopes":["read"],"ttl":null}"#, Code::BadTtl),
            (r#"{"scopes":["read"],"ttl":"soon"}"#, Code::BadTtl),
            (r#"{"scopes":["read"],"ttl":"367d"}"#, Code::BadTtl),
            (r#"[null,["read"],null,null]"#, Code::BadJson),
        ] {
            assert_eq!(wish(text), Err(code), "{text}");
        }
        assert!(wish(r#"{"scopes":["read"],"ttl":"366d"}"#).is_ok());
    }

    #[test]
    fn users_and_groups_say_everything_once() {
        let user =
            |text: &str| read_object::<ChangedUser>(text.as_bytes()).map(|body| body.parts().unwrap().1);
        assert_eq!(user(r#"{"nickname":"ann"}"#).unwrap(), None);
        assert_eq!(user(r#"{"nickname":"ann","disabled":true}"#).unwrap(), Some(Standing::Disabled));
        assert!(user(r#"{"nickname":"ann","disabled":true,"disabled":false}"#).is_err());
        assert!(user(r#"{"nickname":"ann","disabled":null}"#).is_err());
        assert!(read_object::<NewUser>(br#"{"nickname":"ann","nickname":"eve"}"#).is_err());
        assert!(read_object::<NewUser>(br#"{"nickname":"ann","uuid":"x"}"#).is_err());
        assert!(read_object::<NewUser>(br#"{"nickname":""}"#).unwrap().nickname().is_err());
        let group = |text: &str| read_object::<WrittenGroup>(text.as_bytes()).map(WrittenGroup::group);
        assert!(group(r#"{"name":"staff"}"#).unwrap().unwrap().members.is_empty());
        assert!(group(&format!(r#"{{"name":"staff","members":["{UUID}","{UUID}"]}}"#)).unwrap().is_err());
        assert!(group(r#"{"name":"staff","members":[],"members":[]}"#).is_err());
    }
}
