//! The subjects of the stream. Each keeps only its newest message, so that the stream is a table: a subject is a key, and an
//! empty message removes it.
//!
//! Nothing personal is ever part of a subject.

use std::fmt::Write as _;

/// The families that every relay follows: all but the chunks.
pub(super) const FOLLOWED: [&str; 10] = ["g", "p", "d", "r", "i", "f", "v", "j", "lease", "relay"];

/// The second word of a record that folds small ones.
const MANY: &str = "many";
/// The second word of the end of a family.
const END: &str = "end";

/// The families of subjects, and the record that each has.
#[derive(Debug, Clone)]
pub(super) struct Subjects {
    stream: String,
}

/// The record that a subject names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// The requests of one commit that are in one lane.
    Chunk {
        lane: u16,
    },
    /// The requests of a chunk that are settled.
    Progress {
        lane: u16,
        chunk: i64,
    },
    /// A call that waits apart from its chunk.
    Parked {
        lane: u16,
        chunk: i64,
        index: u32,
    },
    DeadLetter,
    Reject,
    /// Ids for de-duplication.
    Ids,
    /// Many fingerprints, each with its time: the newest of all records of [`Record::Fingerprints`] up to `folds`.
    ManyFingerprints {
        folds: u64,
    },
    /// Many ids, among them those of all records of [`Record::Ids`] up to `folds`.
    ManyIds {
        folds: u64,
    },
    /// Fingerprints of derived calls that were delivered.
    Fingerprints {
        lane: u16,
    },
    Value {
        name: &'a str,
    },
    Lease {
        lane: u16,
    },
    Relay {
        relay: &'a str,
    },
    Job {
        job: &'a str,
    },
    Meta,
}

impl Subjects {
    pub(super) fn new(stream: &str) -> Self {
        Self { stream: stream.to_owned() }
    }

    pub(super) fn stream(&self) -> &str {
        &self.stream
    }

    pub(super) fn meta(&self) -> String {
        format!("{}.meta", self.stream)
    }

    pub(super) fn chunk(&self, lane: u16, relay: &str, number: u64) -> String {
        format!("{}.c.{lane}.{relay}.{number}", self.stream)
    }

    pub(super) fn chunks(&self, lane: u16) -> String {
        format!("{}.c.{lane}.>", self.stream)
    }

    pub(super) fn all_chunks(&self) -> String {
        format!("{}.c.>", self.stream)
    }

    pub(super) fn progress(&self, lane: u16, chunk: i64) -> String {
        format!("{}.g.{lane}.{chunk}", self.stream)
    }

    pub(super) fn parked(&self, lane: u16, chunk: i64, index: u32) -> String {
        format!("{}.p.{lane}.{chunk}.{index}", self.stream)
    }

    pub(super) fn dead_letter(&self, lane: u16, chunk: i64, index: u32) -> String {
        format!("{}.d.{lane}.{chunk}.{index}", self.stream)
    }

    pub(super) fn reject(&self, relay: &str, number: u64) -> String {
        format!("{}.r.{relay}.{number}", self.stream)
    }

    pub(super) fn ids(&self, relay: &str, number: u64) -> String {
        format!("{}.i.{relay}.{number}", self.stream)
    }

    pub(super) fn many_ids(&self, relay: &str, number: u64, folds: u64) -> String {
        format!("{}.i.{MANY}.{relay}.{number}.{folds}", self.stream)
    }

    pub(super) fn fingerprints(&self, lane: u16, relay: &str, number: u64) -> String {
        format!("{}.f.{lane}.{relay}.{number}", self.stream)
    }

    pub(super) fn many_fingerprints(&self, relay: &str, number: u64, folds: u64) -> String {
        format!("{}.f.{MANY}.{relay}.{number}.{folds}", self.stream)
    }

    pub(super) fn all_ids(&self) -> String {
        format!("{}.i.>", self.stream)
    }

    pub(super) fn all_fingerprints(&self) -> String {
        format!("{}.f.>", self.stream)
    }

    /// Encodes a name as hexadecimal digits, because a subject allows few characters.
    pub(super) fn value(&self, name: &str) -> String {
        let mut subject = format!("{}.v.", self.stream);
        for byte in name.bytes() {
            // Writing to a String cannot fail.
            let _ = write!(subject, "{byte:02x}");
        }
        subject
    }

