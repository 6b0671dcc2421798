//! Housekeeping: folds small records, and removes expired dead letters and rejects, rejects over their size, old jobs and the records of
//! relays that are gone. The owner of the first lane does it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::super::Kind;
use super::batch::{self, Message};
use super::codec;
use super::commit::Committer;
use super::group::Group;
use super::state::GONE_RELAYS;

/// The most rows that one batch removes.
const AT_A_TIME: usize = 100;
/// Housekeeping adds nothing to a batch that has more messages than this.
const MOST_BEFORE: usize = batch::MOST_MESSAGES / 2;
const EVERY: Duration = Duration::from_secs(60);
/// How many fingerprints are kept: as many as the dispatchers remember.
const MOST_FINGERPRINTS: usize = 500_000;
/// Jobs that have ended are kept up to this many.
const MAX_ENDED: usize = 500;

/// A relay that has stored nothing for this long is gone. If it only stood still, it begins anew.
const GONE: Duration = Duration::from_secs(600);

impl Committer {
    /// Runs after the start, once a minute, and whenever the rejects exceed their size.
    pub(super) fn keep_house_if_due(&mut self, group: &mut Group) {
        if self.lane(0).is_none() || self.closing || group.messages.len() > MOST_BEFORE {
            return;
        }
        if !group.messages.is_empty() && self.house_kept_at.is_none_or(|at| at.elapsed() >= EVERY) {
            self.house_kept_at = Some(tokio::time::Instant::now());
            self.keep_house(group);
            self.remove_forgotten();
            self.fold_gone_relays(group);
        }
        self.fold(group);
        let (_, kept) = *self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (rows, bytes) = (kept.rows + group.rejects.rows, kept.bytes + group.rejects.bytes);
        let Some(over) = bytes.checked_sub(self.settings.rejects.bytes).filter(|over| *over > 0) else {
            return;
        };
        let each = (bytes / rows.max(1)).max(1);
        let most = usize::try_from(over.div_ceil(each)).unwrap_or(AT_A_TIME).min(AT_A_TIME);
        let oldest =
            self.with_mirror(|mirror| mirror.older_than(Kind::Reject, DateTime::<Utc>::MAX_UTC, most));
        self.purge(&oldest.unwrap_or_default(), group);
    }

    /// Removes the records of ids and fingerprints that newer ones have replaced in every relay's memory. Otherwise each start would read
    /// them all.
    fn remove_forgotten(&self) {
        let (ids, fingerprints) = self.shared.with_state(|state| {
            (state.ids.cut(self.settings.deduplication_ids), state.fingerprints.cut(MOST_FINGERPRINTS))
        });
        let subjects = &self.shared.subjects;
        for (cut, subject) in [(ids, subjects.all_ids()), (fingerprints, subjects.all_fingerprints())] {
            let Some(cut) = cut else { continue };
            let shared = Arc::clone(&self.shared);
            self.shared.spawn("removal of forgotten ids", async move {
                let Ok(stream) = shared.context.get_stream_no_info(shared.subjects.stream()).await else { return };
                if let Err(error) = stream.purge().filter(subject).sequence(cut + 1).await {
                    tracing::debug!(error.message = %error, "old ids could not be removed; the next removal takes them too");
                }
            });
        }
    }

    /// Replaces the records of relays that are gone by one record with their sums: each start of a relay makes a new record.
    fn fold_gone_relays(&self, group: &mut Group) {
        let silent = GONE.max(self.settings.lease * 2);
        let now = tokio::time::Instant::now();
        let gone =
            self.shared.with_state(|state| state.gone_relays(&self.shared.relay, now, silent, AT_A_TIME));
        let is_changed =
            |subject: &str, group: &Group| group.messages.iter().any(|message| message.subject == subject);
        let Some((gone, sum, sequence)) = gone else { return };
        let subjects = &self.shared.subjects;
        let removals =
            gone.into_iter().map(|(relay, sequence)| (subjects.relay(&relay), sequence)).collect::<Vec<_>>();
        if removals.iter().any(|(subject, _)| is_changed(subject, group)) {
            return;
        }
        for (subject, sequence) in removals {
            group.push(Message::removal(subject.clone()).expect(subject, sequence));
        }
        let subject = subjects.relay(GONE_RELAYS);
        group.push(Message::new(subject.clone(), codec::json(&sum)).expect(subject, sequence));
    }

    /// Removes expired dead letters and rejects, and old jobs; returns whether there may be more.
    pub(super) fn keep_house(&mut self, group: &mut Group) -> bool {
        if self.lane(0).is_none() {
            return false;
        }
        let now = Utc::now();
        let mut removed = 0;
        for (kind, retention) in
            [(Kind::DeadLetter, self.settings.dead_letters), (Kind::Reject, self.settings.rejects)]
        {
            let age = chrono::Duration::from_std(retention.age).unwrap_or(chrono::Duration::MAX);
            let Some(before) = now.checked_sub_signed(age) else { continue };
            let old = self.with_mirror(|mirror| mirror.older_than(kind, before, AT_A_TIME));
            removed += self.purge(&old.unwrap_or_default(), group);
        }
        for job in self.with_mirror(|mirror| mirror.ended_jobs(MAX_ENDED)).unwrap_or_default() {
            group.push(Message::removal(self.shared.subjects.job(&job.to_string())));
        }
        removed >= AT_A_TIME
    }
}
