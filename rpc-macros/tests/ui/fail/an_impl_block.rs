struct Clerk;

#[rpc_core::service]
impl Clerk {
    pub async fn note(&self) {}
}

fn main() {}
