//! The dialect of Segment's own destination: five body shapes, posted to `/segment`
//! (`docs/segment.md#segments-accoil-destination`, `docs/accoil-api.md#the-segment-endpoint`). Members are written in
//! Segment's order.

use super::body::{ACCOUNT_TRAITS, Body, Money, USER_TRAITS};
use super::destination::EncodeResult;
use super::v2::groups;
use crate::event::Dialect;
use crate::mapping::Payload;

pub const PATH: &str = "/segment";

pub(super) fn encode(action: &str, payload: &Payload<'_>, money: Money) -> EncodeResult {
    let mut body = Body::new(Dialect::Segment);
    body.text("type", action);
    match action {
        "identify" => {
            body.value("userId", payload.get("userId"));
            body.traits(payload, USER_TRAITS, Money::Cents);
        }
        "group" => {
            body.value("anonymousId", payload.get("anonymousId"));
            body.value("userId", payload.get("userId"));
            body.value("groupId", payload.get("groupId"));
            body.traits(payload, ACCOUNT_TRAITS, money);
        }
        "page" | "screen" => {
            body.value("userId", payload.get("userId"));
            body.value("name", payload.get("name"));
        }
        _ => {
            body.value("event", payload.get("event"));
            body.value("userId", payload.get("userId"));
        }
    }
    if !matches!(action, "identify" | "group") {
        body.value("groupTraits", groups(payload, money).as_deref());
    }
    body.end_content();
    body.value("timestamp", payload.get("timestamp"));
    EncodeResult::Request { path: PATH, body }
}
