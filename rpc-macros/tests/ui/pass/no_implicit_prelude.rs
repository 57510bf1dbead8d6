#![no_implicit_prelude]
#![deny(warnings)]

#[::rpc_core::callback]
pub trait Screen {
    async fn confirm(&self, question: &str) -> bool;
}

#[::rpc_core::service(callback = Screen)]
pub trait Desk {
    async fn note(
        &self,
        cx: &::rpc_core::Context<ScreenClient>,
        text: &str,
        bytes: &[u8],
        items: &[u32],
        one: &u64,
        owned: ::std::vec::Vec<u8>,
        #[rpc(default)] stream: ::rpc_core::Streaming<u32>,
    ) -> u32;
    async fn fail(&self) -> ::std::result::Result<::std::vec::Vec<u8>, ::std::string::String>;
    async fn stream(&self) -> ::std::result::Result<::rpc_core::Streaming<u32>, ::rpc_core::Status>;
    async fn maybe(&self, a: ::std::option::Option<u32>) -> ::std::option::Option<::std::vec::Vec<u8>>;
    #[rpc(oneway)]
    async fn shout(&self);
}

fn main() {}
