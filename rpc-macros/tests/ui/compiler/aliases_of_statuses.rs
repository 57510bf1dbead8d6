use rpc_core::{CallError, Status};

#[derive(serde::Serialize, serde::Deserialize)]
pub struct Refused(u32);

type Result<T> = std::result::Result<T, Status>;
type Outcome<T> = std::result::Result<T, CallError<Refused>>;

#[rpc_core::service]
trait Desk {
    async fn status(&self) -> Result<u32>;
    #[rpc(fallible)]
    async fn either(&self) -> Outcome<u32>;
}

fn main() {}
