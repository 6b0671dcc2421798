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
    let probes = Probes::new(bits.len());
    for key in keys {
        for place in probes.of(*key) {
            if let Some(byte) = bits.get_mut(place / 8) {
                *byte |= 1 << (place % 8);
            }
        }
    }
    bits
}

/// Returns false only if the key is certainly not in the filter.
pub(super) fn may_have(bits: &[u8], key: u64) -> bool {
    let is_set = |place: usize| bits.get(place / 8).is_some_and(|byte| byte & (1 << (place % 8)) != 0);
    !bits.is_empty() && Probes::new(bits.len()).of(key).all(is_set)
}

/// Finds the places of a key in a filter of one size.
struct Probes {
    bits: u64,
    /// The remainder of 2^64, because the sums below wrap there.
    wrap: u64,
}

impl Probes {
    fn new(bytes: usize) -> Self {
        let bits = (bytes * 8).max(1) as u64;
        Self { bits, wrap: (u64::MAX % bits + 1) % bits }
    }

    /// The places are `(key + probe * step) % bits`. A division takes long, so all but the first two are avoided.
    fn of(&self, key: u64) -> impl Iterator<Item = usize> + use<> {
        let (bits, wrap) = (self.bits, self.wrap);
        // The step is odd, so that the probes differ.
        let step = key.rotate_left(32) | 1;
        let step_place = step % bits;
        let (mut sum, mut place) = (key, key % bits);
        (0..PROBES).map(move |_| {
            let found = place;
            let (next, wraps) = sum.overflowing_add(step);
            sum = next;
            place += step_place;
            if wraps {
                place += bits - wrap;
            }
            while place >= bits {
                place -= bits;
            }
            usize::try_from(found).unwrap_or_default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files that were written before have their bits at these places.
    #[test]
    fn places_are_those_of_a_plain_division() {
        for bytes in [1, 3, 6250, 40_000] {
            for key in (0..200).map(|number| key(Kind::User, &number.to_string())) {
                let step = key.rotate_left(32) | 1;
                let plain = (0..PROBES).map(|probe| key.wrapping_add(probe.wrapping_mul(step)) % (bytes * 8));
                let found = Probes::new(usize::try_from(bytes).unwrap()).of(key);
                assert!(found.map(|place| place as u64).eq(plain), "{key} in {bytes}");
            }
        }
    }

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
