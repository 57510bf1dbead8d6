#[rpc_core::callback]
trait Ticker {
    #[rpc(oneway, key = "symbol")]
    async fn without_policy(&self, symbol: &str);
    #[rpc(oneway, overflow = "drop-newest", key = "symbol")]
    async fn with_another_policy(&self, symbol: &str);
    #[rpc(oneway, overflow = "conflate", key = "symbol.")]
    async fn no_expression(&self, symbol: &str);
    #[rpc(oneway, overflow = "conflate", key = "")]
    async fn empty(&self, symbol: &str);
    #[rpc(oneway, overflow = "conflate", key = symbol)]
    async fn no_quotes(&self, symbol: &str);
    #[rpc(oneway, overflow = "conflate", key = "(self.peer, symbol)")]
    async fn not_an_argument(&self, symbol: &str);
}

fn main() {}
