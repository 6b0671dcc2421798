//! A Bloom filter over the users, message ids and groups of a block: 10 bits for each key, 1 % false positives.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

const BITS_PER_KEY: usize = 10;
const PROBES: u64 = 7;

/// What kind of id a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    MessageId,
    Group,
}

/// Returns the hash of an id. It is the same in every file.
pub(super) fn key(kind: Kind, id: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write_u8(kind as u8);
    hasher.write(id.as_bytes());
    hasher.finish()
}

/// Returns the filter over these keys; empty if there are none.
pub(super) fn filter(keys: &[u64]) -> Vec<u8> {
    let mut bits = vec![0; (keys.len() * BITS_PER_KEY).div_ceil(8)];
    for key in keys {
        for place in places(*key, bits.len()) {
            if let Some(byte) = bits.get_mut(place / 8) {
                *byte |= 1 << (place % 8);
            }
        }
    }
    bits
}

/// Returns false only if the key is certainly not in the filter.
pub(super) fn may_have(bits: &[u8], key: u64) -> bool {
    !bits.is_empty()
        && places(key, bits.len())
            .all(|place| bits.get(place / 8).is_some_and(|byte| byte & (1 << (place % 8)) != 0))
}

fn places(key: u64, bytes: usize) -> impl Iterator<Item = usize> {
    let bits = (bytes * 8).max(1) as u64;
    // The step is odd, so that the probes differ.
    let step = key.rotate_left(32) | 1;
    (0..PROBES).map(move |probe| {
        let mixed = key.wrapping_add(probe.wrapping_mul(step));
        usize::try_from(mixed % bits).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_every_key_and_hardly_any_other() {
        let keys: Vec<u64> = (0..5000).map(|number| key(Kind::User, &format!("user-{number}"))).collect();
        let bits = filter(&keys);
        assert_eq!(bits.len(), 6250);
        assert!(keys.iter().all(|key| may_have(&bits, *key)));
        let wrong =
            (5000..15_000).filter(|number| may_have(&bits, key(Kind::User, &format!("user-{number}"))));
        let wrong = wrong.count();
        assert!(wrong < 200, "{wrong} of 10,000");
        assert!(!may_have(&filter(&[]), 1));
        assert_ne!(key(Kind::User, "a"), key(Kind::Group, "a"));
    }
}
