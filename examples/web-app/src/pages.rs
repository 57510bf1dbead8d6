//! The pages, and the form of the login.

use axum::{
    Form,
    extract::{ConnectInfo, Request, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use crate::{app::AppState, door::Client, login::User};

const BOARD: &str = include_str!("pages/board.html");
const LOGIN: &str = include_str!("pages/login.html");
const STYLE: &str = include_str!("pages/style.css");

/// What the form of the login sends.
#[derive(Deserialize)]
pub(crate) struct Attempt {
    name: String,
    password: String,
}

/// The board, or the way to the login.
pub(crate) async fn board(user: Result<User, (StatusCode, &'static str)>) -> Response {
    match user {
        Ok(_) => Html(BOARD).into_response(),
        Err(_) => Redirect::to("/login").into_response(),
    }
}

pub(crate) async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}

pub(crate) async fn form() -> Html<String> {
    Html(LOGIN.replace("{why}", ""))
}

pub(crate) async fn login(
    State(state): State<AppState>,
    ConnectInfo(client): ConnectInfo<Client>,
    Form(attempt): Form<Attempt>,
) -> Response {
    match state.logins.enter(&attempt.name, &attempt.password, client.is_encrypted) {
        Some(cookie) => ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response(),
        None => {
            let page = LOGIN.replace("{why}", "The name or the password is wrong.");
            (StatusCode::UNAUTHORIZED, Html(page)).into_response()
        }
    }
}

pub(crate) async fn logout(State(state): State<AppState>, request: Request) -> Redirect {
    state.logins.leave(&request.into_parts().0);
    Redirect::to("/login")
}
