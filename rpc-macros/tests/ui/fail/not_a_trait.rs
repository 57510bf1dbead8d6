#[rpc_core::service]
struct Desk;

fn main() {}
