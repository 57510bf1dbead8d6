#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Fault;

type Result<T> = core::result::Result<T, Fault>;
type Answer = core::result::Result<u32, Fault>;

#[rpc_core::service]
trait Desk {
    async fn one(&self) -> Result<u32>;
    #[rpc(fallible)]
    async fn two(&self) -> Answer;
    async fn three(&self) -> core::result::Result<(), Fault>;
    async fn four(&self) -> core::result::Result<u8, rpc_core::Status>;
}

async fn uses(desk: DeskClient) -> core::result::Result<u32, rpc_core::CallError<Fault>> {
    let _: core::result::Result<u8, rpc_core::Status> = desk.four().await;
    desk.three().await?;
    Ok(desk.one().await? + desk.two().await?)
}

fn main() {
    let _ = uses;
}
