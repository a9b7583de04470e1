//! The entrance: who is asking, within which limit, and through which door of the house it may go.
//!
//! Every route is in one of four classes. Open ones are answered to whoever asks, also to one with a bad token: a health
//! check must not depend on accounts. For the others the identity must be good; whether that is enough for one key is
//! decided behind the vault.
//!
//! Identity comes from the bearer token alone. Of all headers, `Forwarded` and its like are read for the limit and the
//! audit trail; nothing else is, and nothing of them grants anything.

use std::net::IpAddr;

use http::Request;
use kvs_auth::caller::AnonymousRights;
use kvs_auth::decision::Denied;
use kvs_auth::subject::Subject as User;
use kvs_store::clock::Clock;

use crate::access::guard::Guard;
use crate::access::identity::Identity;
use crate::access::vault::refused;
use crate::access::visitor::Visitor;
use crate::client_address::client_address;
use crate::context::Node;
use crate::peer::marks::PEER_PREFIX;
use crate::problem::Problem;
use crate::rate_limit::limiter::Subject;
use crate::rate_limit::verdict::Verdict;
use crate::request_id::RequestId;
use crate::routes::Route;

/// Who may pass at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Everybody.
    Open,
    /// Whoever has a good token.
    Bearers,
    /// Administrators, whose tokens are not limited to subtrees.
    Administrators,
    /// Whoever the handler lets: it depends on the key or the account.
    Decided,
}

impl Route<'_> {
    /// Who may pass at all.
    pub(crate) const fn class(&self) -> Class {
        match self {
            Self::Health | Self::Ready | Self::Members | Self::Peer(_) => Class::Open,
            Self::Metrics => Class::Bearers,
            Self::Join
            | Self::Forget
            | Self::Leave
            | Self::MerkleRoot
            | Self::Convergence
            | Self::Tombstones
            | Self::Parked
            | Self::DiscardParked
            | Self::Backups
            | Self::BackUp => Class::Administrators,
            Self::Read(_)
            | Self::Write(_)
            | Self::Delete(_)
            | Self::Range
            | Self::Batch
            | Self::ReadMany
            | Self::History(_)
            | Self::Restore(..)
            | Self::Metadata(_)
            | Self::SetMetadata(_)
            | Self::Accounts(_) => Class::Decided,
        }
    }

    /// Whether its handler reads a body.
    pub(crate) const fn takes_body(&self) -> bool {
        match self {
            Self::Write(_)
            | Self::Batch
            | Self::ReadMany
            | Self::Join
            | Self::Forget
            | Self::DiscardParked
            | Self::SetMetadata(_) => true,
            Self::Accounts(call) => call.takes_body(),
            _ => false,
        }
    }
}

/// What is known of a request before its route.
#[derive(Debug)]
pub(crate) struct Entrance {
    /// Who asks, or why its token is not good.
    pub(crate) identity: Result<Identity, Problem>,
    /// From where, as far as is known.
    pub(crate) address: IpAddr,
    /// What the limiter says; `None` where it is not asked.
    pub(crate) verdict: Option<Verdict>,
}

impl Entrance {
    /// Looks at a request that came over a socket from `from`.
    pub(crate) fn of<B>(node: &Node, request: &Request<B>, from: IpAddr) -> Self {
        let path = request.uri().path();
        // Peers prove themselves in their own way, by a credential for each call.
        if path.starts_with(PEER_PREFIX) {
            let identity = Ok(Identity::Anonymous(AnonymousRights::default()));
            return Self { identity, address: from, verdict: None };
        }
        let headers = request.headers();
        let identity = match &*node.guard {
            Guard::Off => Ok(Identity::Everybody),
            guard => guard.identify(headers, node.clock.now_ms() / 1000),
        };
        let address = client_address(from, headers, &node.settings.trusted_proxies);
        let limiter = node.limiter.as_ref().filter(|_| path != "/health");
        let verdict = limiter.and_then(|limiter| {
            Some(limiter.check(subject(identity.as_ref().ok(), address)?, node.clock.monotonic()))
        });
        Self { identity, address, verdict }
    }

    /// Lets a request through to its route, or not.
    ///
    /// # Errors
    ///
    /// The token is not good, or not good enough.
    pub(crate) fn admit(
        self,
        node: &Node,
        route: &Route<'_>,
        request: RequestId,
    ) -> Result<Visitor, Problem> {
        let class = route.class();
        let identity = match self.identity {
            Err(_) if class == Class::Open => Identity::Anonymous(AnonymousRights::default()),
            identity => identity?,
        };
        match class {
            Class::Open | Class::Decided => {}
            Class::Bearers if matches!(identity, Identity::Anonymous(_)) => {
                return Err(refused(Denied::Unauthorized));
            }
            Class::Bearers => {}
            Class::Administrators => drop(node.vault.whole(&identity.caller())?),
        }
        Ok(Visitor { identity, request, recording: node.settings.recording })
    }
}

/// Whom the limiter counts a request for; nobody for administrators.
fn subject(identity: Option<&Identity>, address: IpAddr) -> Option<Subject> {
    let Some(bearer) = identity.and_then(Identity::bearer) else { return Some(Subject::Address(address)) };
    if bearer.is_admin() {
        return None;
    }
    // A token that is no administrator's may still be root's, which has no uuid.
    let user = User::parse(bearer.user.as_str()).and_then(User::user).unwrap_or_default();
    Some(Subject::Principal(user))
}
