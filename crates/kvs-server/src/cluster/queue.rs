//! A queue with a bound to a thread of the cluster.
//!
//! What must arrive waits for room, in the task that brings it ([`Queue::put`]); what only tells a little sooner what is
//! found out anyway is left out when there is none ([`Queue::offer`]). The threads themselves never wait for each other.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use crate::limits::{QUEUE_FULL_PAUSE, QUEUE_MAX};

/// The sending side.
#[derive(Debug)]
pub(crate) struct Queue<T>(SyncSender<T>);

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Queue<T> {
    /// A queue, and where the thread takes from it.
    pub(crate) fn new() -> (Self, Receiver<T>) {
        Self::of(QUEUE_MAX)
    }

    fn of(bound: usize) -> (Self, Receiver<T>) {
        let (sender, receiver) = sync_channel(bound);
        (Self(sender), receiver)
    }

    /// Sends it unless the queue is full; answers whether it was sent, or nobody is there to take it.
    pub(crate) fn offer(&self, command: T) -> bool {
        !matches!(self.0.try_send(command), Err(TrySendError::Full(_)))
    }

    /// Sends it as soon as there is room; answers whether it was sent, as it is not when the thread has ended.
    pub(crate) async fn put(&self, mut command: T) -> bool {
        loop {
            match self.0.try_send(command) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) => command = back,
            }
            tokio::time::sleep(QUEUE_FULL_PAUSE).await;
        }
    }

    /// The same for a thread, from which the taking one waits for nothing.
    pub(crate) fn put_blocking(&self, command: T) -> bool {
        self.0.send(command).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Queue;
    use std::time::Duration;

    #[tokio::test]
    async fn what_must_arrive_waits_for_room_and_a_hint_does_not() {
        let (queue, receiver) = Queue::of(1);
        assert!(queue.offer(1));
        assert!(!queue.offer(2));
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.put(3).await }
        });
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert!(!waiting.is_finished());
        assert_eq!(receiver.recv(), Ok(1));
        assert!(waiting.await.unwrap());
        assert_eq!(receiver.recv(), Ok(3));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_thread_that_has_ended() {
        let (queue, receiver) = Queue::of(1);
        assert!(queue.offer(1));
        drop(receiver);
        assert!(!queue.put(2).await);
        assert!(!queue.put_blocking(2));
        // There is nobody whom it would tell anything.
        assert!(queue.offer(2));
    }
}
