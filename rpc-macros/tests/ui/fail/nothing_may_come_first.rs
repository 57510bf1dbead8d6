//! Every method waits for another one.

#[rpc_core::service]
trait Account {
    #[rpc(initiating = false)]
    async fn balance(&self) -> u32;
    #[rpc(initiating = false, terminating)]
    async fn log_out(&self);
}

fn main() {}
