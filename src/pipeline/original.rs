//! Removes the sender's write key from the originals that the relay stores: originals are listed, exported and backed up.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use memchr::memmem;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::Deserializer;
use serde_json::value::RawValue;

use crate::json;

/// The members that contain a key.
const MEMBERS: [&str; 2] = ["writeKey", "api_key"];
/// A shorter key may occur in an event by chance.
const MIN_KEY: usize = 8;
const HIDDEN: &[u8] = b"[write key]";

/// Removes one source's write key from the events of one body.
pub(super) struct KeyRemover<'k> {
    key: Option<&'k str>,
    is_needed: bool,
}

impl<'k> KeyRemover<'k> {
    /// `key` is the source's key. The whole body is searched once, so that most events cost nothing more.
    pub(super) fn new(key: Option<&'k SecretString>, body: &[u8]) -> Self {
        let key = key.map(SecretString::expose_secret);
        let is_there = |text: &str| memmem::find(body, text.as_bytes()).is_some();
        let is_needed = key.map_or_else(|| MEMBERS.iter().any(|member| is_there(member)), is_there);
        Self { key, is_needed }
    }

    /// Returns the event as it is stored.
    pub(super) fn remove(&self, original: Bytes) -> Bytes {
        if !self.is_needed {
            return original;
        }
        let without = std::str::from_utf8(&original).ok().and_then(without_members);
        let kept = without.map_or(original, Bytes::from);
        match self.key {
            Some(key) if key.len() >= MIN_KEY => without_text(&kept, key.as_bytes()),
            _ => kept,
        }
    }
}

/// Returns the object without the members that contain a key; `None` if it has no such member.
fn without_members(object: &str) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(object.len());
    let mut found = false;
    Deserializer::from_str(object).deserialize_map(Copier { kept: &mut kept, found: &mut found }).ok()?;
    kept.push(b'}');
    found.then_some(kept)
}

struct Copier<'c> {
    kept: &'c mut Vec<u8>,
    found: &'c mut bool,
}

impl<'a> Visitor<'a> for Copier<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut access: A) -> Result<(), A::Error> {
        let mut before = b'{';
        while let Some(key) = access.next_key::<Cow<'a, str>>()? {
            let value = access.next_value::<&RawValue>()?;
            if MEMBERS.contains(&&*key) {
                *self.found = true;
                continue;
            }
            self.kept.push(before);
            before = b',';
            json::write_string(&key, self.kept);
            self.kept.push(b':');
            self.kept.extend_from_slice(value.get().as_bytes());
        }
        if before == b'{' {
            self.kept.push(before);
        }
        Ok(())
    }
}

fn without_text(text: &Bytes, key: &[u8]) -> Bytes {
    let mut places = memmem::find_iter(text, key).peekable();
    if places.peek().is_none() {
        return text.clone();
    }
    let (mut kept, mut from) = (Vec::with_capacity(text.len()), 0);
    for place in places {
        kept.extend_from_slice(text.get(from..place).unwrap_or_default());
        kept.extend_from_slice(HIDDEN);
        from = place + key.len();
    }
    kept.extend_from_slice(text.get(from..).unwrap_or_default());
    Bytes::from(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_removed_and_all_else_is_unchanged() {
        let key = SecretString::from("a-write-key");
        for (original, expected) in [
            (r#"{"writeKey":"a-write-key","n": 1.50, "s":"\u00e9"}"#, r#"{"n":1.50,"s":"\u00e9"}"#),
            (r#"{"a":[1, 2],"api_key":"a-write-key"}"#, r#"{"a":[1, 2]}"#),
            (r#"{"api_key":"a-write-key"}"#, "{}"),
            (r#"{"a":"a-write-key!"}"#, r#"{"a":"[write key]!"}"#),
            (r#"{"writeKey":"a-write-key","#, r#"{"writeKey":"[write key]","#),
            (r#"{"a":1}"#, r#"{"a":1}"#),
        ] {
            let remover = KeyRemover::new(Some(&key), original.as_bytes());
            assert_eq!(remover.remove(Bytes::from_static(original.as_bytes())), expected, "{original}");
        }
        let open = KeyRemover::new(None, br#"{"writeKey":"any"}"#);
        assert_eq!(open.remove(Bytes::from_static(br#"{"writeKey":"any","a":1}"#)), r#"{"a":1}"#);
    }
}
