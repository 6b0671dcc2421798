//! Reads the form posts of Amplitude's older APIs: a key and JSON as text, URL-encoded, multipart, in the query or in
//! a JSON object.
//!
//! The names differ by API and age: `api_key` or `client`; `identification`, `event` or `e`.

use std::borrow::Cow;
use std::convert::Infallible;

use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::request::Parts;

use super::body::Text;
use crate::decode;
use crate::json::{Object, Value};

/// The deepest nesting of a JSON object with the fields. The content of the fields has its own limit.
const MAX_DEPTH: usize = 64;
/// The most fields of a form that are read.
const MAX_FIELDS: usize = 100;

/// The values of the form's fields.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) key: Option<String>,
    /// The events, users or groups: JSON as text.
    pub(super) content: Option<String>,
    /// When the sender posted it, according to its own clock.
    uploaded_at: Option<String>,
}

impl Fields {
    pub(super) async fn read(parts: &Parts, text: &Text) -> Self {
        let mut fields = Self::default();
        fields.take_encoded(parts.uri.query().unwrap_or_default());
        let content_type =
            parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let body = text.as_str();
        if let Ok(boundary) = multer::parse_boundary(content_type) {
            fields.take_multipart(text, boundary).await;
        } else if is_json(body) {
            fields.take_json(body);
        } else {
            fields.take_encoded(body);
        }
        fields
    }

    fn take_encoded(&mut self, form: &str) {
        for (name, value) in form_urlencoded::parse(form.as_bytes()).take(MAX_FIELDS) {
            self.take(&name, value);
        }
    }

    /// A part that cannot be read ends the form; the parts before it are used.
    async fn take_multipart(&mut self, text: &Text, boundary: String) {
        let body = text.bytes().clone();
        let body = stream::once(async move { Ok::<_, Infallible>(body) });
        let mut parts = multer::Multipart::new(body, boundary);
        for _ in 0..MAX_FIELDS {
            let Ok(Some(part)) = parts.next_field().await else { return };
            let name = part.name().unwrap_or_default().to_owned();
            let Ok(value) = part.text().await else { return };
            self.take(&name, Cow::Owned(value));
        }
    }

    fn take_json(&mut self, body: &str) {
        self.key = self.key.take().or_else(|| decode::body_key(body).map(Cow::into_owned));
        let Ok((value, _)) = Value::parse_lenient(body, MAX_DEPTH) else { return };
        for (name, value) in value.as_object().into_iter().flat_map(Object::iter) {
            match value {
                Value::String(text) => self.take(name, Cow::Borrowed(text)),
                value => self.take(name, Cow::Owned(value.to_string())),
            }
        }
    }

    fn take(&mut self, name: &str, value: Cow<'_, str>) {
        match name {
            "api_key" | "client" => self.key = Some(value.into_owned()),
            "identification" | "event" | "e" => self.content = Some(value.into_owned()),
            "upload_time" => self.uploaded_at = Some(value.into_owned()),
            _ => {}
        }
    }

    /// Returns the events in the form of an upload to today's API.
    pub(super) fn to_upload(&self) -> Option<String> {
        let events = self.content.as_deref()?.trim();
        let list = if events.starts_with('[') { Cow::Borrowed(events) } else { format!("[{events}]").into() };
        let is_number = |time: &&String| !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit());
        let time = self.uploaded_at.as_ref().filter(is_number).map_or("null", String::as_str);
        Some(format!("{{\"events\":{list},\"client_upload_time\":{time}}}"))
    }
}

/// Returns whether the body is a JSON object, whatever its content type says.
pub(super) fn is_json(body: &str) -> bool {
    body.trim_start().starts_with('{')
}
