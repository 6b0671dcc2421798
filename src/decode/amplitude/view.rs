//! Amplitude's default-tracked pages and screens, by their names
//! (`docs/amplitude.md#default-tracked-pages-and-screens`).

use crate::json::{Object, Value};

use crate::decode::names::is_name;
use crate::decode::segment::EventType;

/// Members of the Segment spec's page properties, and where Amplitude's browser SDKs, new and old, have them.
const PAGE: [(&str, &[&str]); 3] = [
    ("title", &["[Amplitude] Page Title", "page_title"]),
    ("url", &["[Amplitude] Page Location", "[Amplitude] Page URL", "page_location", "page_url"]),
    ("path", &["[Amplitude] Page Path", "page_path"]),
];

/// A fragment, Android's part of a screen, may lie outside any named one.
const SCREEN: [&str; 2] = ["[Amplitude] Screen Name", "[Amplitude] Fragment Class"];

/// If the event is a page or screen view: its type and, if it has one, its name. Properties get the spec's
/// members beside Amplitude's own.
pub(super) fn of<'a>(
    event_name: &str,
    properties: &mut Object<'a>,
) -> Option<(EventType, Option<Value<'a>>)> {
    match event_name {
        "[Amplitude] Page Viewed" => Some((EventType::Page, page_title(properties))),
        // The old plugin's name; anybody may use it for an event of their own, without these properties.
        "Page View" if PAGE.iter().any(|(_, keys)| first(properties, keys).is_some()) => {
            Some((EventType::Page, page_title(properties)))
        }
        "[Amplitude] Screen Viewed" | "[Amplitude] Fragment Viewed" => {
            Some((EventType::Screen, first(properties, &SCREEN)))
        }
        _ => None,
    }
}

fn page_title<'a>(properties: &mut Object<'a>) -> Option<Value<'a>> {
    for (member, keys) in PAGE {
        if let Some(value) = first(properties, keys) {
            properties.fill([(member.into(), value)]);
        }
    }
    first(properties, &["title"])
}

fn first<'a>(properties: &Object<'a>, keys: &[&str]) -> Option<Value<'a>> {
    keys.iter().find_map(|key| properties.get(key).filter(|value| is_name(value))).cloned()
}
