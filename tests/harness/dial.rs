//! Connections to servers: by TLS to those that were started with a certificate.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::certificate::Authority;

/// Whatever bytes go over.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

static WITH_TLS: Mutex<BTreeMap<SocketAddr, Arc<Authority>>> = Mutex::new(BTreeMap::new());

/// From now on `address` is spoken to by TLS, with a certificate of `authority`.
pub fn trust(address: SocketAddr, authority: &Arc<Authority>) {
    WITH_TLS
        .lock()
        .unwrap()
        .insert(address, Arc::clone(authority));
}

/// From now on `address` is spoken to in plain.
pub fn forget(address: SocketAddr) {
    WITH_TLS.lock().unwrap().remove(&address);
}

/// Who signed the certificate of the server there, if it has one.
pub fn authority(address: SocketAddr) -> Option<Arc<Authority>> {
    WITH_TLS.lock().unwrap().get(&address).cloned()
}

/// Connects.
pub async fn dial(address: SocketAddr) -> io::Result<Box<dyn Duplex>> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    over(tcp, address).await
}

/// The same over a TCP connection that is there already.
pub async fn over(tcp: TcpStream, address: SocketAddr) -> io::Result<Box<dyn Duplex>> {
    let Some(authority) = authority(address) else {
        return Ok(Box::new(tcp));
    };
    let name = ServerName::IpAddress(address.ip().into());
    let connector = TlsConnector::from(Arc::new(authority.client()));
    Ok(Box::new(connector.connect(name, tcp).await?))
}
