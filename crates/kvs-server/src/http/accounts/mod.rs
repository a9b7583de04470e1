//! `/auth/`: users, groups, tokens and their revocation, and who is asking.
//!
//! Every write of a call is one transaction of the `auth` namespace; it is learnt by this node before the call is
//! answered, and by the others as fast as any write.

pub(crate) mod body;
pub(crate) mod call;
pub(crate) mod door;
pub(crate) mod groups;
pub(crate) mod issued;
pub(crate) mod page;
pub(crate) mod tokens;
pub(crate) mod users;
pub(crate) mod whoami;
