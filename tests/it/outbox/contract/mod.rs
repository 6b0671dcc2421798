//! The conformance suite: each clause of the outbox's contract, through its public operations only.
//!
//! To test one more backend: a variant of [`Home`], and one line `suite!(name, Home::name);` below. Each test gets a
//! home in which no outbox was made yet, with one lane.

pub(super) mod groups;
mod kept;
mod lanes;
mod model;
mod stream;

use std::fs;

use std::sync::Mutex;
use std::time::Duration;

use accoil_relay::facts::Facts;
use accoil_relay::outbox::nats::Options as ClusterOptions;
use accoil_relay::outbox::{Options, Outbox};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::options;
use crate::cluster::servers;

/// A safety limit: what never happens fails the test instead of blocking it.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// The place of an outbox, in which it can be opened again.
pub(crate) enum Home {
    /// A folder with a file.
    Sqlite(TempDir),
    /// A stream of a NATS server.
    Nats(Stream),
}

/// A stream with one lane, and the runtime of the relay that uses it.
pub(crate) struct Stream {
    name: String,
    running: Mutex<Option<Runtime>>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end();
    }
}

impl Stream {
    /// What was running runs no more, as after a kill.
    fn end(&self) {
        if let Some(runtime) = self.running.lock().unwrap().take() {
            runtime.shutdown_background();
        }
    }

    async fn open(&self, change: impl FnOnce(&mut Options)) -> Outbox {
        self.end();
        let mut usual = options(std::path::Path::new(""));
        change(&mut usual);
        let options = cluster_options(servers::shared().url(), &self.name, &usual);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let opened = runtime.spawn(async move {
            let outbox =
                Outbox::open_cluster(&options, Facts::off(), &CancellationToken::new()).await.unwrap();
            let mut lanes = outbox.lanes();
            let owned = lanes.wait_for(|lanes| !lanes.owned.is_empty());
            assert!(tokio::time::timeout(LIMIT, owned).await.expect("a lane is gained in time").is_ok());
            outbox
        });
        *self.running.lock().unwrap() = Some(runtime);
        opened.await.unwrap()
    }
}

/// One lane, and a lease that ends soon.
pub(crate) fn cluster_options(server: String, stream: &str, usual: &Options) -> ClusterOptions {
    ClusterOptions {
        servers: vec![server],
        stream: stream.to_owned(),
        credentials: None,
        nkey: None,
        ca: None,
        certificate: None,
        lanes: 1,
        lease: Duration::from_millis(1500),
        call_timeout: Duration::from_millis(500),
        deduplication_ids: usual.deduplication_ids,
        longest_window: usual.longest_window,
        max_bytes: usual.max_bytes,
        dead_letters: usual.dead_letters,
        rejects: usual.rejects,
        moves_to: None,
    }
}

impl Home {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    pub(crate) fn nats() -> Self {
        Self::stream(format!("test-{}", uuid::Uuid::new_v4().simple()))
    }

    pub(crate) fn stream(name: String) -> Self {
        Self::Nats(Stream { name, running: Mutex::default() })
    }

    pub(crate) async fn open(&self) -> Outbox {
        self.open_with(|_| {}).await
    }

    /// Opens the outbox with some of the usual options changed.
    pub(crate) async fn open_with(&self, change: impl FnOnce(&mut Options)) -> Outbox {
        match self {
            Self::Sqlite(folder) => {
                let mut options = options(folder.path());
                change(&mut options);
                Outbox::open(&options).unwrap()
            }
            Self::Nats(stream) => stream.open(change).await,
        }
    }

    /// Leaves what a crash at this moment would leave, for the next open. The outbox that is open now is abandoned.
    pub(crate) fn crash(&mut self) {
        match self {
            Self::Sqlite(folder) => {
                let copy = tempfile::tempdir().unwrap();
                // The file first, then its log, which only grows meanwhile.
                for name in ["relay.db", "relay.db-wal"] {
                    fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
                }
                *folder = copy;
            }
            Self::Nats(stream) => stream.end(),
        }
    }
}

/// All tests for one backend.
macro_rules! suite {
    ($backend:ident, $make:path) => {
        mod $backend {
            use super::*;

            suite!(@ $make, stream, [
                clause_1_what_is_accepted_is_read_in_order_also_after_a_restart,
                clause_1_what_was_acknowledged_is_there_after_a_crash,
                clause_3_a_settled_chunk_is_gone_and_nothing_waits,
                clause_3_a_settlement_that_comes_twice_counts_once,
                clause_3_a_backlog_of_small_chunks_is_settled_at_once,
                clause_4_a_reader_that_starts_again_finds_earlier_calls_of_parked_users,
                clause_4_a_due_call_is_announced,
                clause_5_an_accepted_id_is_known_in_its_source_and_a_refused_one_is_not,
                clause_6_beyond_its_size_the_outbox_is_full_until_something_left,
                clause_11_a_derived_calls_content_is_known_after_a_restart,
            ]);
            suite!(@ $make, lanes, [
                clause_8_each_lane_has_an_owner_and_its_own_positions,
            ]);
            suite!(@ $make, kept, [
                clause_6_dead_letters_over_their_size_stop_acceptance_and_stay,
                clause_10_dead_letters_are_found_by_every_filter,
                clause_10_a_replayed_dead_letter_waits_again_behind_what_its_user_has,
                clause_10_a_reject_leaves_in_the_commit_of_its_replay,
                clause_10_both_kinds_share_one_number_space,
                clause_10_the_oldest_rejects_leave_when_they_are_over_their_size,
                clause_10_what_is_over_its_age_leaves_with_the_first_commit_after_a_start,
            ]);
            suite!(@ $make, groups, [
                clause_10_failures_with_the_same_reason_are_one_group_that_leaves_with_its_last_member,
                clause_10_failures_are_found_by_source_code_group_and_text,
            ]);

            #[test]
            fn all_clauses_hold_in_random_runs() {
                model::all_clauses_hold_in_random_runs($make);
            }
        }
    };
    (@ $make:path, $module:ident, [$($test:ident),* $(,)?]) => {
        $(
            #[tokio::test]
            async fn $test() {
                tokio::time::timeout(LIMIT, $module::$test($make())).await.expect("it ends in time");
            }
        )*
    };
}

suite!(sqlite, Home::sqlite);
suite!(nats, Home::nats);
