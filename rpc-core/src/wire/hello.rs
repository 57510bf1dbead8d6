//! Hello and Welcome: the two frames that open a session.

use std::fmt;

use bytes::Bytes;

use crate::status::Status;

/// The version of the protocol that this crate speaks.
pub const VERSION: u64 = 1;
/// The WebSocket subprotocol (RFC 6455 §1.9) that a client offers and a server accepts.
pub const SUBPROTOCOL: &str = "duplex-rpc.v1";

/// The limits of what a side takes: announced in Hello and Welcome, obeyed by the other side.
///
/// On the wire, the limits are a map from integers to integers; unknown keys are ignored, and missing ones have the
/// defaults of `docs/protocol.md`. The names are from that page. `own_limits` in `proto/negotiated.rs` tells which
/// field of [`Config`](crate::Config) each limit announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerLimits {
    /// Calls in flight of depth 0, and those beyond what `nested` reserves. At least 1. Key 1.
    pub calls: u32,
    /// Calls of each depth from 1 up that do not count in `calls`. At least 1. Key 2.
    pub nested: u32,
    /// One-way calls sent and not yet finished. At least 1. Key 3.
    pub notifies: u32,
    /// How deep calls may nest. Key 4.
    pub depth: u32,
    /// Bytes of one payload. Key 5.
    pub payload: u64,
    /// Bytes of payloads being assembled, all together. Key 6.
    pub assembly: u64,
    /// Bytes of arguments and metadata of unfinished calls. A call whose arguments and metadata have 4 KiB or less
    /// together does not count. Key 7.
    pub arguments: u64,
    /// Bytes of one packet. Key 8.
    pub packet: u64,
    /// Bytes of one chunk, and the payload above which chunks are used. Key 9.
    pub chunk: u64,
    /// Streams that the other side produces, open at a time. Key 10.
    pub streams: u32,
    /// Items of one stream that have not been read, to begin with. At least 1. Key 11.
    pub stream_items: u32,
    /// Bytes of items of one stream that have not been read, to begin with. Key 12.
    pub stream_bytes: u64,
    /// Bytes of items that have not been read, of all streams together, to begin with. Key 13.
    pub streams_bytes: u64,
    /// How deep arrays and maps of one payload may nest; `u64::MAX` is not announced. Key 14.
    pub nesting: u64,
    /// Values that one payload may hold; `u64::MAX` is not announced. Key 15.
    pub values: u64,
    /// Arrays and maps that one payload may hold; `u64::MAX` is not announced. Key 16.
    pub containers: u64,
}

impl PeerLimits {
    /// The limits of a side that announces none (`docs/protocol.md`, section 4). Written out in full, so that a new
    /// limit does not compile without the value that it has at a side that does not know it.
    pub const MISSING: Self = Self {
        calls: 1,
        nested: 1,
        notifies: 1,
        depth: 1,
        payload: 64 * 1024,
        assembly: 64 * 1024,
        arguments: 64 * 1024,
        packet: 128 * 1024,
        chunk: 64 * 1024,
        streams: 0,
        stream_items: 1,
        stream_bytes: 64 * 1024,
        streams_bytes: 64 * 1024,
        nesting: u64::MAX,
        values: u64::MAX,
        containers: u64::MAX,
    };

    /// The same for all limits of a kind: `count` calls, streams and items, and `bytes` of everything else.
    pub const fn all(count: u32, bytes: u64) -> Self {
        Self {
            calls: count,
            nested: count,
            notifies: count,
            depth: count,
            payload: bytes,
            assembly: bytes,
            arguments: bytes,
            packet: bytes,
            chunk: bytes,
            streams: count,
            stream_items: count,
            stream_bytes: bytes,
            streams_bytes: bytes,
            nesting: bytes,
            values: bytes,
            containers: bytes,
        }
    }
}

/// A contract that a side hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostedContract {
    /// The contract's name.
    pub name: String,
    /// [`crate::contract::ContractDescriptor::fingerprint`].
    pub fingerprint: u64,
    /// The methods with a window for the streams among their arguments: the method's number, and bytes. The other side,
    /// which produces these streams, begins with the window if it is less than the credit of the handshake.
    pub windows: Vec<(u32, u32)>,
}

/// The most bytes of a session's token.
pub const MAX_TOKEN: usize = 64;

/// The session that a client wants to go on with, and how far it has come.
#[derive(Clone, PartialEq, Eq)]
pub struct Resume {
    /// The token that the server gave the session.
    pub token: Bytes,
    /// 0 at the first link of a session, and one more at each further one.
    pub epoch: u64,
    /// The last sequenced packet received.
    pub received: u64,
}

impl fmt::Debug for Resume {
    /// Without the token: how long it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resume")
            .field("token", &format_args!("{} bytes", self.token.len()))
            .field("epoch", &self.epoch)
            .field("received", &self.received)
            .finish()
    }
}

