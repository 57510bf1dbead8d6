use rpc_core::Streaming;

#[rpc_core::service]
trait Desk {
    async fn import(&self, posts: Streaming<u32>) -> u32;
}

async fn wrong_items(desk: &DeskClient) {
    let _ = desk.import(futures::stream::iter(["a", "b"])).await;
}

async fn no_stream(desk: &DeskClient) {
    let _ = desk.import(vec![1, 2]).await;
}

fn main() {}
