#[derive(serde::Deserialize)]
struct Point;

#[derive(Debug, serde::Deserialize)]
enum Fault {}

#[rpc_core::service]
trait Desk {
    async fn plain(&self) -> Point;
    async fn fallible(&self) -> Result<u32, Fault>;
}

fn main() {}
