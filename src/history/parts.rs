//! The parts of a shape, borrowed. They are compared with the known shapes, so that a shape is built only if it is new.

use std::hash::{BuildHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use super::line::{Call, Refusal, Shape};
use crate::accoil::Request;
use crate::facts::cut;

/// The bytes of a call's warnings that are kept.
const MAX_WARNINGS: usize = 512;

/// The parts of a [`Shape`].
pub(super) struct ShapeParts<'p> {
    pub(super) source: &'p Arc<str>,
    pub(super) form: &'p Arc<str>,
    pub(super) kind: &'p str,
    pub(super) name: &'p str,
    pub(super) mappings: u64,
    pub(super) skipped: &'p str,
    pub(super) refusals: &'p [Refusal],
    pub(super) requests: &'p [Request],
}

impl ShapeParts<'_> {
    /// Returns a hash; equal parts have equal hashes.
    pub(super) fn hash(&self, hasher: &impl BuildHasher) -> u64 {
        let mut hasher = hasher.build_hasher();
        (self.source, self.kind, self.name, self.mappings, self.skipped).hash(&mut hasher);
        self.refusals.hash(&mut hasher);
        for request in self.requests {
            (&request.destination, &request.mapping, request.path, &request.warnings).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Returns whether these parts make this shape.
    pub(super) fn make(&self, shape: &Shape) -> bool {
        let is_call = |(call, request): (&Call, &Request)| {
            is_same(&call.destination, &request.destination)
                && is_same(&call.mapping, &request.mapping)
                && call.action == request.action
                && call.path == request.path
                && call.warnings == warnings(request)
                && call.is_derived == is_derived(request)
        };
        is_same(self.source, &shape.source)
            && *self.form == shape.form
            && self.kind == shape.kind
            && self.name == shape.name
            && self.mappings == shape.mappings
            && self.skipped == shape.skipped
            && self.refusals == shape.refusals
            && self.requests.len() == shape.calls.len()
            && shape.calls.iter().zip(self.requests).all(is_call)
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
            form: Arc::clone(self.form),
            kind: self.kind.to_owned(),
            name: self.name.to_owned(),
            mappings: self.mappings,
            skipped: self.skipped.to_owned(),
            refusals: self.refusals.to_vec(),
            calls: self.requests.iter().map(call).collect(),
        }
    }
}

/// Names are shared by all events, so that most comparisons read no text.
fn is_same(one: &Arc<str>, other: &Arc<str>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

fn warnings(request: &Request) -> &str {
    cut(&request.warnings, MAX_WARNINGS)
}

/// Only derived calls have fingerprints.
const fn is_derived(request: &Request) -> bool {
    !request.fingerprints.is_empty()
}
