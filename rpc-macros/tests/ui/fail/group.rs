#[rpc_core::service(group)]
trait Desk {
    async fn note(&self);
}

#[rpc_core::callback(group = true)]
trait Screen {
    async fn show(&self);
}

#[rpc_core::callback(group, group)]
trait Ticker {
    async fn tick(&self);
}

#[rpc_core::callback(groups)]
trait Door {
    async fn close(&self);
}

fn main() {}
