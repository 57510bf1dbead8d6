#[rpc_core::callback]
trait Ticker {
    #[rpc(oneway, overflow = "conflat")]
    async fn misspelt(&self);
    #[rpc(oneway, overflow = "later")]
    async fn unknown(&self);
    #[rpc(oneway, overflow = conflate)]
    async fn no_quotes(&self);
    #[rpc(overflow = "drop-oldest")]
    async fn with_an_answer(&self) -> u32;
    #[rpc(oneway, overflow = "wait", overflow = "conflate")]
    async fn twice(&self);
}

fn main() {}
