//! The fields by which an event is listed and searched (type, name, user, group, ids), read from the event as the sender wrote it.
//!
//! It reads the text once and builds no values. Only the history thread uses it, and no decision depends on it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::decode::Form;
use crate::facts::{MAX_BYTES, cut};

/// A field is empty if the event does not have it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields<'e> {
    pub(super) kind: Cow<'e, str>,
    pub(super) name: Cow<'e, str>,
    pub(super) user: Cow<'e, str>,
    pub(super) message_id: Cow<'e, str>,
    pub(super) group: Cow<'e, str>,
}

impl<'e> Fields<'e> {
    /// Reads the fields. A text that is not a JSON object has none.
    pub(super) fn of(original: &'e [u8], form: Form) -> Self {
        let mut members: Members<'e> = serde_json::from_slice(original).unwrap_or_default();
        if let Some(inner) = members.inner.take() {
            members = *inner;
        }
        let mut kind = members.kind;
        if kind.is_empty() {
            kind = Cow::Borrowed(kind_of(form));
        }
        let name = match &*kind {
            "page" | "screen" => first([members.name, members.category, kind.clone()]),
            "track" => first([members.event, kind.clone()]),
            _ => kind.clone(),
        };
        Self { kind, name, user: members.user, message_id: members.message_id, group: members.group }
    }
}

/// Returns the type that a form implies.
fn kind_of(form: Form) -> &'static str {
    match form {
        Form::SegmentCall(_) => form.name().strip_prefix("segment ").unwrap_or_default(),
        Form::AmplitudeStream | Form::AmplitudeUpload => "track",
        Form::AmplitudeIdentify => "identify",
        Form::AmplitudeGroupIdentify => "group",
        Form::SegmentWebhook | Form::SegmentBatch => "",
    }
}

fn first<const N: usize>(texts: [Cow<'_, str>; N]) -> Cow<'_, str> {
    texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

#[derive(Default)]
struct Members<'e> {
    kind: Cow<'e, str>,
    event: Cow<'e, str>,
    name: Cow<'e, str>,
    category: Cow<'e, str>,
    user: Cow<'e, str>,
    message_id: Cow<'e, str>,
    group: Cow<'e, str>,
    /// The event in an Extensible Webhook's wrapper.
    inner: Option<Box<Self>>,
}

impl<'de: 'e, 'e> Deserialize<'de> for Members<'e> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        while let Some(key) = access.next_key::<Text<'de>>()? {
            match &*key.0 {
                "type" => members.kind = access.next_value::<Text<'de>>()?.0,
                "event" | "event_type" => members.event = access.next_value::<Text<'de>>()?.0,
                "name" => members.name = access.next_value::<Text<'de>>()?.0,
                "category" => members.category = access.next_value::<Text<'de>>()?.0,
                "userId" | "user_id" => members.user = access.next_value::<Text<'de>>()?.0,
                "messageId" | "insert_id" => members.message_id = access.next_value::<Text<'de>>()?.0,
                "groupId" => members.group = access.next_value::<Text<'de>>()?.0,
                "context" if members.group.is_empty() => {
                    members.group = access.next_value::<Context<'de>>()?.0;
                }
                "groups" if members.group.is_empty() => members.group = access.next_value::<Groups<'de>>()?.0,
                "json" => members.inner = Some(Box::new(access.next_value()?)),
                _ => drop(access.next_value::<IgnoredAny>()?),
            }
        }
        Ok(members)
    }
}

/// A text, or a whole number as text, cut to the limit; empty for anything else.
struct Text<'e>(Cow<'e, str>);

impl<'de: 'e, 'e> Deserialize<'de> for Text<'e> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Text)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(cut(text, MAX_BYTES)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(cut(text, MAX_BYTES).to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(number.to_string()))
    }

    fn visit_f64<E>(self, _number: f64) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }

    fn visit_bool<E>(self, _bool: bool) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        while access.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Cow::Borrowed(""))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Cow::Borrowed(""))
    }
}

/// `context.groupId`
struct Context<'e>(Cow<'e, str>);

impl<'de: 'e, 'e> Deserialize<'de> for Context<'e> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MemberVisitor(Some("groupId"))).map(Context)
    }
}

/// The first group of Amplitude's `groups`: `{"account": "a1"}` or `{"account": ["a1"]}`.
struct Groups<'e>(Cow<'e, str>);

impl<'de: 'e, 'e> Deserialize<'de> for Groups<'e> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MemberVisitor(None)).map(Groups)
    }
}

