//! Imports old events: each goes through the same stages as a post of its source, and waits behind the live stream.
//!
//! An import is a job of the outbox. The events of a step and the job's progress are stored in one commit, so a kill neither loses nor
//! repeats an event. The process that has the outbox open runs the steps: the relay, or the command if no relay runs.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::accoil::{Plan, Refusal};
use crate::config::Limits;
use crate::decode::{self, BodyError, Form};
use crate::event::SourceKind;
use crate::event_id::{EventId, NewIds};
use crate::facts::SkippedEvent;
use crate::history;
use crate::history::archive::ArchivedEvent;
use crate::outbox::{
    Accepted, ChangeError, Job, JobState, JobStep, NewJob, Outbox, ReadError, Reject, Submission,
};
use crate::pipeline::{self, Collector, Pipeline, Planned, Source, Sources};
use crate::reasons::Reason;

pub(super) const IMPORT: &str = "import";
/// The most jobs that are searched for an earlier import.
const MAX_JOBS: usize = 10_000;
/// The most events of one step.
pub const MAX_STEP: usize = 500;
/// An unreadable event is kept as a reject up to this many bytes.
const MAX_UNREADABLE: usize = 32 * 1024;

/// A file to import. The same file has the same values, wherever it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportFile {
    /// The name of the source that its events count as received from.
    pub source: String,
    /// The file's name, for people.
    pub name: String,
    /// The number of its events.
    pub events: u64,
    /// A checksum of the file.
    pub checksum: String,
}

/// An import that begins or continues.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Begun {
    pub job: i64,
    /// Events that are imported already.
    pub after: u64,
}

/// The next events of a file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportStep {
    /// Events before these.
    pub after: u64,
    pub events: Vec<ImportEvent>,
    pub is_last: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportEvent {
    /// Its line in the file.
    pub line: u64,
    /// One event, or a body of several, as the source posts it; or a line of the archive. Empty if it could not be read.
    pub text: String,
}

