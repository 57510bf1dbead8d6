//! An axum application on one port: pages, a login, a health route, two contracts for programs, and raw WebSockets for
//! the page in the browser. It serves plain HTTP or TLS.
//!
//! | path | who may | what it is |
//! |---|---|---|
//! | `/login` | all | a form; a user's password brings a cookie |
//! | `/style.css` | all | the looks of both pages |
//! | `/` | users who are logged in | the page that shows the board and posts to it |
//! | `/live` | users who are logged in | a raw WebSocket with JSON text, for that page |
//! | `/rpc` | users who are logged in | the contracts [`Board`] and [`Admin`], for programs that show the cookie |
//! | `/logout` | all | forgets the login; WebSockets that are open live on |
//! | `/healthz`, `/readyz` | all | whether the process lives, and whether it takes new connections |
//!
//! One [`rpc_server::Server`] has the contracts, the raw WebSockets and the health routes, and axum has the port. So
//! one shutdown drains them all.

mod app;
mod authority;
mod board;
mod contract;
mod demo;
mod door;
mod http;
mod live;
mod login;
mod pages;

pub use app::App;
pub use authority::Authority;
pub use contract::{
    Admin, AdminClient, Board, BoardClient, BoardError, BoardEvents, BoardEventsClient, LiveEvent, Note,
};
pub use demo::demo;
pub use door::{Client, Door, Stream, acceptor};
pub use http::{Answer, Http};
pub use login::Users;

/// What ends a part of the program early.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
