use std::rc::Rc;

#[rpc_core::service]
trait Desk {
    async fn note(&self);
}

struct Clerk;

impl Desk for Clerk {
    async fn note(&self) {
        let held = Rc::new(1);
        std::future::ready(()).await;
        drop(held);
    }
}

fn main() {}
