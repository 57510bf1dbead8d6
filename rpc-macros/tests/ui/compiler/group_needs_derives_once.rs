pub struct Post;

#[rpc_core::callback(group)]
trait Screen {
    #[rpc(oneway)]
    async fn show(&self, post: &Post);
    async fn confirm(&self, post: Post) -> Post;
}

fn main() {}
