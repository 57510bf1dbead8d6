struct Point {
    x: i32,
}

#[derive(Debug)]
enum Fault {
    Odd,
}

#[rpc_core::service]
trait Desk {
    async fn call(&self) -> Result<u32, rpc_core::CallError<Fault>>;
    async fn note(&self, point: Point, more: &Point) -> Result<Vec<Point>, Fault>;
}

fn main() {}
