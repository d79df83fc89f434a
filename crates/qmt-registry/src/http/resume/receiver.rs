//! The stream that a consumer reads a blob from.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::RegistryError;

/// The consumer's end. Dropping it ends the task.
pub(super) struct Receiver {
    pub(super) waiting: mpsc::Receiver<Result<Bytes, RegistryError>>,
    pub(super) task: Option<JoinHandle<()>>,
}

impl Stream for Receiver {
    type Item = Result<Bytes, RegistryError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let next = std::task::ready!(self.waiting.poll_recv(cx));
        if next.is_some() {
            return Poll::Ready(next);
        }
        // The channel is closed: the task is done. If it was torn down (a runtime's end), what
        // came so far is not proven, and must not look like the end.
        let Some(task) = &mut self.task else {
            return Poll::Ready(None);
        };
        let outcome = std::task::ready!(Pin::new(task).poll(cx));
        self.task = None;
        match outcome {
            Ok(()) => Poll::Ready(None),
            Err(cause) => Poll::Ready(Some(Err(RegistryError::Client {
                source: cause.into(),
            }))),
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
