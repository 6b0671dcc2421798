//! Amplitude's default-tracked pages and screens, recognised by their names
//! (`docs/amplitude.md#default-tracked-pages-and-screens`).

use crate::json::{Object, Value};

use crate::decode::names::is_name;
use crate::decode::segment::EventType;

/// The page properties of Segment's spec, and the names that Amplitude's browser SDKs, new and old, give them.
const PAGE: [(&str, &[&str]); 3] = [
    ("title", &["[Amplitude] Page Title", "page_title"]),
    ("url", &["[Amplitude] Page Location", "[Amplitude] Page URL", "page_location", "page_url"]),
    ("path", &["[Amplitude] Page Path", "page_path"]),
];

/// An Android fragment is a part of a screen and may occur outside any named screen.
const SCREEN: [&str; 2] = ["[Amplitude] Screen Name", "[Amplitude] Fragment Class"];

/// If the event is a page or screen view, returns its type and its name, if it has one. Adds the spec's properties
/// beside Amplitude's own.
pub(super) fn of<'a>(
    event_name: &str,
    properties: &mut Object<'a>,
) -> Option<(EventType, Option<Value<'a>>)> {
    match event_name {
        "[Amplitude] Page Viewed" => Some((EventType::Page, page_title(properties))),
        // The old plugin uses this name. Without these properties, it is somebody's own event with the same name.
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