/// What became of the events of a step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Imported {
    pub accepted: u64,
    pub duplicates: u64,
    pub skipped: u64,
    pub rejected: u64,
    /// Why events were rejected.
    pub reasons: Vec<ImportReason>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportReason {
    pub line: u64,
    pub reason: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("there is no source {name}; the sources are {known}")]
    Source { name: String, known: String },
    #[error("job {id} imported this file already, on {at}; --again imports it once more")]
    Again { id: i64, at: DateTime<Utc> },
    #[error("there is no import {0}")]
    Unknown(i64),
    #[error("import {id} is {state}: it was changed by somebody; start the command again to continue it")]
    Stopped { id: i64, state: &'static str },
    #[error("import {id} has reached event {found}, not {after}: another command imports the same file")]
    Place { id: i64, after: u64, found: u64 },
    #[error("at most {MAX_STEP} events are one step")]
    TooMany,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Imports into one outbox. Clones are the same.
#[derive(Clone)]
pub struct Importer(Arc<Inner>);

struct Inner {
    outbox: Outbox,
    sources: Box<dyn Fn() -> Arc<Sources> + Send + Sync>,
    ids: Box<dyn Fn(DateTime<Utc>, usize) -> NewIds + Send + Sync>,
    limits: Limits,
    /// Held during a step, so that two commands cannot import the same events.
    stepping: Mutex<()>,
}

impl Importer {
    /// `ids` reserves the ids of new events.
    pub fn new(
        outbox: Outbox,
        sources: impl Fn() -> Arc<Sources> + Send + Sync + 'static,
        ids: impl Fn(DateTime<Utc>, usize) -> NewIds + Send + Sync + 'static,
        limits: Limits,
    ) -> Self {
        let (sources, ids, stepping) = (Box::new(sources), Box::new(ids), Mutex::default());
        Self(Arc::new(Inner { outbox, sources, ids, limits, stepping }))
    }

    /// Creates the job of an import, or continues one of the same file that was interrupted. `again` allows a file that was imported
    /// before.
    pub async fn begin(&self, file: &ImportFile, again: bool, by: &str) -> Result<Begun, ImportError> {
        let _one = self.0.stepping.lock().await;
        self.source(&file.source)?;
        let outbox = &self.0.outbox;
        let is_same = |job: &Job| {
            let known: Option<ImportFile> = serde_json::from_str(&job.order).ok();
            job.kind == IMPORT && known.is_some_and(|known| is_same_file(&known, file))
        };
        let known = outbox.jobs(MAX_JOBS).await?.into_iter().filter(is_same);
        let known: Vec<Job> = known.filter(|job| job.state != JobState::Cancelled).collect();
        if let Some(job) = known.iter().find(|job| job.state != JobState::Done) {
            let stopped = &[JobState::Paused, JobState::Failed];
            outbox.set_job_state(job.id, stopped, JobState::Running, "").await?;
            return Ok(Begun { job: job.id, after: unsigned(job.cursor) });
        }
        if let Some(job) = known.first().filter(|_| !again) {
            return Err(ImportError::Again { id: job.id, at: job.at });
        }
        let order = serde_json::to_string(file).unwrap_or_default();
        let up_to = i64::try_from(file.events).unwrap_or(i64::MAX);
        let new = NewJob { kind: IMPORT, order, up_to, expect: file.events, by: by.to_owned() };
        Ok(Begun { job: outbox.create_job(new).await?, after: 0 })
    }

    /// Stores the next events of an import, with its progress.
    pub async fn step(&self, id: i64, step: ImportStep) -> Result<Imported, ImportError> {
        let _one = self.0.stepping.lock().await;
        let job =
            self.0.outbox.job(id).await?.filter(|job| job.kind == IMPORT).ok_or(ImportError::Unknown(id))?;
        let stopped = |state: JobState| ImportError::Stopped { id, state: state.name() };
        if job.state != JobState::Running {
            return Err(stopped(job.state));
        }
        let (after, found) = (step.after, unsigned(job.cursor));
        if after != found {
            return Err(ImportError::Place { id, after, found });
        }
        if step.events.len() > MAX_STEP {
            return Err(ImportError::TooMany);
        }
        let file: ImportFile = serde_json::from_str(&job.order).map_err(|_| ImportError::Unknown(id))?;
        let source = self.source(&file.source)?;
        let from = job.cursor;
        let cursor = from + i64::try_from(step.events.len()).unwrap_or(i64::MAX);
        let is_last = step.is_last;
        let importer = self.clone();
        let plan = move || importer.plan(&source, &step.events);
        let (made, failed, mut imported) =
            tokio::task::spawn_blocking(plan).await.map_err(|_| ReadError::Closed)?;
        let made = made.into_iter().map(|submission| (None, submission)).collect();
        let step =
            JobStep { job: id, from, cursor, failed, is_last, is_new: true, made, ..JobStep::default() };
        let Some(duplicates) = self.0.outbox.advance_job(step).await? else {
            return Err(stopped(JobState::Paused));
        };
        imported.duplicates = duplicates as u64;
        imported.accepted = imported.accepted.saturating_sub(imported.duplicates);
        Ok(imported)
    }

    fn source(&self, name: &str) -> Result<Arc<Source>, ImportError> {
        let sources = (self.0.sources)();
        if let Some(source) = sources.iter().find(|source| *source.name == *name) {
            return Ok(Arc::clone(source));
        }
        let known = sources.iter().map(|source| source.name.to_string()).collect::<Vec<_>>().join(", ");
        Err(ImportError::Source { name: name.to_owned(), known })
    }

    fn plan(&self, source: &Source, events: &[ImportEvent]) -> (Vec<Submission>, u64, Imported) {
        let (mut made, mut failed, mut imported) = (Vec::new(), 0, Imported::default());
        for event in events {
            if event.text.is_empty() {
                failed += 1;
                continue;
            }
            let submission = self.submission(source, &event.text);
            imported.accepted += submission.accepted.len() as u64;
            imported.skipped += submission.skipped.len() as u64;
            imported.rejected += submission.rejects.len() as u64;
            let reasons = submission.rejects.iter().map(|reject| describe(&reject.reasons));
            imported.reasons.extend(reasons.map(|reason| ImportReason { line: event.line, reason }));
            made.push(submission);
        }
        (made, failed, imported)
    }

    /// Runs one text through the stages.
    fn submission(&self, source: &Source, text: &str) -> Submission {
        let head: Head = serde_json::from_str(text).unwrap_or_default();
        if head.is_archived
            && let Ok(archived) = serde_json::from_str::<ArchivedEvent>(text)
            && let Some(form) = Form::named(&archived.form)
        {
            return self.of_archive(source, form, &archived);
        }
        let form = match source.kind {
            SourceKind::Segment if head.has_batch => Form::SegmentBatch,
            SourceKind::Segment => Form::SegmentWebhook,
            SourceKind::Amplitude if head.has_events => Form::AmplitudeUpload,
            SourceKind::Amplitude => Form::AmplitudeStream,
        };
        // A batch was received when it was sent: otherwise its times would be moved by its age.
        let pipeline = self.pipeline(source, form, head.sent_at.unwrap_or_else(Utc::now));
        let body = Bytes::copy_from_slice(text.as_bytes());
        let mut submission = self.of_body(&pipeline, &body, text).unwrap_or_else(|error| {
            let event = self.ids(1).next();
            let code = match error {
                BodyError::TooManyEvents { .. } => Reason::DoorMany,
                _ => Reason::Unreadable,
            };
            let refusal =
                Refusal { mapping: Arc::from(""), field: String::new(), reason: error.to_string(), code };
            let kept = body.slice(..body.len().min(MAX_UNREADABLE));
            pipeline::unreadable(&pipeline, &kept, event.unwrap_or(EventId(0)), refusal)
        });
        submission.received_at = Utc::now();
        submission
    }

    fn of_body(&self, pipeline: &Pipeline<'_>, body: &Bytes, text: &str) -> Result<Submission, BodyError> {
        let items = pipeline.plan_body(text)?;
        let ids = self.ids(items.len());
        let mut collector = Collector::new(pipeline, body, &items, true);
        for (planned, event) in items.zip(ids) {
            collector.add(event, planned);
        }
        Ok(collector.finish())
    }

    /// An event of the archive, with the envelope and the time at which it came first.
    fn of_archive(&self, source: &Source, form: Form, archived: &ArchivedEvent) -> Submission {
        let pipeline = self.pipeline(source, form, archived.at);
        let Planned { item, plan } = pipeline.plan_item(&archived.original, archived.envelope.as_deref());
        let (message_id, original) = (item.message_id, Bytes::copy_from_slice(archived.original.as_bytes()));
        let envelope: Option<Arc<str>> = archived.envelope.as_deref().map(Arc::from);
        let event = self.ids(1).next().unwrap_or(archived.id);
        let mut submission = super::make::submission(source, form, event, Vec::new(), Vec::new());
        let Plan { requests, rejected, refused_by, warned, skipped, .. } = plan;
        if let Some(reason) = skipped {
            let (original, message_id) = (original.clone(), message_id.clone());
            submission.skipped.push(SkippedEvent { event, original, message_id, reason });
        }
        if let Some(first) = rejected.first() {
            submission.rejects.push(Reject {
                event,
                original: original.clone(),
                envelope: envelope.clone(),
                reasons: Refusal::to_json(&rejected),
                code: first.code,
                refused_by,
            });
        }
        if !requests.is_empty() {
            let title = None;
            submission.accepted.push(Accepted { event, original, message_id, requests, warned, title });
        }
        submission.received_at = Utc::now();
        submission.envelope = envelope;
        submission
    }

    fn ids(&self, events: usize) -> NewIds {
        (self.0.ids)(Utc::now(), events)
    }

    fn pipeline<'s>(&self, source: &'s Source, form: Form, received_at: DateTime<Utc>) -> Pipeline<'s> {
        let limits = &self.0.limits;
        let event_bytes = limits.amplitude_batch_bytes.max(limits.webhook_bytes);
        let limits = decode::Limits {
            event_bytes,
            events: limits.webhook_events.max(limits.tracking_batch_events),
            depth: limits.json_depth,
        };
        Pipeline { source, form, limits, received_at, is_text_repaired: false }
    }
}

