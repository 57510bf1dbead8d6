#![deny(warnings)]
#![allow(dead_code, non_snake_case)]

struct Result;
struct Option;
struct String;
struct Vec;
struct Box;
struct Arc;
trait Send {}
trait Sync {}
trait Sized {}
trait Clone {}
trait Future {}
trait Debug {}
fn Some() {}
fn Ok() {}
fn Err() {}
struct None;
mod std {}
mod core {}

#[rpc_core::callback]
trait Screen {
    async fn confirm(&self, question: &str) -> bool;
}

#[rpc_core::service(callback = Screen)]
trait Desk {
    async fn note(&self, cx: &rpc_core::Context<ScreenClient>, text: &str, bytes: &[u8], items: &[u32], one: &u64) -> u32;
    async fn fail(&self) -> ::std::result::Result<u32, ::std::string::String>;
    #[rpc(oneway)]
    async fn shout(&self);
}

fn main() {}
