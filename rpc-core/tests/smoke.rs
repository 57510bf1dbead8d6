//! tmp
use std::sync::Arc;
use rpc_core::{__private::*, Config, Hosting, session};

static METHODS: [&MethodDescriptor; 2] = [&MethodDescriptor::new("Echo", "echo", 1), &MethodDescriptor::new("Echo", "twice", 1)];
static ECHO: ContractDescriptor = ContractDescriptor::new("Echo", &METHODS);

#[derive(Clone)]
struct EchoClient(Peer);
impl Stub for EchoClient {
    const CONTRACT: &'static ContractDescriptor = &ECHO;
    fn from_peer(peer: Peer) -> Self { Self(peer) }
    fn as_peer(&self) -> &Peer { &self.0 }
}
impl EchoClient {
    async fn echo(&self, s: &str) -> Result<String, Status> { self.0.call::<_, Value<String>>(METHODS[0], (s,)).await }
    async fn twice(&self, n: u32) -> Result<u32, Status> { self.0.call::<_, Value<u32>>(METHODS[1], (n,)).await }
}
struct Obj;
const A: u32 = method_id("Echo", "echo");
const B: u32 = method_id("Echo", "twice");
fn start(_o: &Arc<Obj>, m: u32, call: Incoming, r: &mut Runner) {
    match m {
        A => r.start(async move { let s: String = { let mut a = call.arguments()?; a.next("s")? }; call.reply(format!("<{s}>")).await }),
        B => r.start(async move {
            let n: u32 = { let mut a = call.arguments()?; a.next("n")? };
            let cx = call.context::<EchoClient>();
            if n == 0 { return call.reply(cx.depth()).await }
            let v = cx.peer().twice(n - 1).await;
            call.reply_status(v).await
        }),
        _ => {}
    }
}
fn hosting() -> Hosting { Hosting::builder().add(Service::host(&ECHO, Obj, start)).build().unwrap() }

#[tokio::test]
async fn works() {
    let (server, client) = session::connect_in_memory(&hosting(), &hosting(), &Arc::new(Config::default()));
    client.established().await.unwrap();
    let stub: EchoClient = EchoClient::from_peer(client.keep_open());
    assert_eq!(stub.echo("a").await.unwrap(), "<a>");
    assert_eq!(stub.twice(16).await.unwrap(), 16);
    println!("{:?}", stub.twice(17).await);
    let big = "x".repeat(3_000_000);
    assert_eq!(stub.echo(&big).await.unwrap().len(), 3_000_002);
    println!("{:?}", stub.echo(&"x".repeat(5_000_000)).await);
    println!("{:?} {:?}", client.stats(), server.stats());
    let t = std::time::Instant::now();
    let n = 200_000u32;
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..256 { let s = stub.clone(); set.spawn(async move { for _ in 0..n/256 { s.twice(0).await.unwrap(); } }); }
    set.join_all().await;
    println!("{} calls/s", n as f64 / t.elapsed().as_secs_f64());
    drop(stub);
    println!("{:?} {:?}", client.closed().await, server.closed().await);
    println!("{:?} {:?}", client.stats(), server.stats());
}
