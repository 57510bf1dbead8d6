//! Answering a request, and starting the session that it becomes.

use std::{net::SocketAddr, sync::Arc};

use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts};
use hyper::upgrade::OnUpgrade;
use rpc_core::{ConnectionError, ConnectionInfo, TlsInfo, session::SUBPROTOCOL, text::excerpt};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::debug;

use super::{
    body::UpgradeBody,
    refusal::{Refusal, denied},
    request, run,
};
use crate::{
    auth::Verdict,
    caps::Place,
    sessions::{Entry, Kind},
    shared::ServerShared,
};

/// Answers one request. Must be called within a tokio runtime.
pub(super) async fn answer(
    shared: &Arc<ServerShared>,
    mut head: Parts,
    peer_addr: Option<SocketAddr>,
    place: Option<Arc<Place>>,
) -> Response<UpgradeBody> {
    let peer = peer_addr.map(tracing::field::display);
    let path = excerpt(head.uri.path()).to_string();
    let (key, on_upgrade, entry) = match begin(shared, &mut head, peer_addr, place) {
        Ok(begun) => begun,
        Err(refusal) => {
            debug!(peer, path, status = refusal.status().as_u16(), "upgrade refused: {}", refusal.text().trim_end());
            let info = || {
                let mut info = ConnectionInfo::default().with_headers(head.headers);
                info.peer_addr = peer_addr;
                info
            };
            if let Some(reason) = refusal.reason() {
                shared.hosting.__session_failed(info, &reason);
            }
            return refusal.response();
        }
    };
    let tls = head.extensions.remove::<TlsInfo>();
    let info = ConnectionInfo::default().with_uri(&head.uri);
    let mut info = info.with_headers(head.headers).with_extensions(head.extensions);
    info.peer_addr = peer_addr;
    info.tls = tls;
    let asked = shared.admission.gatekeeper.at_upgrade(&head.uri, &info, shared.config.upgrade_timeout());
    let verdict = tokio::select! {
        biased;
        () = entry.stopped() => {
            let refusal = Refusal::ShuttingDown;
            if let Some(reason) = refusal.reason() {
                shared.hosting.__session_failed(|| info, &reason);
            }
            return refusal.response();
        }
        verdict = asked => verdict,
    };
    let is_decided = match verdict {
        Ok(Verdict::Identified(identity)) => {
            info.extensions.insert(identity);
            true
        }
        Ok(Verdict::Anonymous) => true,
        Ok(Verdict::Undecided) => false,
        Err(error) => {
            debug!(peer, path, kind = ?error.kind(), "the client was refused at the upgrade");
            let response = denied(&error);
            shared.hosting.__session_failed(|| info, &ConnectionError::RefusedPeer(error.into()));
            return response;
        }
    };
    info.headers = shared.admission.keep(std::mem::take(&mut info.headers));
    debug!(peer, path, "upgrade accepted");
    tokio::spawn(run::run(Arc::clone(shared), on_upgrade, info, entry, is_decided));
    switching(&key, Some(HeaderValue::from_static(SUBPROTOCOL)))
}

fn begin(
    shared: &ServerShared,
    head: &mut Parts,
    peer_addr: Option<SocketAddr>,
    place: Option<Arc<Place>>,
) -> Result<(String, OnUpgrade, Entry), Refusal> {
    request::check_number(head, shared.admission.max_headers)?;
    let key = request::check(head, &shared.admission.origins)?;
    request::check_host(head, &shared.admission.hosts)?;
    let on_upgrade = head.extensions.remove::<OnUpgrade>().ok_or(Refusal::NotUpgradable)?;
    let place = shared.take_place(peer_addr, place).ok_or(Refusal::Full)?;
    let entry = shared.sessions.enter(place, Kind::Newcomer(peer_addr)).ok_or(Refusal::ShuttingDown)?;
    Ok((key, on_upgrade, entry))
}

/// The answer that makes the connection a WebSocket (RFC 6455 §4.2.2), with the sub-protocol that is agreed on.
pub(crate) fn switching(key: &str, protocol: Option<HeaderValue>) -> Response<UpgradeBody> {
    let mut response = Response::new(UpgradeBody::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Some(protocol) = protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).expect("base64 is a valid header value");
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}
