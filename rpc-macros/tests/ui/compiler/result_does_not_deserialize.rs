#[derive(serde::Serialize)]
struct Point {
    x: i32,
}

#[rpc_core::service]
trait Desk {
    async fn note(&self) -> Point;
}

fn main() {}
