//! The dialect of Accoil's documented ingress API: `/v2/identify`, `/v2/group`, `/v2/track`
//! (`docs/accoil-api.md#the-v2-api`).
//!
//! This API has no page or screen call. Both become a track, whose name is in their `event` field
//! (`docs/accoil-api.md#pages-and-screens`). Times are sent as RFC 3339 in UTC (`docs/accoil-api.md#timestamps`).

use std::borrow::Cow;

use super::body::{ACCOUNT_TRAITS, Body, Money, USER_TRAITS};
use super::destination::EncodeResult;
use super::money;
use crate::event::{Dialect, Violation};
use crate::json::Value;
use crate::mapping::Payload;
use crate::reasons::Reason;

const IDENTIFY: &str = "/v2/identify";
const GROUP: &str = "/v2/group";
const TRACK: &str = "/v2/track";
pub(super) const PATHS: [&str; 3] = [IDENTIFY, GROUP, TRACK];

pub(super) fn encode(action: &str, payload: &Payload<'_>, money: Money) -> EncodeResult {
    match action {
        "identify" => identify(payload),
        "group" => group(payload, money),
        "page" | "screen" if payload.get("event").is_none() => EncodeResult::Skipped(Reason::SkipPage),
        "page" | "screen" if payload.get("userId").is_none() => EncodeResult::Refused(Violation::new(
            "userId",
            "is missing: Accoil does not record a view without a user id; identify the user first, or map another field to it",
        )
        .coded(Reason::RejectNoUser)),
        _ => track(payload, money),
    }
}

fn identify(payload: &Payload<'_>) -> EncodeResult {
    let mut body = Body::new(Dialect::V2);
    body.value("userId", payload.get("userId"));
    body.value("groupId", payload.get("groupId"));
    body.traits(payload, USER_TRAITS, Money::Cents);
    finish(IDENTIFY, body, payload)
}

fn group(payload: &Payload<'_>, money: Money) -> EncodeResult {
    let mut body = Body::new(Dialect::V2);
    body.value("groupId", payload.get("groupId"));
    body.value("userId", payload.get("userId"));
    body.traits(payload, ACCOUNT_TRAITS, money);
    finish(GROUP, body, payload)
}

fn track(payload: &Payload<'_>, money: Money) -> EncodeResult {
    let mut body = Body::new(Dialect::V2);
    body.value("userId", payload.get("userId"));
    body.value("event", payload.get("event"));
    body.value("groupTraits", groups(payload, money).as_deref());
    body.value("properties", payload.get("properties"));
    finish(TRACK, body, payload)
}

/// Returns the groups of a track or view, with `mrr` in cents.
pub(super) fn groups<'p, 'e>(payload: &'p Payload<'e>, money: Money) -> Option<Cow<'p, Value<'e>>> {
    let groups = payload.get("groupTraits")?;
    Some(match money {
        Money::Dollars => Cow::Owned(in_cents(groups.clone())),
        Money::Cents => Cow::Borrowed(groups),
    })
}

/// Converts each group's `mrr` to cents, as in its group call.
fn in_cents(groups: Value<'_>) -> Value<'_> {
    let Value::Array(mut groups) = groups else { return groups };
    for group in &mut groups {
        if let Value::Object(group) = group
            && let Some(Value::Object(traits)) = group.get_mut("traits")
            && let Some(mrr) = traits.get_mut("mrr")
        {
            *mrr = money::cents(mrr);
        }
    }
    Value::Array(groups)
}

fn finish(path: &'static str, mut body: Body, payload: &Payload<'_>) -> EncodeResult {
    body.end_content();
    body.time("timestamp", payload.get("timestamp"));
    EncodeResult::Request { path, body }
}
