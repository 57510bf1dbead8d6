mod serde_json {
    pub struct Value;
}

type Result<T> = std::result::Result<T, String>;

#[rpc_core::service]
trait Desk {
    async fn a(&self, nested: Option<Option<u32>>) -> Option<()>;
    async fn b(&self, json: &[Option<serde_json::Value>]) -> Result<Vec<Option<Box<Option<u32>>>>>;
    async fn c(&self, items: rpc_core::Streaming<Option<Option<u32>>>) -> std::result::Result<(), Option<()>>;
    async fn d(&self, fine: Option<Vec<Option<u32>>>) -> Option<(Option<u32>,)>;
}

fn main() {}
