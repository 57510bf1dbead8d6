#[rpc_core::service]
trait Desk {
    fn note(&self) -> u32;
}

fn main() {}
