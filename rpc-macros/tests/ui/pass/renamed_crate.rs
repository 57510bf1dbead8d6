mod deep {
    pub use ::rpc_core as renamed;
}

#[deep::renamed::service(crate = "crate::deep::renamed")]
trait Desk {
    async fn note(&self, text: &str) -> String;
}

fn main() {}
