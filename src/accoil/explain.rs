//! Explains what each mapping of a destination does with one event, for `map --explain`.

use serde::Serialize;

use super::Destination;
use crate::event::{Event, SourceKind};
use crate::mapping;
use crate::reasons::Reason;

/// The result of one mapping of one destination for one event.
#[derive(Debug, Serialize)]
pub struct Explanation<'e> {
    pub destination: &'e str,
    #[serde(flatten)]
    pub mapping: mapping::Explanation<'e>,
}

impl Destination {
    /// Returns for every mapping, in order, whether it matched and why, and the result of each field.
    pub fn explain<'e>(&'e self, kind: SourceKind, event: &'e Event<'e>) -> Vec<Explanation<'e>> {
        let wanted = self.is_wanted(&event.value);
        let explain = |mapping: &'e mapping::Mapping| {
            let mut explained = mapping.explain(kind, event, self.dialect, self.strict);
            if !wanted {
                explained.matched = false;
                explained.unmatched = vec![Reason::SkipSwitchedOff.to_string()];
                explained.fields = Vec::new();
            }
            Explanation { destination: &self.name, mapping: explained }
        };
        self.mappings.iter().map(explain).collect()
    }
}
