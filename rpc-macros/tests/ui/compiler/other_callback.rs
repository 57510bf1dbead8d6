use rpc_core::Context;

#[rpc_core::callback]
trait Device {
    async fn measure(&self) -> u32;
}

#[rpc_core::callback]
trait Console {
    async fn show(&self);
}

#[rpc_core::service(callback = Device)]
trait Fleet {
    async fn other(&self, cx: &Context<ConsoleClient>);
    async fn unneeded(&self, cx: &Context<Option<DeviceClient>>);
}

#[rpc_core::service(callback = Device, optional)]
trait Alarm {
    async fn right(&self, cx: &Context<Option<DeviceClient>>);
    async fn own(&self, cx: &Context<AlarmClient>);
    async fn unchecked(&self, cx: &Context<DeviceClient>);
}

struct Tower;

impl Alarm for Tower {
    async fn right(&self, cx: &Context<Option<DeviceClient>>) {
        let _ = cx.peer().measure().await;
    }
    async fn own(&self, _: &Context<AlarmClient>) {}
    async fn unchecked(&self, _: &Context<DeviceClient>) {}
}

fn main() {}
