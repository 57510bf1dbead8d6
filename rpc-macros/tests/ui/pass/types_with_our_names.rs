#![deny(warnings)]

use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Status(u32);

#[derive(Serialize, Deserialize)]
pub struct CallError<E>(E);

#[derive(Serialize, Deserialize)]
pub struct Peer(u32);

#[derive(Serialize, Deserialize)]
pub struct Context(u32);

#[derive(Serialize, Deserialize)]
pub struct Session(u32);

#[derive(Serialize, Deserialize)]
pub struct Option<T>(T);

#[derive(Serialize, Deserialize)]
pub struct Vec<T>(T);

#[derive(Serialize, Deserialize)]
pub struct String(u32);

use self::Context as Setting;

#[rpc_core::service]
pub trait Desk {
    #[rpc(fallible)]
    async fn fault(&self) -> Result<u32, Status>;
    #[rpc(fallible)]
    async fn call_error(&self) -> Result<u32, CallError<u32>>;
    async fn status(&self, status: Status, peer: Peer, session: &Session) -> Status;
    async fn context(&self, setting: Setting, more: &Setting) -> Setting;
    async fn prelude(&self, a: Option<u32>, b: Vec<u32>, c: String) -> Option<Vec<String>>;
}

async fn uses(desk: DeskClient) -> Result<u32, rpc_core::CallError<Status>> {
    let _: Result<Option<Vec<String>>, rpc_core::Status> = desk.prelude(Option(1), Vec(2), String(3)).await;
    desk.fault().await
}

fn main() {
    let _ = uses;
}
