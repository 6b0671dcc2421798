//! `dead-letters replay`: dead letters go back into the outbox as they are, rejects through the mappings as they are now.
//!
//! What a reject becomes is stored and the reject removed in one commit. One that is refused again stays, and
//! stdout says why.

use std::collections::HashSet;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;

use super::{Choice, KindName, Pages, ids, open, say, show};
use crate::accoil::{self, Plan, Refusal};
use crate::config::Config;
use crate::decode::{self, Context, Form};
use crate::outbox::{Accepted, Archive, Outbox, Reject, StoredReject, Submission};
use crate::receive::{Source, Sources};
use crate::run;

pub(super) async fn run(choice: &Choice, config: &Config) -> anyhow::Result<ExitCode> {
    let outbox = open(config).await?;
    let archive = Archive::open(&config.outbox.path)?;
    let done = match choice.kind {
        KindName::DeadLetter => dead_letters(choice, &outbox, &archive).await,
        KindName::Reject => rejects(choice, config, &outbox, &archive).await,
    };
    outbox.close().await;
    done
}

async fn dead_letters(choice: &Choice, outbox: &Outbox, archive: &Archive) -> anyhow::Result<ExitCode> {
    let (filter, mut pages, mut replayed) = (choice.filter(), Pages::new(choice.limit), 0);
    while let Some((after, most)) = pages.next() {
        let ids = ids(archive, choice.kind, &filter, after, most)?;
        pages.had(ids.len(), ids.last().copied());
        replayed += outbox.replay_dead_letters(ids).await?;
    }
    say(&format!("{replayed} wait to be delivered again"));
    Ok(ExitCode::SUCCESS)
}

async fn rejects(
    choice: &Choice,
    config: &Config,
    outbox: &Outbox,
    archive: &Archive,
) -> anyhow::Result<ExitCode> {
    let destinations = run::destinations(config)?;
    let replayer = Replayer { sources: run::sources(config, &destinations), limits: limits(config) };
    let (filter, mut pages) = (choice.filter(), Pages::new(choice.limit));
    let (mut replayed, mut stayed) = (0, 0);
    // What is refused again in part is kept as a new reject: it is not for this run.
    let newest = archive.newest_rejects(&filter, i64::MAX, 1)?.first().map_or(0, |reject| reject.id);
    while let Some((after, most)) = pages.next() {
        let rejects = archive.rejects(&filter, after, most)?;
        pages.had(rejects.len(), rejects.last().map(|reject| reject.id));
        for reject in rejects.into_iter().filter(|reject| reject.id <= newest) {
            match replayer.submission(&reject) {
                Ok(submission) => {
                    outbox.replay_reject(reject.id, submission).await?;
                    replayed += 1;
                }
                Err(why) => {
                    writeln!(std::io::stdout(), "{}\t{why}", reject.id)?;
                    stayed += 1;
                }
            }
        }
    }
    say(&format!("{replayed} replayed, {stayed} stay"));
    Ok(if stayed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn limits(config: &Config) -> decode::Limits {
    let limits = &config.limits;
    decode::Limits {
        event_bytes: limits.amplitude_batch_bytes.max(limits.webhook_bytes),
        events: 1,
        depth: limits.json_depth,
    }
}

struct Replayer {
    sources: Sources,
    limits: decode::Limits,
}

impl Replayer {
    /// What the reject becomes now, or why it stays.
    fn submission(&self, reject: &StoredReject) -> Result<Submission, String> {
        let source = self.sources.named(&reject.source).ok_or("its source is no longer configured")?;
        let form = Form::named(&reject.form).ok_or("it came in a form that this version does not know")?;
        let original = std::str::from_utf8(&reject.original).map_err(|_| "it is not UTF-8")?;
        let context = Context { received_at: reject.at, source: &source.settings, limits: self.limits };
        let item = decode::decode_item(form, original, reject.envelope.as_deref(), context);
        let plan = accoil::plan(&source.destinations, source.kind, item.outcome);
        submission(source, form, reject, item.message_id, plan)
    }
}

/// Only the mappings that refused the event then are asked now: the others have sent theirs.
fn submission(
    source: &Source,
    form: Form,
    reject: &StoredReject,
    message_id: Option<String>,
    plan: Plan,
) -> Result<Submission, String> {
    let refused = refused_by(reject);
    let is_whole = refused.contains("");
    let is_meant = |mapping: &str| is_whole || mapping.is_empty() || refused.contains(mapping);
    let requests: Vec<_> = plan.requests.into_iter().filter(|request| is_meant(&request.mapping)).collect();
    let again: Vec<_> = plan.rejected.into_iter().filter(|refusal| is_meant(&refusal.mapping)).collect();
    let reasons = Refusal::to_json(&again);
    if requests.is_empty() {
        return Err(match plan.skipped {
            _ if !again.is_empty() => format!("still refused: {}", show::reasons(&reasons)),
            Some(why) => format!("nothing would be sent: {why}"),
            None => {
                "nothing would be sent: the mappings that refused it are gone or no longer meet it".to_owned()
            }
        });
    }
    let original = Bytes::from(reject.original.clone());
    let rejects = if again.is_empty() {
        Vec::new()
    } else {
        vec![Reject {
            event: reject.event,
            original: original.clone(),
            envelope: reject.envelope.as_deref().map(Arc::from),
            reasons,
        }]
    };
    Ok(Submission {
        source: source.name.clone(),
        form,
        received_at: reject.at,
        deduplication_window: source.deduplication_window,
        // Where other mappings took the event, its id is known and must not stop the rest of it.
        accepted: vec![Accepted {
            event: reject.event,
            original,
            message_id: message_id.filter(|_| is_whole),
            requests,
        }],
        rejects,
    })
}

/// The mappings named in its reasons; an empty name stands for the event as a whole.
fn refused_by(reject: &StoredReject) -> HashSet<String> {
    let reasons: Vec<serde_json::Value> = serde_json::from_str(&reject.reasons).unwrap_or_default();
    let mapping = |reason: &serde_json::Value| {
        reason.get("mapping").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    reasons.iter().map(mapping).collect()
}
