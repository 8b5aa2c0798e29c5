//! Where a client finds its server; may lead to another one while the client runs, as a
//! balancer's address does.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

/// One door, shared by those who go through it.
#[derive(Debug, Clone)]
pub struct Door(Arc<watch::Sender<SocketAddr>>);

impl Door {
    pub fn leads_to(&self) -> SocketAddr {
        *self.0.borrow()
    }

    /// From now on it leads there; who is at the other place leaves it at once.
    pub fn turn(&self, address: SocketAddr) {
        self.0.send_replace(address);
    }

    /// Returns when it no longer leads to `address`.
    pub async fn left(&self, address: SocketAddr) {
        let mut leads = self.0.subscribe();
        // Err: impossible, the sender is `self`.
        leads.wait_for(|now| *now != address).await.ok();
    }
}

impl From<SocketAddr> for Door {
    fn from(address: SocketAddr) -> Self {
        Self(Arc::new(watch::Sender::new(address)))
    }
}
