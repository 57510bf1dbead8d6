#[rpc_core::service]
trait r#Match {
    async fn r#type(&self, r#in: u8, r#fn: &str) -> u8;
}

struct Object;

impl r#Match for Object {
    async fn r#type(&self, r#in: u8, r#fn: &str) -> u8 {
        r#in + r#fn.len() as u8
    }
}

fn main() {
    use rpc_core::Stub;
    let contract = MatchClient::CONTRACT;
    assert_eq!((contract.name(), contract.methods()[0].name()), ("Match", "type"));
    r#Match::serve(Object);
}
