//! Sessions in memory, several to one server.

use std::time::Duration;

use rpc_core::{Config, Hosting, IntoService, Session, session::connect_in_memory_with};

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
pub(crate) fn config(set: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    set(&mut config);
    config
}

pub(crate) fn open_with(server: &Hosting, client: &Hosting, config: Config) -> Ends {
    let (server, client) = connect_in_memory_with(server, client, &config.try_into().expect("the configuration works"));
    Ends { server, client }
}

/// Waits until both ends hold nothing.
pub(crate) async fn at_rest(ends: &Ends) {
    for session in [&ends.server, &ends.client] {
        until(&format!("{session:?} at rest"), || session.stats().is_at_rest()).await;
    }
}

/// Lets tasks run, then virtual time pass, until something holds; a minute of it is more than anything here may take.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    for turn in 0..61_000 {
        if holds() {
            return;
        }
        if turn < 1000 {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    panic!("still not: {what}");
}
