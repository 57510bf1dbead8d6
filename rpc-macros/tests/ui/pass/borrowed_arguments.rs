use std::borrow::Cow;

#[derive(serde::Serialize, serde::Deserialize)]
struct Point;

#[derive(serde::Serialize, serde::Deserialize)]
struct Lent<'a> {
    #[serde(borrow)]
    name: &'a str,
}

#[rpc_core::service]
trait Desk {
    async fn take(
        &self, a: &str, b: &[u8], c: &Point, d: &[Point], e: Option<&str>, f: Cow<'_, str>, g: Lent<'_>, h: (&str, u8), i: &[&str],
    ) -> u32;
}

/// The future borrows the arguments and nothing else.
fn lives(desk: &DeskClient, text: &str) -> impl Future<Output = Result<u32, rpc_core::Status>> {
    let desk = desk.clone();
    async move { desk.take(text, b"b", &Point, &[Point], Some("e"), "f".into(), Lent { name: "g" }, ("h", 1), &["i"]).await }
}

fn main() {
    let _ = lives;
}
