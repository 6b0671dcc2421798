//! Resuming, what counts as ours, and files of others.

use super::*;

const DIRECTION: Direction = Direction::AccoilToVitally;

#[tokio::test]
async fn a_run_goes_on_where_the_last_was_broken_off_unless_that_is_old_or_was_another() {
    let folder = tempfile::tempdir().unwrap();
    let written = Written::open(&folder.path().join("relay.db.accounts")).unwrap();
    let at = |hours: i64| DateTime::UNIX_EPOCH + chrono::Duration::hours(hours);
    let resumed = async |settings, hours| written.begin(DIRECTION, settings, at(hours)).await.unwrap().len();
    assert_eq!(resumed(1, 10).await, 0);
    written.seen_to(DIRECTION, "a", Vec::new()).await.unwrap();
    assert_eq!(resumed(1, 15).await, 1, "broken off a while ago");
    assert_eq!(resumed(2, 15).await, 0, "of other settings");
    written.seen_to(DIRECTION, "a", Vec::new()).await.unwrap();
    assert_eq!(resumed(2, 14).await, 0, "from the future: the clock was set back");
    written.seen_to(DIRECTION, "a", Vec::new()).await.unwrap();
    assert_eq!(resumed(2, 21).await, 0, "too old");
    written.seen_to(DIRECTION, "a", Vec::new()).await.unwrap();
    written.end(DIRECTION, at(22)).await.unwrap();
    assert_eq!(written.last_end(DIRECTION).await.unwrap(), Some(at(22)));
    assert_eq!(resumed(2, 22).await, 0, "that was whole");
}

#[tokio::test]
async fn what_may_have_been_written_is_ours_and_what_is_found_there_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let written = Written::open(&folder.path().join("relay.db.accounts")).unwrap();
    let traits = |value: i64| serde_json::from_value(serde_json::json!({"t": value})).unwrap();
    written.intend("a", &traits(1)).await.unwrap();
    let ours = written.ours("a").await.unwrap();
    assert!(ours.holds("t", &Value::from(1)) && ours.found(&traits(2)).is_empty());
    written.seen_to(DIRECTION, "a", ours.found(&traits(1))).await.unwrap();
    written.intend("a", &traits(2)).await.unwrap();
    let ours = written.ours("a").await.unwrap();
    assert!(ours.holds("t", &Value::from(1)) && ours.holds("t", &Value::from(2)));
    // Nothing is intended any more: nothing is changed.
    written.seen_to(DIRECTION, "a", vec!["t".to_owned(), "t".to_owned()]).await.unwrap();
    assert!(written.ours("a").await.unwrap().holds("t", &Value::from(2)));
}

#[test]
fn another_file_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.db.accounts");
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 7").unwrap();
    assert!(matches!(Written::open(&path), Err(WrittenError::Foreign { .. })));
}
