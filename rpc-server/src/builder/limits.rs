//! The limits that all sessions of a server share.

use super::ServerBuilder;

impl ServerBuilder {
    /// Sets how many connections there may be in all, from all listeners and upgrades. Default 10,000; 0 is an error at
    /// [`build`](Self::build). Each connection costs a file descriptor and, when idle, about 40 KiB. The server answers
    /// a further connection with 503, and closes it without an answer if it comes by TLS.
    ///
    /// A connection to a [`Listener`](crate::Listener) counts from the moment in which it is accepted. Within another
    /// HTTP server ([`Server::upgrade`](crate::Server::upgrade)), which accepts by itself, it counts from its upgrade
    /// on.
    pub fn max_connections(mut self, most: usize) -> Self {
        self.max_connections = most;
        self
    }

    /// Sets how many connections one IP address may have, as [`max_connections`](Self::max_connections) counts them.
    /// Default 1,000; 0 is an error at [`build`](Self::build). A network of IPv6 (a /64) counts as one address, since a
    /// customer has at least one; an IPv4 address within an IPv6 address counts as the IPv4 address. This stops a
    /// single peer from taking all connections; if many users come through one proxy, name the proxy with
    /// [`trusted_proxies`](Self::trusted_proxies), or raise the number. Connections of an [`Upgrade`](crate::Upgrade)
    /// whose address is unknown count in `max_connections` alone.
    pub fn max_connections_per_address(mut self, most: usize) -> Self {
        self.max_connections_per_address = most;
        self
    }

    /// Sets how many bytes clients can make the server hold in all sessions together. Default 2 GiB, or
    /// [`Config::session_memory`](rpc_core::Config::session_memory) if that is more; a value below `session_memory` is
    /// an error at [`build`](Self::build). It counts what comes in, as `session_memory` does: arguments, payloads that
    /// are arriving, items that wait for their reader, results that wait for their caller. Results and long items of
    /// streams count as well while they wait to be sent, with their encoded length: no other limit bounds them. All
    /// other output is bounded in each session alone.
    ///
    /// At the bound, a call, a result, an item or a stream's error that would take its session to the average of all
    /// sessions, or above it, fails with `RESOURCE_EXHAUSTED`. Lighter sessions are served. If the sum passes the bound
    /// by a sixteenth nevertheless, because of data that cannot be refused or of many light sessions, the server closes
    /// the heaviest session with [`ConnectionError::Overloaded`](rpc_core::ConnectionError::Overloaded) (code 1013),
    /// even if that session does nothing at that moment. Sessions count in steps of 4 KiB, so the sum may be off by as
    /// much for each of them.
    ///
    /// A smaller bound protects a small machine, and refuses sooner what many clients send at once. A larger bound lets
    /// more clients send large arguments at the same time. The bound stops many sessions, each within its own limits,
    /// from taking all the memory of the process.
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Sets how many groups one session may be in at a time. Default 1,000; with 0 no session joins a group. A further
    /// [`join`](crate::Group::join) fails with [`JoinError::TooMany`](crate::JoinError::TooMany). This stops a client
    /// that chooses the names of its groups from making the server hold groups without end.
    pub fn max_groups(self, most: usize) -> Self {
        self.sessions.groups().set_most(most);
        self
    }

    /// Lets clients that have shown no identity go on with their sessions when their links are lost. Default `false`:
    /// their sessions end with their links, and a client that connects again gets a new one.
    ///
    /// A client that knows the token of such a session can take it over, and nothing else shows who that is; so use
    /// TLS. And anyone can begin sessions and leave them: each then holds what it holds for
    /// [`Config::resume_window`](rpc_core::Config::resume_window), within [`memory`](Self::memory) and
    /// [`max_connections`](Self::max_connections). Clients that have shown an identity to an
    /// [`authenticator`](Self::authenticator), or to the HTTP server of an [`Upgrade`](crate::Upgrade), need no such
    /// setting.
    pub fn resume_anonymous(mut self, resume: bool) -> Self {
        self.resume_anonymous = resume;
        self
    }

    /// Sets how many bytes all sessions together may keep to be resumed. Default 256 MiB, or [`memory`](Self::memory)
    /// if that is less; a value above `memory`, of which it is a part, is an error at [`build`](Self::build). It
    /// matters only with a [`Config::resume_window`](rpc_core::Config::resume_window). A session that has a link keeps
    /// the packets that its client has not acknowledged; of a session without a link, all that it holds counts: these
    /// packets, what waits to be sent, payloads that have come in part, items that are not read, and calls.
    ///
    /// Beyond the bound, sessions forget what they keep until an eighth of it is free: those that keep most first, and
    /// of those that keep about as much (less than twice as much) the ones that have a link, then the ones whose
    /// clients have shown no identity, then the ones that have had a link for the shortest time. A session that has a
    /// link goes on. If it loses the link before its client has acknowledged all that was forgotten, it is over; after
    /// that it can be resumed again. A session without a link ends, with the reason for which the link was lost, and so
    /// does one whose client has just come back and has not been sent again what it misses
    /// ([`MemoryLimit::Replay`](rpc_core::MemoryLimit::Replay), code 4410). Their clients begin new sessions.
    ///
    /// A smaller bound protects a small machine. A larger bound lets more sessions survive an outage in which many
    /// clients lose their links at once. The bound stops clients that ask for much, do not acknowledge it or vanish,
    /// and come again: it is the most that they can hold for the time of the window. 0 lets no session be resumed that
    /// has anything under way.
    pub fn replay_total(mut self, bytes: usize) -> Self {
        self.replay_total = Some(bytes);
        self
    }
}
