#![deny(warnings)]

macro_rules! passed_through {
    ($($body:tt)*) => { $($body)* };
}

macro_rules! body_of_a_trait {
    ($name:ident { $($body:tt)* }) => {
        #[rpc_core::service]
        pub trait $name { $($body)* }
    };
}

macro_rules! of_types {
    ($(#[$meta:meta])* $name:ident($context:ty) { $($method:ident($($arg:ident: $ty:ty),*) -> $output:ty;)* }) => {
        $(#[$meta])*
        #[rpc_core::service]
        pub trait $name {
            $(async fn $method(&self, cx: $context, $($arg: $ty),*) -> $output;)*
        }
    };
}

macro_rules! with_options {
    ($name:ident, $wire:literal, $timeout:expr, $callback:path, $($options:meta),*) => {
        #[rpc_core::service(name = $wire, callback = $callback)]
        pub trait $name {
            #[rpc(timeout = $timeout)]
            $(#[$options])*
            async fn ask(&self, question: &str) -> bool;
        }
    };
}

macro_rules! lends {
    ($name:ident, $lent:ty, $element:ty) => {
        #[rpc_core::callback]
        pub trait $name {
            async fn take(&self, a: &$lent, b: &[$element], c: Vec<$element>, d: Option<&$lent>) -> Vec<$element>;
        }
    };
}

passed_through! {
    #[rpc_core::callback]
    pub trait Screen {
        async fn confirm(&self, question: &str, #[rpc(default)] times: u8) -> bool;
    }
}

body_of_a_trait!(Desk {
    async fn note(&self, cx: &rpc_core::Context<DeskClient>, text: &str, bytes: &[u8], items: Vec<u32>) -> u32;
    async fn send(&self, items: rpc_core::Streaming<u32>) -> Result<rpc_core::Streaming<u32>, rpc_core::Status>;
    #[rpc(oneway)]
    async fn shout(&self, text: &str);
});

of_types!(#[doc = "Of types."] Shop(&rpc_core::Context<ShopClient>) {
    sell(text: &str, bytes: &[u8], owned: Vec<u8>, items: &[u32]) -> ();
    count(stream: rpc_core::Streaming<u32>) -> Result<u32, rpc_core::Status>;
    list(unit: ()) -> rpc_core::Streaming<u32>;
});

with_options!(Office, "office", "5s", self::Screen, rpc(idempotent), doc = "Asks.");

lends!(Library, str, u8);

struct Object;

impl Shop for Object {
    async fn sell(&self, _: &rpc_core::Context<ShopClient>, text: &str, bytes: &[u8], owned: Vec<u8>, items: &[u32]) {
        let _ = (text, bytes, owned, items);
    }

    async fn count(
        &self,
        _: &rpc_core::Context<ShopClient>,
        _: rpc_core::Streaming<u32>,
    ) -> Result<u32, rpc_core::Status> {
        Ok(1)
    }

    async fn list(&self, _: &rpc_core::Context<ShopClient>, (): ()) -> rpc_core::Streaming<u32> {
        rpc_core::Streaming::empty()
    }
}

async fn uses(shop: ShopClient, office: OfficeClient, library: LibraryClient) -> Result<(), rpc_core::Status> {
    shop.sell("a", b"b", vec![1], &[2]).await?;
    let _: u32 = shop.count(rpc_core::Streaming::empty()).await?;
    let _: Vec<u8> = library.take("a", b"b", vec![1], Some("d")).await?;
    office.ask("?").await.map(|_: bool| ())
}

fn main() {
    use rpc_core::Stub;
    let _ = (uses, Object.serve());
    let office = OfficeClient::CONTRACT;
    assert_eq!((office.name(), office.methods()[0].is_idempotent()), ("office", true));
}
