//! How to build with Duplex RPC, page by page.
#![cfg_attr(all(doc, not(doctest)), doc = "", doc = include_str!("links.md"))]
#![cfg_attr(all(doc, not(doctest)), doc = include_str!("../../guide/README.md"))]

// The pages are the files of the folder `guide` of this crate. Only a build of the documentation reads them. In any
// other build the modules below are empty, and are there so that the documentation of other crates can link to them.
// `cargo test -p guide` compiles and runs the snippets; so tests of this crate's documentation leave the pages out.
//
// `links.md` stands before each page. If a text defines a link twice, Markdown takes the first definition: a page says
// for its readers in the file view where a link leads, and `links.md` says it for the documentation. rustdoc checks
// the links of `links.md`, and a test of the crate `guide` compares them with the links of the pages.
macro_rules! pages {
    ($($(#[$summary:meta])* $name:ident = $file:literal;)*) => {
        $(
            $(#[$summary])*
            #[cfg_attr(all(doc, not(doctest)), doc = "", doc = include_str!("links.md"))]
            #[cfg_attr(all(doc, not(doctest)), doc = include_str!(concat!("../../guide/", $file)))]
            pub mod $name {}
        )*
    };
}

pages! {
    /// What a trait may contain, and what each option does.
    contracts = "contracts.md";
    /// The contract's own faults, the framework's statuses, and whether a failed call ran.
    errors = "errors.md";
    /// How long a call may take, and which calls inherit the deadline.
    deadlines = "deadlines.md";
    /// What happens on the other side when a call is dropped; long jobs and their progress.
    cancelling = "cancelling.md";
    /// Arguments and results that arrive item by item.
    streams = "streams.md";
    /// Which deadlocks are refused, which end by time, and how an object serves calls.
    deadlocks = "deadlocks.md";
    /// Objects for one client, hooks, principals, all sessions of a server.
    sessions = "sessions.md";
    /// Named sets of sessions that are called together, and clients that do not keep up.
    groups = "groups.md";
    /// Clients that make a new session when the old one is over.
    reconnecting = "reconnecting.md";
    /// Who a client is, how long that holds, and which methods it may call.
    authentication = "authentication.md";
    /// One server at several addresses, and beside web pages in another HTTP server.
    hosting = "hosting.md";
    /// Text and binary messages by hand, without contracts; the same message to many.
    raw_websockets = "raw-websockets.md";
    /// Certificates of servers and clients, and what makes and renews them.
    tls = "tls.md";
    /// Behind nginx and HAProxy, under systemd and in a container.
    deploying = "deploying.md";
    /// Code around calls: authorization, retries, metrics, tracing.
    interceptors = "interceptors.md";
    /// Servers and clients without sockets, links that break, peers that misbehave, virtual time.
    testing = "testing.md";
    /// Which changes of a contract are safe while old clients are in use.
    evolving = "evolving.md";
    /// Values that lose something on the way, and what to write instead.
    shapes = "shapes.md";
    /// For readers who know WCF.
    from_wcf = "from-wcf.md";
    /// For readers who know SignalR.
    from_signalr = "from-signalr.md";
    /// For readers who know tonic and gRPC.
    from_tonic = "from-tonic.md";
    /// For readers who know tarpc.
    from_tarpc = "from-tarpc.md";
}
