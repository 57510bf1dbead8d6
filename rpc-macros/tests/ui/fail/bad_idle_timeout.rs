use rpc_core::Streaming;

#[rpc_core::service]
trait Desk {
    #[rpc(idle_timeout = "5 days")]
    async fn note(&self, pages: Streaming<String>);
    #[rpc(idle_timeout = 5)]
    async fn write(&self, pages: Streaming<String>);
    #[rpc(idle_timeout)]
    async fn copy(&self, pages: Streaming<String>);
    #[rpc(idle_timout = "5s")]
    async fn print(&self, pages: Streaming<String>);
    #[rpc(idle_timeout = "5s", idle_timeout = "6s")]
    async fn bind(&self, pages: Streaming<String>);
}

fn main() {}
