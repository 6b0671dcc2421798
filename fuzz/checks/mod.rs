//! What must hold for any input: shared by the fuzz targets and by the test that replays their corpus.

mod language;
mod outbox;
mod receive;
mod relay;

pub(crate) use language::{decode, json, liquid, path, trigger};
pub(crate) use outbox::outbox;
pub(crate) use receive::receive;

type Check = fn(&[u8]);

/// Every target by its name.
pub(crate) const TARGETS: [(&str, Check); 7] = [
    ("decode", decode),
    ("json", json),
    ("liquid", liquid),
    ("outbox", outbox),
    ("path", path),
    ("receive", receive),
    ("trigger", trigger),
];
