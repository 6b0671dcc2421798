//! The state that the modules of this backend share: the connection, the local copy of the records, and the counts shown to other stages.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::Context;
use siphasher::sip::SipHasher13;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::DropGuard;

use super::super::damage::Damage;
use super::super::priority::Background;
use super::super::sqlite::Mirror;
use super::super::{Amount, Lanes, ReadError};
use super::commit::ANSWER;
use super::ids::AcceptedIds;
use super::lane::OwnedLane;
use super::state::State;
use super::stream::Meta;
use super::subject::Subjects;
use crate::tasks::Tasks;
use crate::telemetry::Timings;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) context: Context,
    pub(super) subjects: Subjects,
    pub(super) meta: Meta,
    /// This run of this relay.
    pub(super) relay: String,
    pub(super) mirror: Arc<Mutex<Mirror>>,
    pub(super) folder: PathBuf,
    state: Mutex<State>,
    pub(super) ids: Mutex<AcceptedIds>,
    /// The sequence of the last record that was applied to the local copy and the state.
    pub(super) followed: watch::Sender<u64>,
    /// Locked before `lanes`. A task that borrows `lanes` must not lock this one meanwhile, or both wait for ever.
    pub(super) owned: Mutex<HashMap<u16, Arc<OwnedLane>>>,
    pub(super) lanes: watch::Sender<Lanes>,
    pub(super) committed: watch::Sender<i64>,
    /// True if the outbox was moved. Nothing more is stored in this one.
    pub(super) failed: watch::Sender<bool>,
    moves_to: Option<String>,
    pub(super) due: broadcast::Sender<Arc<[(String, String)]>>,
    pub(super) background: Background,
    pub(super) damage: Damage,
    pub(super) commits: Timings,
    tasks: Tasks,
    /// True if the cluster did not answer the last batch in time.
    away: AtomicBool,
    /// The sequence of the last message that this relay stored.
    stored: AtomicU64,
    pub(super) kept: Mutex<(Amount, Amount)>,
}

impl Shared {
    #[expect(clippy::too_many_arguments, reason = "each is a part that was opened on its own")]
    pub(super) fn new(
        client: Client,
        context: Context,
        subjects: Subjects,
        meta: Meta,
        relay: String,
        mirror: Mirror,
        folder: PathBuf,
        ids: AcceptedIds,
        tasks: Tasks,
        moves_to: Option<String>,
    ) -> Self {
        let lanes = Lanes { owned: Vec::new(), all: meta.lanes };
        Self {
            client,
            context,
            subjects,
            meta,
            relay,
            mirror: Arc::new(Mutex::new(mirror)),
            folder,
            state: Mutex::default(),
            ids: Mutex::new(ids),
            followed: watch::Sender::new(0),
            owned: Mutex::default(),
            lanes: watch::Sender::new(lanes),
            committed: watch::Sender::new(0),
            failed: watch::Sender::new(false),
            moves_to,
            due: broadcast::Sender::new(16),
            background: Background::default(),
            damage: Damage::default(),
            commits: Timings::default(),
            tasks,
            away: AtomicBool::new(false),
            stored: AtomicU64::new(0),
            kept: Mutex::default(),
        }
    }

    /// Spawns a task that ends with the outbox.
    pub(super) fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.tasks.stop_signal();
        self.tasks.spawn(name, async move {
            stop.run_until_cancelled(task).await;
        });
    }

    /// Ends the tasks.
    pub(super) async fn stop(&self, deadline: Duration) {
        self.tasks.stop(deadline).await;
    }

    /// The relay stops, because this outbox cannot go on.
    pub(super) fn give_up(&self) {
        self.tasks.give_up();
    }

    /// Ends the tasks when it is dropped.
    pub(super) fn end_with_me(&self) -> DropGuard {
        self.tasks.stop_signal().drop_guard()
    }

    /// The lane of a user's calls.
    pub(super) fn lane_of(&self, user: &str) -> u16 {
        let hash = SipHasher13::new_with_key(&self.meta.key).hash(user.as_bytes());
        u16::try_from(hash % u64::from(self.meta.lanes)).unwrap_or(0)
    }

    pub(super) fn with_state<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn owned(&self, lane: u16) -> Option<Arc<OwnedLane>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner).get(&lane).cloned()
    }

    pub(super) fn stored(&self) -> u64 {
        self.stored.load(Ordering::Acquire)
    }

    pub(super) fn note_stored(&self, sequence: u64) {
        self.stored.store(sequence, Ordering::Release);
    }

    pub(super) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// Notes whether the cluster answers, and logs when that changes.
    pub(super) fn set_away(&self, away: bool) {
        if self.away.swap(away, Ordering::Relaxed) == away {
            return;
        }
        if away {
            tracing::error!(
                "the NATS cluster does not answer: posts get 503 until it does, and nothing that was accepted is lost; check \
                 the servers and the network"
            );
        } else {
            tracing::info!("the NATS cluster answers again: posts are accepted");
        }
    }

    /// Ends this outbox because it was moved. The process that moves it goes on.
    pub(super) fn end_if_moved(&self, to: &str) {
        if self.moves_to.as_deref() == Some(to) || self.failed.send_replace(true) {
            return;
        }
        tracing::error!(
            outbox.moved_to = to,
            "this outbox was moved: the relay accepts and delivers nothing more from it; set outbox.url to the new one"
        );
    }

    /// Returns when every record up to this sequence is in the local copy.
    pub(super) async fn followed(&self, sequence: u64) {
        let mut followed = self.followed.subscribe();
        // The sender lives as long as `self`.
        let _ = followed.wait_for(|seen| *seen >= sequence).await;
    }

    /// The newest message of a subject, from the leader; `None` if it does not answer.
    pub(super) async fn newest(&self, subject: &str) -> Option<Option<(u64, bytes::Bytes)>> {
        use async_nats::jetstream::stream::LastRawMessageErrorKind::NoMessageFound;
        let stream = self.context.get_stream_no_info(self.subjects.stream());
        let stream = tokio::time::timeout(ANSWER, stream).await.ok()?.ok()?;
        let found = stream.get_last_raw_message_by_subject(subject);
        match tokio::time::timeout(ANSWER, found).await.ok()? {
            Ok(message) => Some(Some((message.sequence, message.payload))),
            Err(error) if error.kind() == NoMessageFound => Some(None),
            Err(_) => None,
        }
    }

    /// Reads the local copy.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Mirror) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let mirror = Arc::clone(&self.mirror);
        let read = move || query(&mut mirror.lock().unwrap_or_else(PoisonError::into_inner));
        let result = tokio::task::spawn_blocking(read).await.map_err(|_| ReadError::Closed)?;
        result.map_err(|error| ReadError::Failed(Box::new(error)))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The file is only a copy of the cluster's records.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
