//! The content of a derived call as two hashes, so that the relay recognises a repeat of it
//! (`docs/amplitude.md#what-one-event-becomes`).

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// One fact in a derived call: its subject (`key`) and its content, both hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    pub key: u64,
    pub content: u64,
}

impl Fingerprint {
    /// `key` must begin with the destination's name. The hashes are stored on disk, so they must be the same in every
    /// run and release.
    pub fn new(key: &[&[u8]], content: &[&[u8]]) -> Self {
        Self { key: hash(key), content: hash(content) }
    }
}

fn hash(parts: &[&[u8]]) -> u64 {
    let mut hasher = SipHasher13::new();
    for part in parts {
        hasher.write(&part.len().to_le_bytes());
        hasher.write(part);
    }
    hasher.finish()
}
