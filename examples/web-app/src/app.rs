//! The application: which path leads where, and how all of it ends.

use std::{io, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    middleware::map_request,
    response::Response,
    routing::{any, get, post},
};
use futures::poll;
use rpc_server::{BuildError, Principal, Server, TlsInfo, raw::websocket};
use tokio::time::sleep;
use tower_service::Service;

use crate::{
    board::Wall,
    contract::{Admin, Board},
    door::{Client, Door},
    live::Live,
    login::{Logins, User, Users},
    pages,
};

/// How long answers may take when the last session has ended.
const ANSWERS: Duration = Duration::from_secs(3);

/// The application, which [`serve`](Self::serve) serves.
#[derive(Debug)]
pub struct App {
    router: Router,
    server: Server,
}

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) logins: Logins,
    server: Server,
}

impl App {
    /// Puts the application together. After a signal it takes clients for `drain_delay`, and is not ready any more.
    ///
    /// # Errors
    ///
    /// As [`rpc_server::ServerBuilder::build`].
    pub fn new(users: Users, drain_delay: Duration) -> Result<Self, BuildError> {
        let wall = Wall::default();
        let server = Server::builder()
            .service(Board::serve(wall.clone()))
            .service(Admin::serve(wall.clone()))
            .authorizer(|principal, role| {
                role == "admin" && principal.value::<User>().is_some_and(|user| user.is_admin)
            })
            // As a route of the server, the raw WebSockets end when it shuts down.
            .path("/rpc")
            .route("/live", websocket(Live { wall }))
            .health_routes()
            // Sessions keep no cookies.
            .keep_headers(["user-agent"])
            .drain_delay(drain_delay)
            .build()?;
        let state = AppState { logins: Logins::new(users), server: server.clone() };
        let router = Router::new()
            .route("/", get(pages::board))
            .route("/style.css", get(pages::style))
            .route("/login", get(pages::form).post(pages::login))
            .route("/logout", post(pages::logout))
            .route("/rpc", any(rpc))
            .route("/live", any(live))
            .route_service("/healthz", server.front())
            .route_service("/readyz", server.front())
            .layer(map_request(tell))
            .with_state(state);
        Ok(Self { router, server })
    }

    /// The server of the contracts, for instance to shut down the application.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Serves until a signal asks for the end, or the server is shut down. Then the port is closed, sessions drain, raw
    /// WebSockets are closed, and answers go out to their ends. Answers that are not out three seconds after the last
    /// session has ended are given up.
    ///
    /// # Errors
    ///
    /// As [`axum::serve()`].
    pub async fn serve(self, door: Door) -> io::Result<()> {
        let Self { router, server } = self;
        let app = router.into_make_service_with_connect_info::<Client>();
        let mut end = Box::pin(server.shutdown_signal());
        // From the first poll on, a signal does not end the process by itself. No client is answered before that.
        if poll!(&mut end).is_ready() {
            server.shutdown().await;
            return Ok(());
        }
        let pages = axum::serve(door, app).with_graceful_shutdown(end);
        // The graceful shutdown of axum forgets upgraded connections, which end with the server. And it waits without
        // an end for clients that have not sent the whole of their first request.
        let overdue = async {
            server.wait().await;
            sleep(ANSWERS).await;
        };
        tokio::select! {
            ended = pages => ended?,
            () = overdue => {}
        }
        server.shutdown().await;
        Ok(())
    }
}

/// Begins a session of a program.
async fn rpc(State(state): State<AppState>, user: User, request: Request) -> Response {
    let principal = Principal::new(user.name.clone()).with_value(user);
    state.server.upgrade().identity(principal).respond(request).await.map(Body::new)
}

/// Begins a raw WebSocket of a page.
async fn live(State(state): State<AppState>, user: User, mut request: Request) -> Response {
    request.extensions_mut().insert(user);
    let Ok(answer) = state.server.front().call(request).await;
    answer.map(Body::new)
}

/// Tells the server where a request comes from, and whether it came by TLS.
async fn tell(ConnectInfo(client): ConnectInfo<Client>, mut request: Request) -> Request {
    request.extensions_mut().insert(client.addr);
    if client.is_encrypted {
        request.extensions_mut().insert(TlsInfo::default());
    }
    request
}