/// Reads one text member of an object, or its first; of a list, the first text.
struct MemberVisitor(Option<&'static str>);

impl<'de> Visitor<'de> for MemberVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut found = Cow::Borrowed("");
        while let Some(key) = access.next_key::<Text<'de>>()? {
            if found.is_empty() && self.0.is_none_or(|wanted| wanted == key.0) {
                found = access.next_value::<Groups<'de>>()?.0;
            } else {
                access.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let first = access.next_element::<Text<'de>>()?.map(|text| text.0);
        while access.next_element::<IgnoredAny>()?.is_some() {}
        // A list has no member with a name.
        Ok(first.filter(|_| self.0.is_none()).unwrap_or_default())
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        TextVisitor.visit_borrowed_str(text)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        TextVisitor.visit_str(text)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
        TextVisitor.visit_u64(number)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Self::Value, E> {
        TextVisitor.visit_i64(number)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
        TextVisitor.visit_f64(number)
    }

    fn visit_bool<E: serde::de::Error>(self, bool: bool) -> Result<Self::Value, E> {
        TextVisitor.visit_bool(bool)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        TextVisitor.visit_unit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Anonymous, Context, EventType, Limits, SourceSettings, decode_item};
    use crate::pipeline;

    /// An event is listed alike whether the pipeline read its fields or the history.
    #[test]
    fn a_title_has_the_fields_of_the_text() {
        let source = SourceSettings::new(Anonymous::Reject);
        let limits = Limits { event_bytes: 9_999, events: 9, depth: 9 };
        let context =
            Context { received_at: chrono::Utc::now(), source: &source, limits, is_text_repaired: false };
        let (segment, amplitude) = (Form::SegmentBatch, Form::AmplitudeUpload);
        let long = format!(r#"{{"type":"track","event":"{}","userId":"u"}}"#, "é".repeat(300));
        for (form, original) in [
            (
                segment,
                r#"{"type":"track","event":"A\u00e9","userId":"u","messageId":"m","context":{"groupId":"g"}}"#,
            ),
            (segment, r#"{"type":"page","category":"Docs","userId":"u","messageId":"m"}"#),
            (segment, r#"{"type":"screen","userId":"u"}"#),
            (segment, r#"{"type":"identify","userId":"u","name":"x"}"#),
            (segment, r#"{"type":"group","userId":"u","groupId":"g"}"#),
            (Form::SegmentWebhook, r#"{"json":{"type":"track","event":"E","userId":"u","messageId":"m"}}"#),
            (Form::SegmentCall(EventType::Track), r#"{"event":"E","userId":"u"}"#),
            (segment, &long),
            (amplitude, r#"{"event_type":"Play","user_id":"user3","insert_id":"i1","device_id":"d"}"#),
            (amplitude, r#"{"event_type":"Play","user_id":"user3","groups":{"account":["a1"]}}"#),
        ] {
            let item = decode_item(form, original, None, context);
            let title = pipeline::title(&item).expect("the event is accepted");
            let fields = Fields::of(original.as_bytes(), form);
            assert_eq!(
                [title.kind, &title.name, &title.group],
                [&*fields.kind, &fields.name, &fields.group],
                "{original}"
            );
            let message_id = Some(&*title.message_id).filter(|id| !id.is_empty());
            let message_id = message_id.or(item.message_id.as_deref()).unwrap_or_default();
            assert_eq!(message_id, fields.message_id, "{original}");
        }
    }

    #[test]
    fn fields_of_every_kind_of_sender() {
        for (form, original, expected) in [
            (
                Form::SegmentBatch,
                r#"{"type":"track","event":"Signed Up","userId":"u1","messageId":"m1","context":{"groupId":"g"}}"#,
                ["track", "Signed Up", "u1", "m1", "g"],
            ),
            (
                Form::SegmentCall(EventType::Track),
                r#"{"event":"A\u00e9","userId":7}"#,
                ["track", "Aé", "7", "", ""],
            ),
            (
                Form::SegmentBatch,
                r#"{"type":"page","name":"Home","userId":null}"#,
                ["page", "Home", "", "", ""],
            ),
            (
                Form::SegmentWebhook,
                r#"{"json":{"type":"group","groupId":"g1"}}"#,
                ["group", "group", "", "", "g1"],
            ),
            (
                Form::AmplitudeUpload,
                r#"{"event_type":"Play","user_id":"u3","insert_id":"i1","groups":{"account":["a1","a2"]}}"#,
                ["track", "Play", "u3", "i1", "a1"],
            ),
            (
                Form::SegmentBatch,
                r#"{"userId":{"no":"id"},"context":[1],"groups":1.5}"#,
                ["", "", "", "", ""],
            ),
            (Form::SegmentBatch, r#"{"type":"track","#, ["", "", "", "", ""]),
            (Form::AmplitudeGroupIdentify, "[]", ["group", "group", "", "", ""]),
        ] {
            let Fields { kind, name, user, message_id, group } = Fields::of(original.as_bytes(), form);
            assert_eq!([&*kind, &*name, &*user, &*message_id, &*group], expected, "{original}");
        }
        let long = format!(r#"{{"userId":"{}"}}"#, "é".repeat(300));
        assert_eq!(Fields::of(long.as_bytes(), Form::SegmentBatch).user.len(), 256);
    }
}
