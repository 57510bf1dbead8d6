mod deep {
    pub use ::rpc_core as renamed;
}

#[deep::renamed::service(crate = "crate::deep::renamed")]
trait Desk {
    async fn note(&self, text: &str) -> String;
}

#[deep::renamed::callback(group, crate = "crate::deep::renamed")]
trait Screen {
    #[rpc(oneway, overflow = "conflate", key = "text")]
    async fn show(&self, text: &str);
    async fn confirm(&self, text: &str) -> Result<bool, String>;
}

fn main() {}
