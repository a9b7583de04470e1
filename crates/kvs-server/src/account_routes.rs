//! Which of the accounts' calls a request is: everything below `/auth/`.
//!
//! As in [`crate::routes`] the raw path decides and one table gives both the call and what `Allow` says. Uuids are read
//! later, once it is known who asks: a stranger learns nothing from a misspelt one.

use http::Method;

/// A call about accounts. Texts are the raw last or middle segment of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccountRoute<'a> {
    /// `POST /auth/users`.
    CreateUser,
    /// `GET /auth/users`.
    ListUsers,
    /// `GET /auth/users/{uuid}`.
    ReadUser(&'a str),
    /// `PUT /auth/users/{uuid}`.
    ReplaceUser(&'a str),
    /// `DELETE /auth/users/{uuid}`.
    DeleteUser(&'a str),
    /// `DELETE /auth/users/{uuid}/tokens`.
    RevokeAll(&'a str),
    /// `POST /auth/groups`.
    CreateGroup,
    /// `GET /auth/groups`.
    ListGroups,
    /// `GET /auth/groups/{uuid}`.
    ReadGroup(&'a str),
    /// `PUT /auth/groups/{uuid}`.
    ReplaceGroup(&'a str),
    /// `DELETE /auth/groups/{uuid}`.
    DeleteGroup(&'a str),
    /// `POST /auth/tokens`.
    MintToken,
    /// `GET /auth/tokens`.
    ListTokens,
    /// `DELETE /auth/tokens/{jti}`.
    RevokeToken(&'a str),
    /// `GET /auth/whoami`.
    WhoAmI,
}

impl AccountRoute<'_> {
    /// Whether the call has a body.
    pub(crate) const fn takes_body(&self) -> bool {
        matches!(
            self,
            Self::CreateUser
                | Self::ReplaceUser(_)
                | Self::CreateGroup
                | Self::ReplaceGroup(_)
                | Self::MintToken
        )
    }
}

/// What a resource has: its methods with their calls, in the order of `Allow`, and `Allow` itself.
struct Table<'a, const N: usize> {
    calls: [(Method, AccountRoute<'a>); N],
    allow: &'static str,
}

impl<'a, const N: usize> Table<'a, N> {
    fn find(self, method: &Method) -> Result<AccountRoute<'a>, &'static str> {
        // HEAD is GET whose body is not sent.
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        self.calls.into_iter().find(|(verb, _)| verb == method).map(|(_, call)| call).ok_or(self.allow)
    }
}

/// Finds the call of `method` on the path behind `/auth/`; `None` when there is no such resource, the inner error what
/// `Allow` says when it has other methods.
pub(crate) fn route<'a>(method: &Method, rest: &'a str) -> Option<Result<AccountRoute<'a>, &'static str>> {
    use AccountRoute as Call;
    let whoami = Table { calls: [(Method::GET, Call::WhoAmI)], allow: "GET, HEAD" };
    let (kind, name) = match rest.split_once('/') {
        Some((kind, name)) => (kind, Some(name)),
        None => (rest, None),
    };
    let found = match (kind, name) {
        ("whoami", None) => whoami.find(method),
        ("users", None) => collection(Call::ListUsers, Call::CreateUser).find(method),
        ("groups", None) => collection(Call::ListGroups, Call::CreateGroup).find(method),
        ("tokens", None) => collection(Call::ListTokens, Call::MintToken).find(method),
        ("users", Some(name)) => match name.strip_suffix("/tokens") {
            Some(user) if is_segment(user) => deletion(Call::RevokeAll(user)).find(method),
            None if is_segment(name) => {
                element(Call::ReadUser(name), Call::ReplaceUser(name), Call::DeleteUser(name)).find(method)
            }
            _ => return None,
        },
        ("groups", Some(name)) if is_segment(name) => {
            element(Call::ReadGroup(name), Call::ReplaceGroup(name), Call::DeleteGroup(name)).find(method)
        }
        ("tokens", Some(name)) if is_segment(name) => deletion(Call::RevokeToken(name)).find(method),
        _ => return None,
    };
    Some(found)
}

const fn collection<'a>(list: AccountRoute<'a>, create: AccountRoute<'a>) -> Table<'a, 2> {
    Table { calls: [(Method::GET, list), (Method::POST, create)], allow: "GET, HEAD, POST" }
}

const fn element<'a>(
    read: AccountRoute<'a>,
    replace: AccountRoute<'a>,
    delete: AccountRoute<'a>,
) -> Table<'a, 3> {
    Table {
        calls: [(Method::GET, read), (Method::PUT, replace), (Method::DELETE, delete)],
        allow: "GET, HEAD, PUT, DELETE",
    }
}

const fn deletion(delete: AccountRoute<'_>) -> Table<'_, 1> {
    Table { calls: [(Method::DELETE, delete)], allow: "DELETE" }
}

fn is_segment(name: &str) -> bool {
    !name.is_empty() && !name.contains('/')
}

#[cfg(test)]
mod tests {
    use super::{AccountRoute, route};
    use http::Method;

    #[test]
    fn every_documented_call_has_its_handler() {
        for (method, path, expected) in [
            (Method::POST, "users", AccountRoute::CreateUser),
            (Method::GET, "users", AccountRoute::ListUsers),
            (Method::HEAD, "users", AccountRoute::ListUsers),
            (Method::GET, "users/a", AccountRoute::ReadUser("a")),
            (Method::PUT, "users/a", AccountRoute::ReplaceUser("a")),
            (Method::DELETE, "users/a", AccountRoute::DeleteUser("a")),
            (Method::DELETE, "users/a/tokens", AccountRoute::RevokeAll("a")),
            (Method::POST, "groups", AccountRoute::CreateGroup),
            (Method::GET, "groups", AccountRoute::ListGroups),
            (Method::GET, "groups/a", AccountRoute::ReadGroup("a")),
            (Method::PUT, "groups/a", AccountRoute::ReplaceGroup("a")),
            (Method::DELETE, "groups/a", AccountRoute::DeleteGroup("a")),
            (Method::POST, "tokens", AccountRoute::MintToken),
            (Method::GET, "tokens", AccountRoute::ListTokens),
            (Method::DELETE, "tokens/a", AccountRoute::RevokeToken("a")),
            (Method::GET, "whoami", AccountRoute::WhoAmI),
        ] {
            assert_eq!(route(&method, path), Some(Ok(expected)), "{method} {path}");
        }
    }

    #[test]
    fn other_methods_are_told_the_right_ones_and_other_paths_nothing() {
        for (path, allow) in [
            ("users", "GET, HEAD, POST"),
            ("groups", "GET, HEAD, POST"),
            ("tokens", "GET, HEAD, POST"),
            ("users/a", "GET, HEAD, PUT, DELETE"),
            ("groups/a", "GET, HEAD, PUT, DELETE"),
            ("users/a/tokens", "DELETE"),
            ("tokens/a", "DELETE"),
            ("whoami", "GET, HEAD"),
        ] {
            assert_eq!(route(&Method::PATCH, path), Some(Err(allow)), "{path}");
            let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
            for method in methods {
                let is_allowed = allow.split(", ").any(|word| word == method.as_str());
                assert_eq!(
                    route(&method, path).is_some_and(|found| found.is_ok()),
                    is_allowed,
                    "{method} {path}"
                );
            }
        }
        for path in [
            "",
            "users/",
            "users//tokens",
            "users/a/b",
            "users/a/tokens/",
            "groups/a/tokens",
            "tokens/",
            "x",
            "Users",
        ] {
            assert_eq!(route(&Method::GET, path), None, "{path}");
        }
    }
}
