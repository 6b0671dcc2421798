//! The frame of every page: the navigation, the search, the states of destinations, the theme.

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;

use super::session::Visitor;
use super::visitor::cookie;
use super::words;
use crate::admin::Admin;
use crate::admin::api::waiting::states;
use crate::admin::error::ApiError;
use crate::admin::guard::Access;

/// Cookies of the visitor's own choices, and of the last form's result. They contain no secret.
pub(super) const THEME: &str = "theme";
pub(super) const TIMES: &str = "times";
pub(super) const KEYS: &str = "keys";
pub(super) const MESSAGE: &str = "message";

pub(super) struct Shell {
    current: &'static str,
    /// The address of this page, to come back to it.
    pub(super) here: String,
    /// `light` or `dark`; `None` follows the system.
    pub(super) theme: Option<&'static str>,
    /// `local` or `utc`.
    pub(super) times: &'static str,
    /// `on` or `off`.
    pub(super) keys: &'static str,
    pub(super) version: &'static str,
    pub(super) uptime: String,
    pub(super) form_token: String,
    pub(super) access: Access,
    /// False if no token is configured: there is no session to end.
    pub(super) can_log_out: bool,
    failures: u64,
    /// Destinations that need attention.
    pub(super) states: Vec<DestinationTag>,
    /// The result of the last form.
    pub(super) message: Option<Message>,
}

/// A destination that needs attention, as the top bar shows it.
pub(super) struct DestinationTag {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) tone: &'static str,
}

/// A message above the page.
pub(super) struct Message {
    pub(super) tone: &'static str,
    pub(super) text: String,
}

/// An entry of the navigation.
pub(super) struct NavigationEntry {
    pub(super) name: &'static str,
    pub(super) address: &'static str,
    pub(super) icon: &'static str,
    /// Not shown on a phone, where the navigation has room for four.
    pub(super) is_wide: bool,
    pub(super) is_current: bool,
    pub(super) count: u64,
}

const ENTRIES: [(&str, &str, &str, bool); 7] = [
    ("Overview", "/", "home", false),
    ("Events", "/events", "list", false),
    ("Failures", "/failures", "warning", false),
    ("Mappings", "/mappings", "flow", true),
    ("Tester", "/tester", "flask", true),
    ("Accounts", "/accounts", "building", true),
    ("Set-up", "/setup", "plug", false),
];

impl Shell {
    fn new(admin: &Admin, visitor: Visitor, here: String, headers: &HeaderMap) -> Self {
        let choice = |name, known: [&'static str; 2]| {
            cookie(headers, name).and_then(|value| known.into_iter().find(|one| *one == value))
        };
        let usage = admin.outbox().usage();
        Self {
            current: "",
            here,
            theme: choice(THEME, ["light", "dark"]),
            times: choice(TIMES, ["local", "utc"]).unwrap_or("local"),
            keys: choice(KEYS, ["on", "off"]).unwrap_or("on"),
            version: env!("CARGO_PKG_VERSION"),
            uptime: words::span(admin.started().elapsed().unwrap_or_default()),
            form_token: visitor.form_token,
            access: visitor.access,
            can_log_out: admin.config().admin.token.is_some(),
            failures: usage.dead_letters.rows + usage.rejects.rows,
            states: states(admin)
                .into_iter()
                .filter(|one| one.state != "ok")
                .map(|one| DestinationTag { tone: words::tone(&one.state), name: one.name, state: one.state })
                .collect(),
            message: cookie(headers, MESSAGE).and_then(Message::read),
        }
    }

    /// The entry that the page belongs to.
    pub(super) fn at(mut self, address: &'static str) -> Self {
        self.current = address;
        self
    }

    pub(super) fn other_theme(&self) -> &'static str {
        if self.theme == Some("dark") { "light" } else { "dark" }
    }

    pub(super) fn can_change(&self) -> bool {
        self.access == Access::Full
    }

    pub(super) fn entries(&self) -> Vec<NavigationEntry> {
        let entry = |(name, address, icon, is_wide)| NavigationEntry {
            name,
            address,
            icon,
            is_wide,
            is_current: address == self.current,
            count: if address == "/failures" { self.failures } else { 0 },
        };
        ENTRIES.map(entry).into()
    }
}

impl FromRequestParts<Admin> for Shell {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, ApiError> {
        let visitor = Visitor::from_request_parts(parts, admin).await?;
        let here = parts.uri.path_and_query().map_or("/", |here| here.as_str()).to_owned();
        Ok(Self::new(admin, visitor, here, &parts.headers))
    }
}

impl Message {
    /// Keeps the result of a form for the page that the browser loads next.
    pub(super) fn cookie(tone: &str, text: &str) -> String {
        let text: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        format!("{MESSAGE}={tone}.{text}; Path=/; Max-Age=10; HttpOnly; SameSite=Strict")
    }

    fn read(value: &str) -> Option<Self> {
        let (tone, text) = value.split_once('.')?;
        let tone = ["ok", "wait", "fail"].into_iter().find(|one| *one == tone)?;
        let text = form_urlencoded::parse(text.as_bytes()).next()?.0.into_owned();
        Some(Self { tone, text })
    }
}
