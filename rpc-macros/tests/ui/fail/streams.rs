use rpc_core::Streaming;

#[rpc_core::service]
trait Desk {
    async fn inside(&self, posts: Vec<Streaming<u32>>);
    async fn lent(&self, posts: &Streaming<u32>);
    async fn borrowed(&self, posts: Streaming<&str>);
    async fn pair(&self) -> (Streaming<u32>, u32);
    async fn maybe(&self) -> Result<Option<Streaming<u32>>, String>;
    async fn of_streams(&self) -> Streaming<Streaming<u32>>;
    #[rpc(oneway)]
    async fn oneway(&self, _posts: Streaming<u32>);
    #[rpc(window = 1000)]
    async fn no_stream(&self) -> u32;
    #[rpc(window = "1 MiB")]
    async fn no_number(&self) -> Streaming<u32>;
    #[rpc(window = -1)]
    async fn negative(&self) -> Streaming<u32>;
    #[rpc(terminating)]
    async fn last(&self) -> Result<Streaming<u32>, String>;
    #[rpc(window = 0)]
    async fn closed(&self) -> Streaming<u32>;
    async fn told(&self) -> Streaming<u32, rpc_core::Status>;
    async fn either(&self) -> Streaming<u32, rpc_core::CallError<String>>;
    #[rpc(oneway, window = 1000)]
    async fn posted(&self, post: u32);
}

fn main() {}
