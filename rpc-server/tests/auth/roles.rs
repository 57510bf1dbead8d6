//! Who may call a method.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use rpc_client::{Connect, Credential};
use rpc_core::{Code, Execution, Hosting, HostingError, Principal, Stub, async_trait, intercept};
use rpc_server::{BuildError, Server, ServerBuilder, ServerHandle};
use rpc_testing::until;

use crate::bank::{Login, SECRET};

#[rpc_core::service]
trait Safe {
    #[rpc(allow = "owner")]
    async fn open(&self) -> u32;
    #[rpc(allow = "owner", oneway)]
    async fn ring(&self);
    #[rpc(allow = "clerk")]
    async fn count(&self, coins: Vec<u8>) -> u32;
    #[rpc(allow = "*")]
    async fn look(&self) -> u32;
    async fn knock(&self) -> u32;
}

/// Counts the methods that run.
#[derive(Clone, Default)]
struct Steel(Arc<AtomicU32>);

impl Steel {
    fn run(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Safe for Steel {
    async fn open(&self) -> u32 {
        self.run()
    }
    async fn ring(&self) {
        self.run();
    }
    async fn count(&self, _: Vec<u8>) -> u32 {
        self.run()
    }
    async fn look(&self) -> u32 {
        self.run()
    }
    async fn knock(&self) -> u32 {
        self.run()
    }
}

/// Counts the calls that reach interceptors.
#[derive(Clone, Default)]
struct Passing(Arc<AtomicU32>);

#[async_trait]
impl intercept::Interceptor for Passing {
    async fn intercept(
        &self,
        call: &mut intercept::CallInfo,
        mut next: intercept::Next<'_>,
    ) -> Result<intercept::Reply, rpc_core::Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        next.run(call).await
    }
}

fn is_owner(principal: &Principal, role: &str) -> bool {
    (principal.name(), role) == ("ada", "owner")
}

fn safe(steel: &Steel) -> ServerBuilder {
    Server::builder().service(steel.clone().serve()).authenticator(Login).authorizer(is_owner)
}

async fn ada(server: &ServerHandle) -> SafeClient {
    let url = format!("ws://{}/", server.local_addr());
    SafeClient::connect(url).credentials(Credential::bearer(SECRET)).await.unwrap()
}

#[tokio::test]
async fn a_call_of_a_caller_without_the_role_is_refused_unrun() {
    let (steel, passing) = (Steel::default(), Passing::default());
    let server = safe(&steel).interceptor(passing.clone()).listen("127.0.0.1:0").await.unwrap();
    let safe = ada(&server).await;
    assert_eq!(safe.open().await.unwrap(), 1);
    let passed = passing.0.load(Ordering::SeqCst);
    // The second one comes in chunks.
    for coins in [0, 1 << 20] {
        let status = safe.count(vec![1; coins]).await.unwrap_err();
        assert_eq!((status.code(), status.execution()), (Code::PermissionDenied, Execution::NotExecuted));
        assert!(status.message().contains("Safe.count") && status.message().contains("`clerk`"), "{status}");
    }
    assert_eq!((steel.count(), passing.0.load(Ordering::SeqCst)), (1, passed), "no code of the application runs");
    assert_eq!((safe.look().await.unwrap(), safe.knock().await.unwrap()), (2, 3));
    rpc_testing::at_rest(&safe.session()).await;
}

#[tokio::test]
async fn a_caller_without_a_principal_has_no_role() {
    let steel = Steel::default();
    let server = safe(&steel).listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let safe = SafeClient::connect(url).header("x-guest", "yes").await.unwrap();
    let status = safe.open().await.unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::PermissionDenied, Execution::NotExecuted));
    assert!(status.message().contains("Safe.open") && status.message().contains("`owner`"), "{status}");
    safe.ring().await.unwrap();
    let session = server.sessions().iter().next().unwrap();
    until("the one-way call is refused", || session.stats().oneway_refused == 1).await;
    assert_eq!((steel.count(), safe.look().await.unwrap()), (0, 1));
}

#[tokio::test]
async fn what_the_contract_leaves_open_can_be_denied() {
    let steel = Steel::default();
    let server = safe(&steel).deny_by_default().listen("127.0.0.1:0").await.unwrap();
    let safe = ada(&server).await;
    let status = safe.knock().await.unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::PermissionDenied, Execution::NotExecuted));
    assert!(status.message().contains("Safe.knock"), "{status}");
    assert_eq!((safe.open().await.unwrap(), safe.look().await.unwrap()), (1, 2));
}

#[tokio::test]
async fn roles_that_nothing_decides_about_are_an_error() {
    let error = Server::builder().service(Steel::default().serve()).build().unwrap_err();
    assert!(matches!(&error, BuildError::Hosting(HostingError::NoAuthorizer { .. })), "{error:?}");
    assert!(error.to_string().contains("Safe.") && error.to_string().contains(".authorizer("), "{error}");
    let hosting = Hosting::builder().service(Steel::default().serve());
    assert!(hosting.authorizer(|_, _| true).build().is_ok());
}
