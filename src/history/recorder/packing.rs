//! Packs events into a block, in one pass over them: they may be too many for the processor's caches.

use crate::history::block::{self, Compressor, Head, LateAttempt, LinePacker};
use crate::history::bloom;
use crate::history::buffer::BufferedEvent;
use crate::history::store::PackedBlock;

/// Packs blocks. It keeps its memory from block to block, some megabytes.
#[derive(Default)]
pub(super) struct Packer {
    part: Vec<u8>,
    keys: Vec<u64>,
    compressor: Compressor,
}

impl Packer {
    /// Packs a block of these events. `first` is the number of its first line, counted over all blocks.
    pub(super) fn pack<'e>(
        &mut self,
        id: i64,
        first: i64,
        events: impl Iterator<Item = &'e BufferedEvent>,
        late: &[LateAttempt],
    ) -> PackedBlock {
        let Self { part, keys, compressor } = self;
        part.clear();
        keys.clear();
        let mut head = Head::new(id, first, late);
        let (mut lines, mut payloads) = (LinePacker::default(), Vec::new());
        for (index, event) in events.enumerate() {
            let has_new_shape = lines.add(&event.line, part);
            head.add(&event.line, has_new_shape);
            keys.extend(block::keys(&event.line));
            payloads.extend(event.payload.as_deref().map(|payload| (index, payload)));
        }
        lines.finish(part);
        let lines = compressor.pack(part);
        part.clear();
        for (index, payload) in payloads {
            block::write_payload(index, payload, part);
        }
        let payloads = if part.is_empty() { Vec::new() } else { compressor.pack(part) };
        PackedBlock { head, bloom: bloom::filter(keys), lines, late: block::pack_late(late), payloads }
    }
}
