//! The demo's events: what the people of some small companies do in a product, and from time to time an event with one of the
//! faults that operators meet in their first week.

use serde_json::{Value, json};

/// This many events contain each kind at least once.
pub(super) const CYCLE: usize = 40;
/// The stand-in for Accoil answers 503 to this person's calls, so they wait.
pub(super) const WAITS: &str = "u-olga";
/// The stand-in accepts this person's calls at the third attempt.
pub(super) const RETRIED: &str = "u-kenji";
/// The stand-in asks for a pause at this person's calls.
pub(super) const LIMITED: &str = "u-lucia";
/// The stand-in refuses this person's calls for good.
pub(super) const REFUSED: &str = "u-former";

/// User id, name, account.
const PEOPLE: [(&str, &str, &str); 12] = [
    ("u-1829", "Mira Patel", "northwind"),
    ("u-1842", "Tom Becker", "northwind"),
    ("u-1450", "Aisha Diallo", "fabrikam"),
    ("u-1081", "Jonas Lind", "fabrikam"),
    ("u-2207", "Chloe Martin", "fabrikam"),
    ("u-2311", "Ravi Shah", "tailspin"),
    ("u-2350", "Ines Costa", "tailspin"),
    ("u-2401", "Marek Nowak", "litware"),
    ("u-2466", "Hana Sato", "litware"),
    ("u-2502", "Leo Rossi", "contoso"),
    (RETRIED, "Kenji Mori", "contoso"),
    (LIMITED, "Lucia Vidal", "contoso"),
];
const EVENT_NAMES: [&str; 9] = [
    "Report Created",
    "Invite Sent",
    "Dashboard Viewed",
    "Export Finished",
    "Comment Added",
    "Filter Saved",
    "Report Shared",
    "Integration Connected",
    "Search Performed",
];

/// An event as its sender posts it.
pub(super) struct Post {
    pub(super) path: &'static str,
    pub(super) body: String,
}

/// The event with this number.
pub(super) fn post(number: usize) -> Post {
    let (user, name, company) = PEOPLE[(number * 7 + number / 5) % PEOPLE.len()];
    let event_name = EVENT_NAMES[(number * 5 + number / 7) % EVENT_NAMES.len()];
    let track = |user: &str, id: usize| json!({"userId": user, "event": event_name, "properties": {"seconds": number % 90}, "messageId": format!("demo-web-{id}")});
    let (path, body) = match number % CYCLE {
        0 => (
            "/v1/group",
            json!({"userId": user, "groupId": company, "traits": {"name": company, "plan": "team", "mrr": 4900}}),
        ),
        2 | 22 => (
            "/v1/identify",
            json!({"userId": user, "traits": {"name": name, "email": format!("{user}@example.com")}, "context": {"groupId": company}}),
        ),
        3 => ("/v1/page", json!({"userId": user, "name": "Pricing", "properties": {"path": "/pricing"}})),
        4 | 13 | 29 => (
            "/2/httpapi",
            amplitude(
                &json!({"event_type": event_name, "user_id": user, "groups": {"company": [company]}, "group_properties": {"company": {company: {"name": company}}}}),
            ),
        ),
        // The rest of the cycle has one fault each.
        5 | 25 => (
            "/v1/track",
            json!({"event": event_name, "anonymousId": format!("a-{}", number % 97), "properties": {"user_id": user, "pages": number % 12 + 1}}),
        ),
        8 | 18 | 28 | 38 => (
            "/2/httpapi",
            amplitude(&json!({"event_type": "Song Played", "device_id": format!("d-{}", number % 50)})),
        ),
        9 => ("/v1/page", json!({"userId": user, "properties": {"path": "/"}})),
        14 => ("/v1/identify", json!({"userId": user, "traits": {"name": name, "email": 12345}})),
        16 => ("/v1/events", track(user, number)),
        // Its sender did not wait for the answer.
        17 => ("/v1/track", track(user, number.saturating_sub(2))),
        21 => ("/v1/track", track(REFUSED, number)),
        23 => return Post { path: "/segment", body: r#"{"type":"track","event":"Report Cre"#.to_owned() },
        27 => ("/v1/alias", json!({"userId": user, "previousId": "a-1"})),
        31 | 36 => ("/v1/track", track(WAITS, number)),
        35 => ("/v1/track", json!({"userId": user, "event": event_name, "integrations": {"All": false}})),
        _ => ("/v1/track", track(user, number)),
    };
    Post { path, body: body.to_string() }
}

fn amplitude(event: &Value) -> Value {
    json!({"api_key": "any", "events": [event]})
}
