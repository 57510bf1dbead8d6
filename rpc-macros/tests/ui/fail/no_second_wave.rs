//! Mistakes in a contract that is implemented, hosted and called already: only the contract is spoken of.

use std::sync::Arc;

use rpc_core::Context;

#[rpc_core::callback]
trait Screen {
    async fn show(&self);
}

#[rpc_core::service(callback = Screen)]
trait Desk {
    async fn generic<T: Send>(&self, item: T);
    async fn lifetime<'a>(&self, text: &'a str);
    async fn with(&self, copies: u32);
    fn blocking(&self) -> u32;
    async fn changes(&mut self) -> u32;
    async fn free(text: String) -> u32;
    async fn consumes(self) -> u32;
    async fn not_first(&self, text: &str, cx: &Context<ScreenClient>) -> u32;
    async fn by_value(&self, cx: Context<ScreenClient>) -> u32;
    async fn pattern(&self, (a, b): (u32, u32)) -> Result<u32, String>;
    async fn body(&self) -> u32 {
        1
    }
    async fn writes(&self, text: &mut String) -> u32;
    async fn unnamed(&self, text: impl Into<String> + Send) -> u32;
    async fn borrowed(&self) -> &str;
    async fn myself(&self, other: &Self) -> u32;
    async fn fine(&self) -> u32;
}

#[derive(Clone)]
struct Clerk;

impl Desk for Clerk {
    async fn generic<T: Send>(&self, _item: T) {}
    async fn lifetime<'a>(&self, _text: &'a str) {}
    async fn with(&self, _copies: u32) {}
    fn blocking(&self) -> u32 {
        1
    }
    async fn changes(&mut self) -> u32 {
        1
    }
    async fn free(_text: String) -> u32 {
        1
    }
    async fn consumes(self) -> u32 {
        1
    }
    async fn not_first(&self, _text: &str, cx: &Context<ScreenClient>) -> u32 {
        cx.peer().show().await.map_or(1, |()| 2)
    }
    async fn by_value(&self, cx: Context<ScreenClient>) -> u32 {
        cx.peer().show().await.map_or(1, |()| 2)
    }
    async fn pattern(&self, (a, b): (u32, u32)) -> Result<u32, String> {
        Ok(a + b)
    }
    async fn writes(&self, _text: &mut String) -> u32 {
        1
    }
    async fn unnamed(&self, text: impl Into<String> + Send) -> u32 {
        text.into().len() as u32
    }
    async fn borrowed(&self) -> &str {
        "x"
    }
    async fn myself(&self, _other: &Self) -> u32 {
        1
    }
    async fn fine(&self) -> u32 {
        1
    }
}

fn hosts() -> [rpc_core::Service; 2] {
    [Clerk.serve(), Arc::new(Clerk).serve()]
}

async fn calls(desk: DeskClient) {
    let _ = desk.generic(1).await;
    let _ = desk.lifetime("x").await;
    let _ = desk.with(1).await;
    let _ = desk.blocking().await;
    let _ = desk.changes().await;
    let _ = desk.free(String::new()).await;
    let _ = desk.consumes().await;
    let _ = desk.not_first("x").await;
    let _ = desk.by_value().await;
    let _: Result<u32, rpc_core::CallError<String>> = desk.pattern((1, 2)).await;
    let _ = desk.body().await;
    let _ = desk.writes(&mut String::new()).await;
    let _ = desk.unnamed("x").await;
    let _ = desk.borrowed().await;
    let _ = desk.myself(&Clerk).await;
    let _: Result<u32, rpc_core::Status> = desk.fine().await;
}

fn main() {}
