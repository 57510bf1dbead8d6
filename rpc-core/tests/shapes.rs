//! Types that serde knows, as arguments and results of a real session: what arrives is what was sent. The shapes that
//! lose something are in `shapes/lost.rs`, and on the guide's page `shapes`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::ptr_arg, clippy::type_complexity, reason = "contracts may have such arguments")]

use rpc_core::{Hosting, Session, Stub, session::connect_in_memory};

/// A contract with a method for each shape, which returns its argument, and a test that calls each method.
macro_rules! shapes {
    ($contract:ident, $client:ident, $test:ident: $($name:ident: $ty:ty = $value:expr;)*) => {
        #[rpc_core::service]
        trait $contract {
            $(async fn $name(&self, value: $ty) -> $ty;)*
        }

        struct Echo;

        impl $contract for Echo {
            $(async fn $name(&self, value: $ty) -> $ty {
                value
            })*
        }

        #[tokio::test]
        async fn $test() {
            let (client, _session) = crate::session::<$client>(Echo.serve());
            $(
                let value = || -> $ty { $value };
                let arrived = client.$name(value()).await;
                assert_eq!(arrived.as_ref(), Ok(&value()), "{}", stringify!($name));
            )*
        }
    };
}

mod shapes {
    mod borrowed;
    mod collections;
    mod enums;
    mod lost;
    mod plain;
    mod structs;
}

fn session<C: Stub>(service: rpc_core::Service) -> (C, Session) {
    let server = Hosting::builder().service(service).build().unwrap();
    let (server, client) = connect_in_memory(&server, &Hosting::default());
    (client.client(), server)
}
