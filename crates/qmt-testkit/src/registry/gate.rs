//! A gate that the test opens, so that requests meet in the order that it wants.

use std::sync::Arc;

use tokio::sync::watch;

/// A gate before which requests wait, see [`Fault::hold`](super::Fault::hold). It is closed until it is opened, then
/// open for good; clones are one gate.
#[derive(Clone, Debug)]
pub struct Gate {
    open: Arc<watch::Sender<bool>>,
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self {
            open: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Lets all requests through, those that wait now and those that come later.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    pub(super) async fn pass(&self) {
        // The sender lives as long as this gate, so the wait cannot fail.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}
