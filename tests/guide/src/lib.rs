//! The guide's chapters (`rpc-core/guide`), so that their snippets are compiled and run as documentation tests:
//! `cargo test -p guide`. Readers see them as the documentation of `rpc_core::guide`.

macro_rules! chapters {
    ($($name:ident = $file:literal;)*) => {
        $(#[doc = include_str!(concat!("../../../rpc-core/guide/", $file))] pub mod $name {})*

        /// The files that are tested.
        pub const CHAPTERS: &[&str] = &[$($file),*];
    };
}

chapters! {
    index = "README.md";
    contracts = "contracts.md";
    errors = "errors.md";
    deadlines = "deadlines.md";
    cancelling = "cancelling.md";
    streams = "streams.md";
    deadlocks = "deadlocks.md";
    sessions = "sessions.md";
    groups = "groups.md";
    reconnecting = "reconnecting.md";
    authentication = "authentication.md";
    hosting = "hosting.md";
    raw_websockets = "raw-websockets.md";
    tls = "tls.md";
    deploying = "deploying.md";
    interceptors = "interceptors.md";
    testing = "testing.md";
    evolving = "evolving.md";
    shapes = "shapes.md";
    from_wcf = "from-wcf.md";
    from_signalr = "from-signalr.md";
    from_tonic = "from-tonic.md";
    from_tarpc = "from-tarpc.md";
}

#[cfg(test)]
mod tests {
    mod deploying;
    mod map;
    mod pages;
    mod testing;

    use std::path::Path;

    /// The folder of the repository.
    fn root() -> &'static Path {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        tests.and_then(Path::parent).expect("this crate is in `tests` of the repository")
    }
}
