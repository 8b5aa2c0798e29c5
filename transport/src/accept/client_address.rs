//! Whose request it is when a proxy stands in front of us.

use std::net::{IpAddr, Ipv6Addr, SocketAddrV4};

use ipnet::IpNet;
use warp::http::header::{FORWARDED, HeaderMap, HeaderName};

/// The proxies whose word about a client's address is taken.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
}

impl TrustedProxies {
    /// From networks such as `10.0.0.0/8`; a single host is a /32 or /128.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self { networks }
    }

    /// Whether this address is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }
}

/// The address to count and to log for a request.
///
/// `Forwarded` (RFC 7239) or `X-Forwarded-For` are believed only from a
/// trusted peer, and only as far from the right as trusted proxies wrote
/// them: the first address that is not trusted is the client. What cannot be
/// read ends the walk. If both headers are there and disagree, one of them may
/// come from the client itself, so neither is believed.
#[must_use]
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted.contains(peer) {
        return peer;
    }
    let walk = |name: &HeaderName, node: fn(&str) -> Option<IpAddr>| {
        let mut client = None;
        for hop in hops(headers, name).into_iter().rev() {
            let Some(address) = hop.and_then(node) else {
                break;
            };
            client = Some(address);
            if !trusted.contains(address) {
                break;
            }
        }
        headers.contains_key(name).then(|| client.unwrap_or(peer))
    };
    let x_forwarded_for = HeaderName::from_static("x-forwarded-for");
    match (
        walk(&FORWARDED, forwarded_for),
        walk(&x_forwarded_for, address),
    ) {
        (Some(one), Some(other)) if one != other => peer,
        (Some(client), _) | (None, Some(client)) => client,
        (None, None) => peer,
    }
}

/// The elements of all lines, left to right; `None` where a line is not text.
///
/// Split at every comma, also inside quotes: what a client left open with a
/// quote must not swallow what a proxy appended behind it.
fn hops<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<Option<&'a str>> {
    let mut hops = Vec::new();
    for line in headers.get_all(name) {
        match line.to_str() {
            Ok(line) => hops.extend(line.split(',').map(Some)),
            Err(_) => hops.push(None),
        }
    }
    hops
}

/// The `for` of one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let is_for = name.trim().eq_ignore_ascii_case("for");
        is_for.then(|| address(value.trim().trim_matches('"')))?
    })
}

/// An address with or without port; IPv6 with a port stands in brackets.
fn address(node: &str) -> Option<IpAddr> {
    let node = node.trim();
    if let Some(bracketed) = node.strip_prefix('[') {
        let (host, _port) = bracketed.split_once(']')?;
        let host: Ipv6Addr = host.parse().ok()?;
        return Some(IpAddr::V6(host).to_canonical());
    }
    let bare = node.parse::<IpAddr>().ok();
    let with_port = || Some(IpAddr::V4(*node.parse::<SocketAddrV4>().ok()?.ip()));
    bare.or_else(with_port)
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let networks = ["10.0.0.0/8", "2001:db8:f::/48"].map(|network| network.parse().unwrap());
        let trusted = TrustedProxies::new(networks.to_vec());
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    const XFF: &str = "x-forwarded-for";
    const FWD: &str = "forwarded";

    #[test]
    fn only_trusted_peers_are_believed() {
        let line = [(XFF, "192.0.2.9"), (FWD, "for=192.0.2.9")];
        assert_eq!(client("198.51.100.1", &line), "198.51.100.1");
        assert_eq!(client("10.1.1.1", &line), "192.0.2.9");
        assert_eq!(client("::ffff:10.1.1.1", &line), "192.0.2.9");
        assert_eq!(client("10.1.1.1", &[]), "10.1.1.1");
        assert_eq!(client("::ffff:198.51.100.1", &line), "198.51.100.1");
    }

    #[test]
    fn the_walk_goes_from_the_right_and_stops_at_the_first_stranger() {
        let table: [(&'static str, &str, &str); 16] = [
            (XFF, "6.6.6.6, 192.0.2.9", "192.0.2.9"),
            (XFF, "6.6.6.6, 192.0.2.9, 10.2.2.2", "192.0.2.9"),
            (XFF, "10.3.3.3, 10.2.2.2", "10.3.3.3"),
            (XFF, "192.0.2.9, unknown, 10.2.2.2", "10.2.2.2"),
            (XFF, "garbage", "10.1.1.1"),
            (XFF, "", "10.1.1.1"),
            (XFF, "192.0.2.9:4711", "192.0.2.9"),
            (XFF, "[2001:db8::1]:4711", "2001:db8::1"),
            (XFF, "2001:db8::1", "2001:db8::1"),
            (FWD, "for=192.0.2.9;proto=https;by=10.1.1.1", "192.0.2.9"),
            (FWD, "For=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            (FWD, "for=6.6.6.6, for=192.0.2.9, for=10.2.2.2", "192.0.2.9"),
            (FWD, "for=192.0.2.9, for=_hidden", "10.1.1.1"),
            (FWD, "proto=https", "10.1.1.1"),
            (FWD, "for=6.6.6.6;x=\", for=192.0.2.9", "192.0.2.9"),
            (FWD, "for=192.0.2.9, for=\"[2001:db8:f::7]\"", "192.0.2.9"),
        ];
        for (name, value, expected) in table {
            assert_eq!(
                client("10.1.1.1", &[(name, value)]),
                expected,
                "{name}: {value}"
            );
        }
        let lines = [(XFF, "6.6.6.6"), (XFF, "192.0.2.9"), (XFF, "10.2.2.2")];
        assert_eq!(client("10.1.1.1", &lines), "192.0.2.9");
    }

    #[test]
    fn headers_that_contradict_each_other_are_both_ignored() {
        let lines = [(FWD, "for=6.6.6.6"), (XFF, "192.0.2.9")];
        assert_eq!(client("10.1.1.1", &lines), "10.1.1.1");
        let lines = [(FWD, "for=192.0.2.9"), (XFF, "7.7.7.7, 192.0.2.9")];
        assert_eq!(client("10.1.1.1", &lines), "192.0.2.9");
    }
}
