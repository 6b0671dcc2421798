//! Only one process owns an outbox at a time.

use accoil_relay::outbox::{OpenError, Outbox};

use crate::outbox::{open, options};

#[tokio::test]
async fn a_second_owner_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let refused = Outbox::open(&options(folder.path())).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    first.close().await;
    open(folder.path());
}
