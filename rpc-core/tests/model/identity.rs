//! What a session knows of its other side from the layers around it.

use rpc_core::{
    Config, ConnectionInfo, Context, Hosting, Principal, Status, async_trait,
    intercept::{CallInfo, Interceptor, Next, Reply},
    session::{Handshake, connect, memory},
};

#[derive(Clone, Copy, Debug, PartialEq)]
struct Floor(u32);

#[rpc_core::service]
trait Lift {
    async fn who(&self, cx: &Context<LiftClient>) -> Option<String>;
    async fn floor(&self, cx: &Context<LiftClient>) -> Option<u32>;
}

struct Cabin;

impl Lift for Cabin {
    async fn who(&self, cx: &Context<LiftClient>) -> Option<String> {
        cx.principal().map(|principal| principal.to_string())
    }
    async fn floor(&self, cx: &Context<LiftClient>) -> Option<u32> {
        cx.extension::<Floor>().map(|floor| floor.0)
    }
}

/// Gives calls with a metadata `floor` a value of their own.
struct Button;

#[async_trait]
impl Interceptor for Button {
    async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
        if let Some(floor) = call.metadata("floor").and_then(|floor| floor.parse().ok()) {
            call.extensions_mut().insert(Floor(floor));
        }
        next.run(call).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_principal_among_the_extensions_is_known_and_cannot_be_replaced() {
    let mut extensions = http::Extensions::new();
    extensions.insert(Principal::new("ada"));
    extensions.insert(Floor(3));
    let (config, (near, far)) = (Config::default(), memory());
    let server = Hosting::builder().service(Cabin.serve()).interceptor(Button).build().unwrap();
    let info = ConnectionInfo::default().with_extensions(extensions);
    let (at_client, driver) = connect(far, &Hosting::default(), &config, ConnectionInfo::default());
    tokio::spawn(driver);
    let (at_server, driver) = Handshake::read(near, &config).await.unwrap().accept(&server, info);
    tokio::spawn(driver);

    assert_eq!(at_server.principal().as_ref().map(Principal::name), Some("ada"));
    assert!(!at_server.set_principal(Principal::new("bob")), "it is known already");
    let lift: LiftClient = at_client.client();
    assert_eq!(lift.who().await.unwrap().as_deref(), Some("ada"));
    assert_eq!(lift.floor().await, Ok(Some(3)), "of the connection");
    let own = lift.with(rpc_core::CallOptions::new().metadata("floor", "7"));
    assert_eq!(own.floor().await, Ok(Some(7)), "a value of the call goes first");
    assert_eq!(at_client.principal(), None);
}
