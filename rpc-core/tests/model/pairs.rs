//! Sessions in memory, several to one server.

use rpc_core::{Config, ConfigBuilder, Hosting, IntoService, Session, session::connect_in_memory_with};
pub(crate) use rpc_testing::{settle, until};

/// Both ends of a session.
pub(crate) struct Ends {
    pub(crate) server: Session,
    pub(crate) client: Session,
}

pub(crate) fn host(service: impl IntoService) -> Hosting {
    Hosting::builder().service(service).build().unwrap()
}

pub(crate) fn open(server: &Hosting, client: &Hosting) -> Ends {
    open_with(server, client, Config::default())
}

/// The defaults with something set.
pub(crate) fn config(set: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Config {
    set(Config::builder()).build().expect("the configuration works")
}

pub(crate) fn open_with(server: &Hosting, client: &Hosting, config: Config) -> Ends {
    let (server, client) = connect_in_memory_with(server, client, &config);
    Ends { server, client }
}

/// Waits until both ends hold nothing.
pub(crate) async fn at_rest(ends: &Ends) {
    for session in [&ends.server, &ends.client] {
        until(&format!("{session:?} at rest"), || session.stats().is_at_rest()).await;
    }
}
