#[rpc_core::callback]
trait Ticker {
    #[rpc(ttl = "5s")]
    async fn with_an_answer(&self) -> u32;
    #[rpc(oneway, ttl = "5 days")]
    async fn no_time(&self);
    #[rpc(oneway, ttl = 5)]
    async fn no_quotes(&self);
}

fn main() {}
