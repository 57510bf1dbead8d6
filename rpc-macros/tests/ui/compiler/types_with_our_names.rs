#[derive(serde::Serialize, serde::Deserialize)]
pub struct Bytes(u32);

#[derive(serde::Serialize, serde::Deserialize)]
pub struct Status(u32);

#[rpc_core::service]
trait Desk {
    async fn status(&self) -> Result<u32, Status>;
    async fn bytes(&self, maybe: Option<Bytes>) -> u32;
}

fn main() {}
