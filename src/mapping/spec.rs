//! The members of an event in Segment's spec by type of event, and suggestions for mistyped paths.
//!
//! For warnings only: senders may add members of their own, so a difference is not a fault.

use accoil_mapping::nearest;

/// The types that `decode` gives events.
pub(super) const TYPES: [&str; 6] = ["identify", "group", "track", "page", "screen", "alias"];

/// Events that describe what a user did.
const ACTIONS: &[&str] = &["track", "page", "screen"];
const VIEWS: &[&str] = &["page", "screen"];
const PROFILES: &[&str] = &["identify", "group"];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Object,
    Other,
}

/// A member of an event: its name, the types of event that have it, the kind of its value.
const MEMBERS: [(&str, &[&str], Kind); 24] = [
    ("type", &TYPES, Kind::Text),
    ("messageId", &TYPES, Kind::Text),
    ("userId", &TYPES, Kind::Text),
    ("anonymousId", &TYPES, Kind::Text),
    ("timestamp", &TYPES, Kind::Text),
    ("originalTimestamp", &TYPES, Kind::Text),
    ("sentAt", &TYPES, Kind::Text),
    ("receivedAt", &TYPES, Kind::Text),
    ("context", &TYPES, Kind::Object),
    ("integrations", &TYPES, Kind::Object),
    ("channel", &TYPES, Kind::Text),
    ("version", &TYPES, Kind::Other),
    ("projectId", &TYPES, Kind::Text),
    ("writeKey", &TYPES, Kind::Text),
    ("_metadata", &TYPES, Kind::Object),
    ("event", &["track"], Kind::Text),
    ("properties", ACTIONS, Kind::Object),
    ("name", VIEWS, Kind::Text),
    ("category", VIEWS, Kind::Text),
    ("traits", PROFILES, Kind::Object),
    ("groupId", &["group"], Kind::Text),
    ("previousId", &["alias"], Kind::Text),
    // `decode` adds these to Amplitude's events.
    ("groupTraits", ACTIONS, Kind::Other),
    ("selected", ACTIONS, Kind::Object),
];

/// The usual members of `context`.
const CONTEXT: [&str; 23] = [
    "active",
    "amplitude",
    "app",
    "campaign",
    "channel",
    "device",
    "groupId",
    "groups",
    "ip",
    "library",
    "locale",
    "location",
    "network",
    "os",
    "page",
    "protocols",
    "referrer",
    "screen",
    "sessionId",
    "timezone",
    "traits",
    "userAgent",
    "userAgentData",
];

/// The names of members in other systems.
const ELSEWHERE: [(&str, &str); 11] = [
    ("event_type", "event"),
    ("event_name", "event"),
    ("event_properties", "properties"),
    ("user_properties", "context.traits"),
    ("group_properties", "groupTraits"),
    ("groups", "context.groups"),
    ("user_id", "userId"),
    ("device_id", "anonymousId"),
    ("insert_id", "messageId"),
    ("time", "timestamp"),
    ("event_time", "timestamp"),
];

/// Why a path finds nothing in any event of these types.
#[derive(Debug)]
pub(super) struct Mismatch {
    message: String,
    /// The path that was probably meant.
    meant: Option<String>,
}

impl Mismatch {
    /// Returns the message. The suggested path is written in the same form: `$.event` or `event`.
    pub(super) fn sentence(&self, prefix: &str) -> String {
        let meant = self.meant.as_ref().map(|meant| format!("; did you mean {prefix}{meant}?"));
        format!("{}{}", self.message, meant.unwrap_or_default())
    }
}

pub(super) fn is_member(name: &str) -> bool {
    MEMBERS.iter().any(|(member, ..)| *member == name)
}

/// True if an event has an object with this name.
pub(super) fn is_object(name: &str) -> bool {
    MEMBERS.iter().any(|(member, _, kind)| *member == name && *kind == Kind::Object)
}

/// Returns what is wrong with a path; `None` if an event of one of these types may have it.
pub(super) fn mismatch(names: &[String], types: &[&str]) -> Option<Mismatch> {
    let (root, rest) = names.split_first()?;
    let Some((_, having, kind)) = MEMBERS.iter().find(|(member, ..)| member == root) else {
        return Some(Mismatch { message: format!("no event has `{root}`"), meant: meant(root, rest, types) });
    };
    if !having.iter().any(|one| types.contains(one)) {
        let message = format!("{} has no `{root}`", an_event(types));
        return Some(Mismatch { message, meant: moved(root, rest, types) });
    }
    match (kind, rest.first()) {
        (Kind::Text, Some(below)) if below != "length" => Some(Mismatch {
            message: format!("`{root}` is a text: it has no `{}`", rest.join(".")),
            meant: None,
        }),
        (Kind::Object, Some(below)) if root == "context" && !CONTEXT.contains(&below.as_str()) => {
            let near = nearest(below, CONTEXT.into_iter())?;
            let message = format!("the context of events usually has no `{below}`");
            Some(Mismatch { message, meant: Some(path(&["context", near], rest.get(1..)?)) })
        }
        _ => None,
    }
}

/// Returns the message for a trigger's path. The trigger's parser has already checked for roots that no event has.
pub(super) fn mismatch_of_member(names: &[String], types: &[&str]) -> Option<String> {
    let is_known = names.first().is_some_and(|root| is_member(root));
    mismatch(names, types).filter(|_| is_known).map(|mismatch| mismatch.sentence(""))
}

/// Suggests a path for one whose root no event has.
fn meant(root: &str, rest: &[String], types: &[&str]) -> Option<String> {
    if let Some((_, member)) = ELSEWHERE.iter().find(|(other, _)| *other == root) {
        return Some(path(&[member], rest));
    }
    if CONTEXT.contains(&root) {
        return Some(path(&["context", root], rest));
    }
    let had = MEMBERS.iter().filter(|(_, having, _)| having.iter().any(|one| types.contains(one)));
    if let Some(near) = nearest(root, had.map(|(member, ..)| *member)) {
        return Some(path(&[near], rest));
    }
    let has_any = |some: &[&str]| some.iter().any(|one| types.contains(one));
    let object = if has_any(ACTIONS) { "properties" } else { "traits" };
    let is_name = root.chars().all(|one| one.is_alphanumeric() || one == '_');
    (is_name && has_any(if object == "traits" { PROFILES } else { ACTIONS }))
        .then(|| path(&[object, root], rest))
}

/// Suggests where events of these types have the values that other types have in `root`.
fn moved(root: &str, rest: &[String], types: &[&str]) -> Option<String> {
    let all = |some: &[&str]| types.iter().all(|one| some.contains(one));
    match root {
        "traits" => Some(path(&["context", "traits"], rest)),
        "groupId" => Some("context.groupId".to_owned()),
        "properties" | "selected" if all(PROFILES) => Some(path(&["traits"], rest)),
        "event" if all(VIEWS) => Some("name".to_owned()),
        "name" if all(&["track"]) => Some("event".to_owned()),
        "name" if all(PROFILES) => Some("traits.name".to_owned()),
        "category" if all(&["track"]) => Some("properties.category".to_owned()),
        _ => None,
    }
}

fn path(start: &[&str], rest: &[String]) -> String {
    start.iter().copied().chain(rest.iter().map(String::as_str)).collect::<Vec<_>>().join(".")
}

/// Returns `a track event` or `an identify or group event`, for example.
fn an_event(types: &[&str]) -> String {
    let article = if types.first().is_some_and(|one| one.starts_with(['a', 'i'])) { "an" } else { "a" };
    format!("{article} {} event", types.join(" or "))
}
