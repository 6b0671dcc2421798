//! The parts of a shape, borrowed. The known shapes are found by the hash of their parts, so that a shape is built only if it is new.

use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::line::{Call, Refusal, Shape};
use crate::accoil::Request;
use crate::facts::cut;

/// The bytes of a call's warnings that are kept.
const MAX_WARNINGS: usize = 512;

/// The parts of a [`Shape`].
pub(super) struct ShapeParts<'p> {
    pub(super) source: &'p Arc<str>,
    pub(super) form: &'static str,
    pub(super) kind: &'p str,
    pub(super) name: &'p str,
    pub(super) mappings: u64,
    pub(super) skipped: &'p str,
    pub(super) refusals: &'p [Refusal],
    pub(super) requests: &'p [Request],
}

impl ShapeParts<'_> {
    /// Returns a hash of 128 bits. Parts with the same hash are the same: no sender knows the seeds, and that two differ by chance is
    /// less likely than a fault of the memory.
    pub(super) fn hash(&self, hashers: &[RandomState; 2]) -> u128 {
        let [one, other] = hashers.each_ref().map(|hasher| self.hash_by(hasher));
        (u128::from(one) << 64) | u128::from(other)
    }

    fn hash_by(&self, hasher: &RandomState) -> u64 {
        let mut hasher = hasher.build_hasher();
        (self.source, self.form, self.kind, self.name, self.mappings, self.skipped).hash(&mut hasher);
        self.refusals.hash(&mut hasher);
        for request in self.requests {
            (&request.destination, &request.mapping, request.action, request.path).hash(&mut hasher);
            (warnings(request), is_derived(request)).hash(&mut hasher);
        }
        hasher.finish()
    }

    pub(super) fn to_shape(&self) -> Shape {
        let call = |request: &Request| Call {
            destination: Arc::clone(&request.destination),
            mapping: Arc::clone(&request.mapping),
            action: request.action.to_owned(),
            path: request.path.to_owned(),
            warnings: warnings(request).to_owned(),
            is_derived: is_derived(request),
        };
        Shape {
            source: Arc::clone(self.source),
            form: Arc::from(self.form),
            kind: self.kind.to_owned(),
            name: self.name.to_owned(),
            mappings: self.mappings,
            skipped: self.skipped.to_owned(),
            refusals: self.refusals.to_vec(),
            calls: self.requests.iter().map(call).collect(),
        }
    }
}

fn warnings(request: &Request) -> &str {
    cut(&request.warnings, MAX_WARNINGS)
}

/// Only derived calls have fingerprints.
const fn is_derived(request: &Request) -> bool {
    !request.fingerprints.is_empty()
}
