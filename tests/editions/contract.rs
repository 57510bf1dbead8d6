//! A contract with every kind of argument and result.

use std::collections::HashMap;

use rpc_core::{Context, Status, Streaming};

/// Hosted by the client.
#[rpc_core::callback]
pub trait Screen {
    /// Asks the person at the screen.
    async fn confirm(&self, question: &str) -> bool;
}

/// Hosted by the server.
#[rpc_core::service(callback = Screen)]
pub trait Desk {
    /// Takes what both ends borrow.
    async fn lend(&self, cx: &Context<ScreenClient>, text: &str, bytes: &[u8], items: &[u32], one: &u64) -> bool;
    /// Takes binary data.
    async fn binary(&self, owned: Vec<u8>, maybe: Option<&[u8]>, pair: (&[u8], u32)) -> Option<Vec<u8>>;
    /// Takes what a caller may leave out.
    async fn later(&self, first: u8, #[rpc(default)] map: HashMap<String, u32>) -> Result<u32, String>;
    /// Streams both ways.
    async fn double(&self, items: Streaming<u32>) -> Result<Streaming<u32>, Status>;
    /// A word that became a keyword.
    async fn r#gen(&self, r#dyn: u8) -> u8;
    /// Has no answer.
    #[rpc(oneway)]
    async fn shout(&self, text: &str);
}

#[cfg(test)]
mod tests {
    use rpc_core::{session::connect_in_memory, Hosting};

    use super::*;

    struct Object;

    impl Desk for Object {
        async fn lend(&self, cx: &Context<ScreenClient>, text: &str, bytes: &[u8], items: &[u32], one: &u64) -> bool {
            let question = format!("{text} {bytes:?} {items:?} {one}");
            cx.peer().confirm(&question).await == Ok(true)
        }

        async fn binary(&self, owned: Vec<u8>, maybe: Option<&[u8]>, pair: (&[u8], u32)) -> Option<Vec<u8>> {
            maybe.map(|maybe| [&owned, maybe, pair.0].concat())
        }

        async fn later(&self, first: u8, map: HashMap<String, u32>) -> Result<u32, String> {
            map.get("one").map(|one| one + u32::from(first)).ok_or_else(|| "no one".to_owned())
        }

        async fn double(&self, mut items: Streaming<u32>) -> Result<Streaming<u32>, Status> {
            let mut doubled = Vec::new();
            while let Some(item) = items.next().await {
                doubled.push(item.map_err(|_| Status::internal("the stream ended early"))? * 2);
            }
            let (sender, stream) = Streaming::channel(8);
            let _task = tokio::spawn(async move {
                for item in doubled {
                    let _ = sender.send(item).await;
                }
                sender.finish().await
            });
            Ok(stream)
        }

        async fn r#gen(&self, r#dyn: u8) -> u8 {
            r#dyn
        }

        async fn shout(&self, _: &str) {}
    }

    struct Yes;

    impl Screen for Yes {
        async fn confirm(&self, question: &str) -> bool {
            question == "a [1, 2] [3] 4"
        }
    }

    #[tokio::test]
    async fn a_contract_works_in_every_edition() {
        let server = Hosting::builder().service(Object.serve()).build().unwrap();
        let client = Hosting::builder().service(Yes.serve()).build().unwrap();
        let (_server, session) = connect_in_memory(&server, &client);
        let desk = session.client::<DeskClient>();
        assert_eq!(desk.lend("a", &[1, 2], &[3], &4).await, Ok(true));
        assert_eq!(desk.binary(vec![1], Some(&[2]), (&[3], 4)).await.unwrap(), Some(vec![1, 2, 3]));
        assert_eq!(desk.later(1, HashMap::from([("one".to_owned(), 1)])).await.unwrap(), 2);
        assert_eq!(desk.r#gen(5).await, Ok(5));
        desk.shout("a").await.unwrap();
        let (sender, items) = Streaming::channel(8);
        sender.send(2).await.unwrap();
        sender.finish().await.unwrap();
        let mut doubled = desk.double(items).await.unwrap();
        assert_eq!(doubled.next().await.unwrap().unwrap(), 4);
    }
}
