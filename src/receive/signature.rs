//! Verifies the `X-Signature` of Segment's webhook posts: lowercase hex HMAC-SHA1
//! (`docs/segment.md#webhook-signatures`).
//!
//! It covers the raw body; or the raw bytes of the first array element, which is what Segment signs today; or the
//! event inside the Extensible Webhook's wrapper. A body that was serialised again would never verify.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use crate::decode;

/// Returns whether the signature matches the body by any of the schemes. Each comparison takes constant time.
pub(super) fn is_valid(secret: &str, body: &str, signature: &str) -> bool {
    let Some(signature) = from_hex(signature.trim()) else { return false };
    let first = decode::first_element(body);
    let candidates = [Some(body), first, wrapped(first.unwrap_or(body))];
    candidates.into_iter().flatten().any(|text| is_signature_of(secret, text, &signature))
}

/// Returns the event inside `{"json": …}` if there is nothing else: other members, or a second `json`, were not
/// signed.
fn wrapped(element: &str) -> Option<&str> {
    let inner = decode::unwrapped(element)?;
    let end = (inner.as_ptr().addr() + inner.len()).checked_sub(element.as_ptr().addr())?;
    (element.get(end..)?.trim() == "}").then_some(inner)
}

/// The signature of a body by this secret, as Segment makes it of an object.
pub(crate) fn sign(secret: &str, body: &str) -> String {
    let hmac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).map(|hmac| hmac.chain_update(body.as_bytes()));
    let bytes = hmac.map(|hmac| hmac.finalize().into_bytes()).unwrap_or_default();
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn is_signature_of(secret: &str, text: &str, signature: &[u8]) -> bool {
    Hmac::<Sha1>::new_from_slice(secret.as_bytes())
        .is_ok_and(|hmac| hmac.chain_update(text.as_bytes()).verify_slice(signature).is_ok())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 40 || !text.is_ascii() {
        return None;
    }
    (0..40).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"type":"track","event":"Report Created","userId":"u1","properties":{"n":1.5}}"#;

    /// The examples of `docs/segment.md#webhook-signatures`.
    #[test]
    fn the_known_vectors_verify_by_their_schemes() {
        let batch = format!("[{EVENT},{{\"type\":\"page\"}}]");
        let wrapped = format!("[{{\"json\":{EVENT}}}]");
        for (body, signature) in [
            (EVENT, "06b53c7ddd2f0bf97c53339dfc0c02b425250aed"),
            (batch.as_str(), "06b53c7ddd2f0bf97c53339dfc0c02b425250aed"),
            (batch.as_str(), "c1929b8a8bf03fe25f293c8da721d989caaf029c"),
            (wrapped.as_str(), "06b53c7ddd2f0bf97c53339dfc0c02b425250aed"),
            ("{\"name\":\"Zoë\"}", "DDB9104798F5C035650C6A8C89B4B255B8364711"),
        ] {
            assert!(is_valid("abc123", body, signature), "{body}");
            assert!(!is_valid("abc124", body, signature), "{body}");
        }
        assert!(!is_valid("abc123", EVENT, "06b5"));
        assert!(!is_valid(
            "abc123",
            &EVENT.replace("1.5", "1.50"),
            "06b53c7ddd2f0bf97c53339dfc0c02b425250aed"
        ));
    }
}
