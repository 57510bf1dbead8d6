//! `Admission`: which requests for the WebSocket are let in, and what their sessions keep of them.

mod hosts;
mod origin;
mod proxies;
mod settings;

use http::{HeaderMap, HeaderName};

pub(crate) use self::{
    hosts::Hosts,
    origin::Origins,
    proxies::Proxies,
    settings::{header_names, hosts, origins, proxies},
};
use crate::auth::Gatekeeper;

/// Which requests for the WebSocket are let in, and what their sessions keep of them.
#[derive(Debug)]
pub(crate) struct Admission {
    /// How many headers a request may have.
    pub(crate) max_headers: usize,
    pub(crate) origins: Origins,
    pub(crate) hosts: Hosts,
    pub(crate) proxies: Proxies,
    /// The headers that sessions keep; `None` for all.
    pub(crate) kept: Option<Vec<HeaderName>>,
    pub(crate) gatekeeper: Gatekeeper,
    /// Whether clients that have shown no identity may go on with their sessions.
    pub(crate) resume_anonymous: bool,
}

impl Admission {
    /// What a session keeps of the headers of its request.
    pub(crate) fn keep(&self, headers: HeaderMap) -> HeaderMap {
        let Some(kept) = &self.kept else { return headers };
        let mut own = HeaderMap::new();
        for name in kept {
            for value in headers.get_all(name) {
                own.append(name, value.clone());
            }
        }
        own
    }
}
