//! The newest chunks in memory, so that a destination without a backlog never reads the disk.
//!
//! It is bounded by bytes: the oldest chunks are evicted and then read from disk. It has every chunk after
//! `complete_after`, or reports that it does not.

use std::collections::VecDeque;
use std::sync::Arc;

use super::chunk::Chunk;

#[derive(Debug)]
pub(super) struct Tail {
    chunks: VecDeque<Arc<Chunk>>,
    bytes: usize,
    most_bytes: usize,
    /// Every chunk with an id above this one is in memory.
    complete_after: i64,
}

/// Where the chunk after an id is.
#[derive(Debug)]
pub(super) enum Next {
    Chunk(Arc<Chunk>),
    /// There is no such chunk yet.
    None,
    /// It may be on disk.
    OnDisk,
}

impl Tail {
    /// `last` is the newest chunk on disk at the start.
    pub(super) const fn new(most_bytes: usize, last: i64) -> Self {
        Self { chunks: VecDeque::new(), bytes: 0, most_bytes, complete_after: last }
    }

    pub(super) fn push(&mut self, chunk: Arc<Chunk>) {
        self.bytes += chunk.bytes.len();
        self.chunks.push_back(chunk);
        while self.bytes > self.most_bytes
            && let Some(oldest) = self.chunks.pop_front()
        {
            self.bytes -= oldest.bytes.len();
            self.complete_after = oldest.id;
        }
    }

    pub(super) fn after(&self, id: i64) -> Next {
        if id < self.complete_after {
            return Next::OnDisk;
        }
        let place = self.chunks.partition_point(|chunk| chunk.id <= id);
        self.chunks.get(place).map_or(Next::None, |chunk| Next::Chunk(Arc::clone(chunk)))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn evicts_the_oldest_and_sends_late_readers_to_the_disk() {
        let mut tail = Tail::new(25, 3);
        assert!(matches!(tail.after(2), Next::OnDisk));
        assert!(matches!(tail.after(3), Next::None));
        for id in [4, 6, 7] {
            let bytes = Bytes::from_static(&[0; 10]);
            tail.push(Arc::new(Chunk {
                lane: 0,
                id,
                requests: 1,
                settled: vec![],
                layout: 2,
                bytes,
                is_sound: true,
            }));
        }
        assert!(matches!(tail.after(3), Next::OnDisk));
        assert!(matches!(tail.after(4), Next::Chunk(chunk) if chunk.id == 6));
        assert!(matches!(tail.after(5), Next::Chunk(chunk) if chunk.id == 6));
        assert!(matches!(tail.after(7), Next::None));
    }
}
