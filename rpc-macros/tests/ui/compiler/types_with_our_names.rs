#[derive(serde::Serialize, serde::Deserialize)]
pub struct Bytes(u32);

#[derive(serde::Serialize, serde::Deserialize)]
pub struct Status(u32);

#[derive(serde::Serialize, serde::Deserialize)]
pub struct CallError<E>(E);

#[rpc_core::service]
trait Desk {
    async fn status(&self) -> Result<u32, Status>;
    async fn call_error(&self) -> Result<u32, CallError<u32>>;
    async fn bytes(&self, maybe: Option<Bytes>) -> u32;
}

fn main() {}