/// What a client says first. A map: 1 version, 2 limits, 3 keepalive in ms, 4 contracts hosted (array of [name,
/// fingerprint, windows]), 5 credentials (bin), 6 resume (array: token, epoch, received), 13 resume window in ms.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    /// [`VERSION`].
    pub version: u64,
    /// What the client can take.
    pub limits: PeerLimits,
    /// After how many milliseconds of silence the client pings.
    pub keepalive_ms: u64,
    /// The callback contracts that the client hosts.
    pub contracts: Vec<HostedContract>,
    /// Opaque credentials; empty if the client shows none.
    pub credentials: Vec<u8>,
    /// A session to resume.
    pub resume: Option<Resume>,
    /// For how many milliseconds after the loss of a link the client would like to be able to resume the session; 0 if
    /// it would not.
    pub resume_window_ms: u64,
}

impl Hello {
    /// A Hello that asks for no keepalive, and resumes nothing.
    pub fn new(limits: PeerLimits, contracts: Vec<HostedContract>) -> Self {
        let (credentials, resume) = (Vec::new(), None);
        Self { version: VERSION, limits, keepalive_ms: 0, contracts, credentials, resume, resume_window_ms: 0 }
    }
}

impl fmt::Debug for Hello {
    /// Without the secrets: how long they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("version", &self.version)
            .field("limits", &self.limits)
            .field("keepalive_ms", &self.keepalive_ms)
            .field("contracts", &self.contracts)
            .field("credentials", &format_args!("{} bytes", self.credentials.len()))
            .field("resume", &self.resume)
            .field("resume_window_ms", &self.resume_window_ms)
            .finish()
    }
}

/// A contract that a server hosts, and does not offer to a client that does not host its callback contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithheldContract {
    /// The contract's name.
    pub name: String,
    /// The name of the callback contract.
    pub callback: String,
}

/// What a server answers. A map: 1 version, 2 limits, 3 keepalive in ms, 4 contracts hosted, 7 session id, 8 token
/// (bin), 9 resumed (bool), 10 received (the resume position), 11 refusal (a status), 12 contracts withheld, 13 resume
/// window in ms.
#[derive(Clone, PartialEq)]
pub struct Welcome {
    /// [`VERSION`].
    pub version: u64,
    /// What the server can take.
    pub limits: PeerLimits,
    /// After how many milliseconds of silence the server pings.
    pub keepalive_ms: u64,
    /// The contracts that the server hosts and offers to this client.
    pub contracts: Vec<HostedContract>,
    /// The contracts that the server hosts and does not offer to this client.
    pub withheld: Vec<WithheldContract>,
    /// The session's number at the server.
    pub session: u64,
    /// The token with which the session can be resumed; empty if it cannot be.
    pub token: Bytes,
    /// Whether the session asked for was resumed.
    pub resumed: bool,
    /// With `resumed`: the last sequenced packet received.
    pub received: u64,
    /// Why the server refuses the session; the connection is closed after this packet.
    pub refusal: Option<Status>,
    /// For how many milliseconds after the loss of a link the session can be resumed; 0 if it cannot be.
    pub resume_window_ms: u64,
}

impl Welcome {
    /// A Welcome that resumes a session, of which the packets up to `received` have been taken in. All else is known.
    pub fn resume(received: u64) -> Self {
        Self { resumed: true, received, ..Self::new(PeerLimits::MISSING, Vec::new(), 0) }
    }

    /// A Welcome that accepts the session, and asks for no keepalive.
    pub fn new(limits: PeerLimits, contracts: Vec<HostedContract>, session: u64) -> Self {
        Self {
            version: VERSION,
            limits,
            keepalive_ms: 0,
            contracts,
            withheld: Vec::new(),
            session,
            token: Bytes::new(),
            resumed: false,
            received: 0,
            refusal: None,
            resume_window_ms: 0,
        }
    }
}

impl fmt::Debug for Welcome {
    /// Without the token: how long it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Welcome")
            .field("version", &self.version)
            .field("limits", &self.limits)
            .field("keepalive_ms", &self.keepalive_ms)
            .field("contracts", &self.contracts)
            .field("withheld", &self.withheld)
            .field("session", &self.session)
            .field("token", &format_args!("{} bytes", self.token.len()))
            .field("resumed", &self.resumed)
            .field("received", &self.received)
            .field("refusal", &self.refusal)
            .field("resume_window_ms", &self.resume_window_ms)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let limits = PeerLimits::all(1, 2);
        let secret = b"open sesame".to_vec();
        let resume = Resume { token: secret.clone().into(), epoch: 4, received: 5 };
        let mut hello = Hello::new(limits.clone(), Vec::new());
        (hello.credentials, hello.resume) = (secret.clone(), Some(resume.clone()));
        let mut welcome = Welcome::new(limits, Vec::new(), 7);
        welcome.token = secret.into();
        for shown in [format!("{resume:?}"), format!("{hello:?}"), format!("{welcome:?}")] {
            assert!(shown.contains("11 bytes") && !shown.contains("111, 112"), "{shown}");
        }
    }
}
