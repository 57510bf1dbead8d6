use std::collections::HashMap;

#[derive(serde::Serialize, serde::Deserialize)]
struct Page<T>(T);

#[rpc_core::service]
trait Desk {
    async fn a(&self, page: Page<&[u8]>);
    async fn b(&self, pages: Option<Vec<Page<&[u8]>>>);
    async fn c(&self, keys: HashMap<&[u8], u32>);
}

fn main() {}
