use rpc_core::Streaming;

#[rpc_core::service]
trait Desk {
    #[rpc(idle_timeout = "5s")]
    async fn note(&self, page: String);
    #[rpc(idle_timeout = "5s")]
    async fn read(&self) -> Streaming<String>;
    #[rpc(oneway, idle_timeout = "5s")]
    async fn tell(&self, page: String);
}

fn main() {}
