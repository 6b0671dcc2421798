//! `/setup`: the exact address and header for each sender, and whether its first event has arrived.

use std::net::SocketAddr;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::header::HOST;
use http::{HeaderMap, StatusCode, Uri};

use super::shell::Shell;
use super::{assets, page, words};
use crate::admin::Admin;
use crate::admin::api::config::{self, SetupView, SourceSetup};

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    shell: Shell,
    view: SetupView,
    /// `https://relay.example.com`: the address to which senders post.
    base: String,
    /// The same without the scheme, as analytics.js needs it.
    host: String,
}

pub(super) async fn show(State(admin): State<Admin>, headers: HeaderMap, shell: Shell) -> Response {
    let view = config::setup_view(&admin);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let base = view.public_url.clone().unwrap_or_else(|| listening_at(admin.config().server.listen, host));
    let base = base.trim_end_matches('/').to_owned();
    let host = base.split_once("://").map_or(base.as_str(), |(_, host)| host).to_owned();
    page(StatusCode::OK, &SetupPage { shell: shell.at("/setup"), view, base, host })
}

/// Returns the address of the public listener. If it listens on every interface, uses the host by which the browser reached this
/// machine.
fn listening_at(listen: SocketAddr, host: Option<&str>) -> String {
    let host = host.filter(|_| listen.ip().is_unspecified()).and_then(|host| host.parse::<Uri>().ok());
    match host.as_ref().and_then(Uri::host) {
        Some(host) => format!("http://{host}:{}", listen.port()),
        None => format!("http://{listen}"),
    }
}

impl SetupPage {
    /// Returns the text in place of the key. A source without a key accepts any.
    #[expect(clippy::unused_self, reason = "templates call methods of their page")]
    const fn key(&self, source: &SourceSetup) -> &'static str {
        if source.has_write_key { "KEY" } else { "any" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_get_the_address_that_reaches_this_machine() {
        for (listen, host, expected) in [
            ("127.0.0.1:8080", Some("localhost:8081"), "http://127.0.0.1:8080"),
            ("0.0.0.0:8080", Some("relay.internal:8081"), "http://relay.internal:8080"),
            ("[::]:80", Some("[::1]:8081"), "http://[::1]:80"),
            ("0.0.0.0:8080", None, "http://0.0.0.0:8080"),
        ] {
            assert_eq!(listening_at(listen.parse().unwrap(), host), expected);
        }
    }
}
