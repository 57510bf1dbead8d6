//! Answering a request, and starting the WebSocket that it becomes.

use std::{net::SocketAddr, time::Duration};

use http::{HeaderMap, HeaderValue, Response, header, request::Parts};
use hyper::upgrade::OnUpgrade;
use rpc_core::{ConnectionInfo, TlsInfo, raw::RawInfo, text::excerpt};
use tracing::debug;

use super::{hosted::Hosted, run, service::Settings};
use crate::{
    headers::tokens,
    sessions::Entry,
    upgrade::{Refusal, UpgradeBody, check_handshake, switching},
};

/// Answers one request. Must be called within a tokio runtime.
pub(super) fn answer(
    settings: &Settings,
    mut head: Parts,
    peer_addr: Option<SocketAddr>,
    limit: Duration,
) -> Response<UpgradeBody> {
    let peer = peer_addr.map(tracing::field::display);
    match begin(settings, &mut head, peer_addr) {
        Ok((key, on_upgrade, entry)) => {
            let agreed = agree(&head.headers, &settings.protocols);
            debug!(peer, path = %excerpt(head.uri.path()), protocol = agreed, "raw upgrade accepted");
            let protocol = agreed.map(str::to_owned);
            let named = agreed.and_then(|agreed| HeaderValue::from_str(agreed).ok());
            let tls = head.extensions.remove::<TlsInfo>();
            let connection = ConnectionInfo::default().with_uri(&head.uri);
            let mut connection = connection.with_headers(head.headers).with_extensions(head.extensions);
            connection.peer_addr = peer_addr;
            connection.tls = tls;
            let info = RawInfo::new(connection, head.uri, protocol);
            let (serve, limits) = (settings.serve.clone(), settings.limits.clone());
            tokio::spawn(run::run(on_upgrade, limit, info, limits, serve, entry));
            switching(&key, named)
        }
        Err(refusal) => {
            debug!(
                peer,
                path = %excerpt(head.uri.path()),
                status = refusal.status().as_u16(),
                "raw upgrade refused: {}",
                refusal.text().trim_end()
            );
            refusal.response()
        }
    }
}

/// Checks the request for a WebSocket. At a route of a server of this crate, the WebSocket gets an entry among the
/// server's sessions.
fn begin(
    settings: &Settings,
    head: &mut Parts,
    peer_addr: Option<SocketAddr>,
) -> Result<(String, OnUpgrade, Option<Entry>), Refusal> {
    let key = check_handshake(head, &settings.origins).map_err(|refusal| match refusal {
        Refusal::NoUpgrade => Refusal::NoRawUpgrade,
        other => other,
    })?;
    let on_upgrade = head.extensions.remove::<OnUpgrade>().ok_or(Refusal::NotUpgradable)?;
    let hosted = head.extensions.remove::<Hosted>();
    let entry = hosted.map(|hosted| hosted.enter(head, peer_addr)).transpose()?;
    Ok((key, on_upgrade, entry))
}

/// The first of these sub-protocols that the client offers. Names are compared as they are (RFC 6455 §1.9, §11.3.4).
/// A client cannot offer a name that is no token of HTTP.
fn agree<'a>(headers: &HeaderMap, protocols: &'a [String]) -> Option<&'a str> {
    let mut names = protocols.iter().filter(|name| !name.is_empty());
    names
        .find(|name| tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).any(|offered| offered == *name))
        .map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_order_decides() {
        let own = ["chat.v2".to_owned(), "chat.v1".to_owned(), String::new()];
        for (offered, agreed) in [
            ("chat.v1, chat.v2", Some("chat.v2")),
            ("chat.v1", Some("chat.v1")),
            ("CHAT.V2,chat.v1 ", Some("chat.v1")),
            ("chat.v3", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, offered.parse().unwrap());
            assert_eq!(agree(&headers, &own), agreed, "{offered}");
            assert_eq!(agree(&headers, &[]), None);
        }
        assert_eq!(agree(&HeaderMap::new(), &own), None);
        let mut lines = HeaderMap::new();
        lines.append(header::SEC_WEBSOCKET_PROTOCOL, "chat.v1".parse().unwrap());
        lines.append(header::SEC_WEBSOCKET_PROTOCOL, "chat.v2".parse().unwrap());
        assert_eq!(agree(&lines, &own), Some("chat.v2"));
    }
}
