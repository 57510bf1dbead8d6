#[rpc_core::service(name = "rpc.Session")]
trait Desk {
    async fn open(&self);
}

#[rpc_core::callback(name = "rpc.desk.Events")]
trait DeskEvents {
    async fn opened(&self);
}

#[rpc_core::service(name = "rpcdesk.v1")]
trait OtherDesk {
    async fn open(&self);
}

fn main() {}
