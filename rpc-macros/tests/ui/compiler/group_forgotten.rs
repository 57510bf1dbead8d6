use rpc_core::GroupStub;

#[rpc_core::callback]
trait Screen {
    async fn show(&self);
}

fn group<S: GroupStub>() {}

fn main() {
    group::<ScreenClient>();
}
