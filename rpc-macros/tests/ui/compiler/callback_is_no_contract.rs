trait Screen {}

#[rpc_core::service(callback = Screen)]
trait Desk {
    async fn note(&self);
}

fn main() {}
