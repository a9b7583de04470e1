//! How the task of a connection does what the node wants of it.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::activity::{Activity, Order};

/// Polls `work` with the order that holds; `None` when the connection must end at once.
pub(super) async fn obey<T>(
    activity: &Activity,
    mut work: impl FnMut(&mut Context<'_>, Order) -> Poll<T>,
) -> Option<T> {
    poll_fn(|context| {
        activity.attend(context);
        match activity.order() {
            Order::Close => Poll::Ready(None),
            order => work(context, order).map(Some),
        }
    })
    .await
}
