//! Where other nodes reach this one.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};

use kvs_config::config::Config;

/// `host:port` as other nodes are told it: as configured; else where the node listens; else, when that is every address
/// of the machine, the one from which the first seed would be reached, or the machine's name.
pub(crate) fn advertised(config: &Config, listening: SocketAddr) -> String {
    if let Some(address) = &config.advertise_address {
        return address.clone();
    }
    if !listening.ip().is_unspecified() {
        return listening.to_string();
    }
    let found = config.seed_nodes.iter().find_map(|seed| address_towards(seed, listening.ip()));
    let found = found.or_else(|| address_towards("192.0.2.1:9", listening.ip()));
    match found {
        Some(ip) => SocketAddr::new(ip, listening.port()).to_string(),
        None => {
            let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
            tracing::warn!(name, "advertise_address is not set: other nodes are told the machine's name");
            format!("{name}:{}", listening.port())
        }
    }
}

/// The address of this machine from which another one would be called. Nothing is sent.
fn address_towards(peer: &str, listening: IpAddr) -> Option<IpAddr> {
    let peer = peer.strip_prefix("http://").or_else(|| peer.strip_prefix("https://")).unwrap_or(peer);
    let peer = peer.strip_suffix('/').unwrap_or(peer);
    let peer = peer.to_socket_addrs().ok()?.find(|peer| peer.is_ipv4() == listening.is_ipv4())?;
    let socket = UdpSocket::bind(SocketAddr::new(listening, 0)).ok()?;
    socket.connect(peer).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::advertised;
    use kvs_config::config::parse;

    fn told(text: &str, listening: &str) -> String {
        let config = parse(text, "/tmp/config.yaml".into(), &|_| None, "node").unwrap();
        advertised(&config, listening.parse().unwrap())
    }

    #[test]
    fn what_is_configured_comes_first_then_where_it_listens() {
        assert_eq!(told("advertise_address: db1.example:9000\n", "127.0.0.1:8080"), "db1.example:9000");
        assert_eq!(told("", "10.1.2.3:8080"), "10.1.2.3:8080");
        assert_eq!(told("", "[::1]:8080"), "[::1]:8080");
    }

    #[test]
    fn a_node_that_listens_everywhere_is_reached_where_its_seed_would_see_it() {
        assert_eq!(told("seed_nodes: [\"127.0.0.1:1\"]\n", "0.0.0.0:8080"), "127.0.0.1:8080");
    }
}
