use rpc_core::Streaming;

#[derive(serde::Serialize)]
struct Point {
    x: i32,
}

#[derive(serde::Serialize)]
struct Torn;

#[rpc_core::service]
trait Desk {
    async fn notes(&self) -> Streaming<Point>;
    async fn pages(&self) -> Streaming<u32, Torn>;
}

fn main() {}
