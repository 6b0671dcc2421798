//! The document of the destinations with their mappings: one text, from which the same mappings can be compiled again.
//!
//! The history keeps each version of it, so that an event can be explained by the mappings that were in force when it came.

use std::hash::Hasher as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::accoil::{Destination, Money};
use crate::event::Dialect;
use crate::fault::Faults;
use crate::mapping::{Mappings, SourceFile};

/// The document.
#[derive(Serialize, Deserialize)]
struct Document {
    destinations: Vec<Kept>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    name: String,
    api: String,
    strict: bool,
    integration: String,
    mrr_unit: String,
    mappings: Vec<SourceFile>,
}

/// Why no mappings can be compiled from a document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error("it is not a document of mappings: {0}")]
    Json(#[from] serde_json::Error),
    #[error("its destination {name}: {faults}")]
    Mappings { name: String, faults: Faults },
}

/// Returns the document of these destinations, and its version: a hash of the document, never 0.
pub(super) fn write(destinations: &[Arc<Destination>]) -> (Arc<str>, u64) {
    let kept = |destination: &Arc<Destination>| Kept {
        name: destination.name.to_string(),
        api: destination.dialect.name().to_owned(),
        strict: destination.strict,
        integration: destination.integration.clone(),
        mrr_unit: if destination.money == Money::Cents { "cents" } else { "dollars" }.to_owned(),
        mappings: destination.mappings.files().to_vec(),
    };
    let document = Document { destinations: destinations.iter().map(kept).collect() };
    // This cannot fail, because all values are text.
    let text = serde_json::to_string(&document).unwrap_or_default();
    let mut hasher = SipHasher13::new();
    hasher.write(text.as_bytes());
    (text.into(), hasher.finish().max(1))
}

/// Returns the destinations of a document.
pub(super) fn read(document: &str) -> Result<Vec<Arc<Destination>>, DocumentError> {
    let document: Document = serde_json::from_str(document)?;
    let destination = |kept: Kept| {
        let mappings = Mappings::of_files(kept.mappings).map_err(|faults| DocumentError::Mappings {
            name: kept.name.clone(),
            faults: Faults::new(faults),
        })?;
        Ok(Arc::new(Destination {
            name: Arc::from(kept.name),
            dialect: if kept.api == Dialect::Segment.name() { Dialect::Segment } else { Dialect::V2 },
            strict: kept.strict,
            integration: kept.integration,
            money: if kept.mrr_unit == "dollars" { Money::Dollars } else { Money::Cents },
            mappings,
        }))
    };
    document.destinations.into_iter().map(destination).collect()
}