/// The members by which the form of a text is known.
#[derive(Default)]
struct Head {
    has_batch: bool,
    has_events: bool,
    is_archived: bool,
    sent_at: Option<DateTime<Utc>>,
}

impl<'de> Deserialize<'de> for Head {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Members<'t> {
            batch: Option<serde::de::IgnoredAny>,
            events: Option<serde::de::IgnoredAny>,
            original: Option<serde::de::IgnoredAny>,
            form: Option<serde::de::IgnoredAny>,
            at: Option<serde::de::IgnoredAny>,
            #[serde(borrow)]
            sent_at: Option<&'t serde_json::value::RawValue>,
        }
        let members = Members::deserialize(deserializer)?;
        let sent_at = members.sent_at.and_then(|text| serde_json::from_str::<DateTime<Utc>>(text.get()).ok());
        Ok(Self {
            has_batch: members.batch.is_some(),
            has_events: members.events.is_some(),
            is_archived: members.original.is_some() && members.form.is_some() && members.at.is_some(),
            sent_at,
        })
    }
}

fn is_same_file(one: &ImportFile, other: &ImportFile) -> bool {
    one.source == other.source && one.events == other.events && one.checksum == other.checksum
}

fn unsigned(cursor: i64) -> u64 {
    u64::try_from(cursor).unwrap_or(0)
}

/// Returns the reasons of a reject as a sentence.
fn describe(reasons: &str) -> String {
    let reasons: Vec<history::Refusal> = serde_json::from_str(reasons).unwrap_or_default();
    let one = |refusal: &history::Refusal| {
        let parts = [refusal.mapping.as_str(), &refusal.field, &refusal.reason];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    };
    reasons.iter().map(one).collect::<Vec<_>>().join("; ")
}