    pub(super) fn job(&self, job: &str) -> String {
        format!("{}.j.{job}", self.stream)
    }

    pub(super) fn lease(&self, lane: u16) -> String {
        format!("{}.lease.{lane}", self.stream)
    }

    pub(super) fn relay(&self, relay: &str) -> String {
        format!("{}.relay.{relay}", self.stream)
    }

    /// The subjects of a family. The record that all relays share is read with their own.
    pub(super) fn of_family(&self, family: &str) -> Vec<String> {
        let mut subjects = vec![format!("{}.{family}.>", self.stream)];
        if family == "relay" {
            subjects.push(self.meta());
        }
        subjects
    }

    /// An empty record of a family. A relay that starts stores it and then reads the family up to it.
    pub(super) fn end(&self, family: &str) -> String {
        format!("{}.{family}.{END}", self.stream)
    }

    pub(super) fn followed(&self) -> Vec<String> {
        FOLLOWED.iter().flat_map(|family| self.of_family(family)).collect()
    }

    pub(super) fn parse<'a>(&self, subject: &'a str) -> Option<Record<'a>> {
        let name = subject.strip_prefix(&self.stream)?.strip_prefix('.')?;
        let mut words = name.split('.');
        if words.clone().nth(1) == Some(END) {
            return None;
        }
        let family = words.next()?;
        let is_fold = words.clone().next() == Some(MANY);
        let mut next = || words.next();
        Some(match family {
            "c" => Record::Chunk { lane: next()?.parse().ok()? },
            "g" => Record::Progress { lane: next()?.parse().ok()?, chunk: next()?.parse().ok()? },
            "p" => Record::Parked {
                lane: next()?.parse().ok()?,
                chunk: next()?.parse().ok()?,
                index: next()?.parse().ok()?,
            },
            "d" => Record::DeadLetter,
            "r" => Record::Reject,
            "i" if is_fold => Record::ManyIds { folds: words.nth(3)?.parse().ok()? },
            "i" => Record::Ids,
            "f" if is_fold => Record::ManyFingerprints { folds: words.nth(3)?.parse().ok()? },
            "f" => Record::Fingerprints { lane: next()?.parse().ok()? },
            "v" => Record::Value { name: next()? },
            "j" => Record::Job { job: next()? },
            "lease" => Record::Lease { lane: next()?.parse().ok()? },
            "meta" => Record::Meta,
            "relay" => Record::Relay { relay: next()? },
            _ => return None,
        })
    }
}

/// Reads a name back from a subject.
pub(super) fn value_name(hex: &str) -> Option<String> {
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_read_as_it_was_written() {
        let subjects = Subjects::new("relay-test");
        for (subject, record) in [
            (subjects.chunk(3, "ab", 7), Record::Chunk { lane: 3 }),
            (subjects.progress(3, 9), Record::Progress { lane: 3, chunk: 9 }),
            (subjects.parked(3, 9, 2), Record::Parked { lane: 3, chunk: 9, index: 2 }),
            (subjects.dead_letter(3, 9, 2), Record::DeadLetter),
            (subjects.reject("ab", 1), Record::Reject),
            (subjects.ids("ab", 1), Record::Ids),
            (subjects.fingerprints(2, "ab", 1), Record::Fingerprints { lane: 2 }),
            (subjects.many_fingerprints("ab", 1, 90), Record::ManyFingerprints { folds: 90 }),
            (subjects.many_ids("ab", 1, 90), Record::ManyIds { folds: 90 }),
            (subjects.lease(255), Record::Lease { lane: 255 }),
            (subjects.relay("ab"), Record::Relay { relay: "ab" }),
        ] {
            assert_eq!(subjects.parse(&subject), Some(record), "{subject}");
        }
        for family in FOLLOWED {
            assert_eq!(subjects.parse(&subjects.end(family)), None, "{family}");
        }
        for other in ["relay-test", "relay-test.x.1", "relay-testc.1.a.1", "relay-test.c.70000.a.1"] {
            assert_eq!(subjects.parse(other), None, "{other}");
        }
        let name = "pause:näme.*";
        let subject = subjects.value(name);
        let Some(Record::Value { name: hex }) = subjects.parse(&subject) else { panic!("{subject}") };
        assert_eq!(value_name(hex).as_deref(), Some(name));
    }
}
