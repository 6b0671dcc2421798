//! Files of earlier versions.

use accoil_relay::outbox::{Archive, Filter};

use crate::outbox::{bodies, dead, flush, jobs, open, reject, submission};

#[tokio::test]
async fn a_file_of_version_1_keeps_its_calls_and_gets_ids_and_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let now = chrono::Utc::now().timestamp().to_string();
    let sql = include_str!("../../../fixtures/outbox/version-1.sql").replace("1700000000", &now);
    rusqlite::Connection::open(folder.path().join("relay.db")).unwrap().execute_batch(&sql).unwrap();
    let outbox = open(folder.path());
    let waiting = jobs(&outbox, "a").await;
    assert_eq!((bodies(&waiting.0), waiting.1), (vec![r#"{"n":1}"#], true));
    assert_eq!(outbox.usage().waiting.rows, 3);
    assert_eq!(outbox.oldest_waiting().await.unwrap(), None, "no event of this version says when it came");
    let parked = crate::outbox::parked_of(&outbox, "a", vec!["u2".to_owned()]).await;
    assert_eq!((parked.len(), parked[0].attempts.len(), parked[0].attempts[0].took_ms), (1, 1, None));
    let archive = Archive::open(&folder.path().join("relay.db")).unwrap();
    let letters = archive.dead_letters(&Filter::default(), 0, 10).unwrap();
    let rejects = archive.rejects(&Filter::default(), 0, 10).unwrap();
    let numbers = letters.iter().map(|letter| letter.id).chain(rejects.iter().map(|reject| reject.id));
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(
        (rejects[0].name.as_str(), rejects[0].user.as_str(), rejects[1].name.as_str()),
        ("Old", "u1", "")
    );
    assert_eq!(letters[0].event.time(), letters[0].at);
    // The next number is free in both.
    outbox.accept(submission(Vec::new(), vec![reject("{}", "[]")])).await.unwrap();
    assert_eq!(crate::outbox::newest_rejects(&outbox, 1).await[0].id, 5);
    crate::outbox::settle(&outbox, waiting.0.into_iter().map(|job| dead(job, "no")).collect());
    flush(&outbox).await;
    assert_eq!(crate::outbox::newest_letters(&outbox, 1).await[0].id, 6);
}
