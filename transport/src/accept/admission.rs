//! Who may hold a connection: a total, and a share per client address.
//!
//! **Invariant:** a connection counts from accept until its last
//! [`ConnectionGuard`] is dropped, also as an upgraded socket.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Keeps a connection counted. Found in the request's extensions; whoever
/// takes the upgraded socket keeps a clone for as long as the socket lives.
#[derive(Debug, Clone)]
pub struct ConnectionGuard {
    place: Arc<Place>,
    /// What the connection's address, or the client behind a proxy, holds.
    _claim: Option<Arc<AddressClaim>>,
}

/// The connections of one listener, to look at and to wait for.
#[derive(Debug, Clone)]
pub struct OpenConnections {
    places: Arc<Semaphore>,
    connections_max: usize,
    addresses: Arc<Addresses>,
}

impl OpenConnections {
    /// How many are open now, upgraded sockets included.
    #[must_use]
    pub fn count(&self) -> usize {
        let free = self.places.available_permits();
        self.connections_max.saturating_sub(free)
    }

    /// How many addresses (IPv6: /64 networks) hold them.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.addresses.held.lock().len()
    }

    /// Waits until none is left. Only of use once nothing is accepted any
    /// more; the caller bounds it.
    pub async fn all_closed(&self) {
        let all = u32::try_from(self.connections_max).unwrap_or(u32::MAX);
        // An error means that the semaphore was closed, which nobody does.
        drop(self.places.acquire_many(all).await);
    }

    pub(crate) fn new(connections_max: usize, per_address_max: usize) -> Self {
        let connections_max = connections_max
            .min(Semaphore::MAX_PERMITS)
            .min(u32::MAX as usize);
        Self {
            places: Arc::new(Semaphore::new(connections_max)),
            connections_max,
            addresses: Arc::new(Addresses {
                per_address_max,
                held: Mutex::default(),
            }),
        }
    }

    /// A place for a new connection. `address` is `None` for a trusted proxy,
    /// whose clients are counted instead, request by request.
    pub(crate) fn admit(&self, address: Option<IpAddr>) -> Result<ConnectionGuard, Full> {
        let permit = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Full::Total)?;
        let claim = match address {
            Some(address) => Some(Arc::new(self.claim(address)?)),
            None => None,
        };
        Ok(ConnectionGuard {
            place: Arc::new(Place::new(permit)),
            _claim: claim,
        })
    }

    /// The same connection, held in the name of a client behind a proxy.
    pub(crate) fn admit_client(
        &self,
        connection: &ConnectionGuard,
        client: IpAddr,
    ) -> Result<ConnectionGuard, Full> {
        Ok(ConnectionGuard {
            place: Arc::clone(&connection.place),
            _claim: Some(Arc::new(self.claim(client)?)),
        })
    }

    fn claim(&self, address: IpAddr) -> Result<AddressClaim, Full> {
        let network = network(address);
        let mut held = self.addresses.held.lock();
        let count = held.entry(network).or_insert(0);
        if *count >= self.addresses.per_address_max {
            if *count == 0 {
                held.remove(&network);
            }
            return Err(Full::Address);
        }
        *count += 1;
        Ok(AddressClaim {
            addresses: Arc::clone(&self.addresses),
            network,
        })
    }
}

/// Which limit refused a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Total,
    Address,
}

impl Full {
    /// The label of the refusal counter.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Address => "address",
        }
    }
}

/// One of `connections_max`.
#[derive(Debug)]
struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        metrics::gauge!("fanfare_connections_open").increment(1.0);
        Self { _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!("fanfare_connections_open").decrement(1.0);
    }
}

/// Connections by network. **Invariant:** no entry is 0.
#[derive(Debug)]
struct Addresses {
    per_address_max: usize,
    held: Mutex<HashMap<IpAddr, usize>>,
}

#[derive(Debug)]
struct AddressClaim {
    addresses: Arc<Addresses>,
    network: IpAddr,
}

impl Drop for AddressClaim {
    fn drop(&mut self) {
        if let Entry::Occupied(mut held) = self.addresses.held.lock().entry(self.network) {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
    }
}

/// What counts as one address: IPv4 as it is, IPv6 by /64, the smallest
/// network that one customer gets (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(address: &str) -> Option<IpAddr> {
        Some(address.parse().unwrap())
    }

    #[test]
    fn ipv6_neighbours_share_one_count_and_zero_leaves_no_trace() {
        let open = OpenConnections::new(10, 2);
        let first = open.admit(ip("2001:db8::1")).unwrap();
        let second = open.admit(ip("2001:db8::ffff:0:0:2")).unwrap();
        assert_eq!(open.admit(ip("2001:db8::3")).err(), Some(Full::Address));
        let other = open.admit(ip("2001:db8:0:1::1")).unwrap();
        assert_eq!((open.count(), open.addresses()), (3, 2));
        drop(first);
        let third = open.admit(ip("2001:db8::3")).unwrap();
        drop((second, other, third));
        assert_eq!((open.count(), open.addresses()), (0, 0));
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_address() {
        let open = OpenConnections::new(10, 1);
        let _held = open.admit(ip("192.0.2.1")).unwrap();
        assert_eq!(
            open.admit(ip("::ffff:192.0.2.1")).err(),
            Some(Full::Address)
        );
        assert!(open.admit(ip("::ffff:192.0.2.2")).is_ok());
    }

    #[test]
    fn a_refusal_takes_no_place() {
        let open = OpenConnections::new(2, 1);
        let one = open.admit(ip("192.0.2.1")).unwrap();
        assert_eq!(open.admit(ip("192.0.2.1")).err(), Some(Full::Address));
        assert_eq!(open.count(), 1);
        let _two = open.admit(ip("192.0.2.2")).unwrap();
        assert_eq!(open.admit(ip("192.0.2.3")).err(), Some(Full::Total));
        let kept = one.clone();
        drop(one);
        assert_eq!(open.count(), 2, "a clone holds the place");
        drop(kept);
        assert_eq!((open.count(), open.addresses()), (1, 1));
    }

    #[test]
    fn behind_a_proxy_each_client_has_its_own_share() {
        let open = OpenConnections::new(10, 1);
        let proxy = open.admit(None).unwrap();
        let alice = open.admit_client(&proxy, [192, 0, 2, 1].into()).unwrap();
        let again = open.admit_client(&proxy, [192, 0, 2, 1].into());
        assert_eq!(again.err(), Some(Full::Address));
        let bob = open.admit_client(&proxy, [192, 0, 2, 2].into()).unwrap();
        drop(proxy);
        assert_eq!((open.count(), open.addresses()), (1, 2), "one connection");
        drop((alice, bob));
        assert_eq!((open.count(), open.addresses()), (0, 0));
    }
}
