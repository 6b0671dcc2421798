//! Lanes: their owners, and the order of positions in them.

use accoil_relay::outbox::WaitingFilter;

use super::Home;
use crate::outbox::{bodies, delivered, flush, jobs, lanes, settle, single};

pub(super) async fn clause_8_each_lane_has_an_owner_and_its_own_positions(home: Home) {
    let outbox = home.open().await;
    let (shown, lanes) = (outbox.lanes().borrow().clone(), lanes(&outbox));
    assert_eq!((shown.owned.len(), usize::from(shown.all)), (lanes.len(), lanes.len()), "one relay owns all");
    assert!(lanes.iter().all(|lane| !lane.lost()));

    let mut committed = outbox.committed();
    committed.borrow_and_update();
    for body in ["1", "2", "3"] {
        outbox.accept(single(None, "u", body)).await.unwrap();
    }
    assert!(committed.has_changed().unwrap(), "a commit is announced");
    let (waiting, _) = jobs(&outbox, "a").await;
    assert_eq!(bodies(&waiting), ["1", "2", "3"]);
    let positions: Vec<_> = waiting.iter().map(|job| job.place.position()).collect();
    assert!(positions.is_sorted_by(|one, next| one < next), "{positions:?}");
    let lane = lanes.iter().find(|lane| lane.id() == positions[0].lane()).unwrap();
    assert!(positions.iter().all(|position| position.lane() == lane.id()), "one user has one lane");
    assert!(lane.start() < positions[0] && positions[2] <= lane.latest());
    assert!(lane.next_chunk(lane.latest()).await.unwrap().is_none());

    // The id of a waiting call is its position as text.
    let page = outbox.waiting(WaitingFilter::default(), Some(positions[0]), 10).await.unwrap();
    assert_eq!(page.calls.iter().map(|call| call.id).collect::<Vec<_>>(), positions[1..]);
    assert_eq!(positions[2].to_string().parse(), Ok(positions[2]));

    settle(&outbox, waiting.iter().map(|job| delivered(job.place)).collect());
    flush(&outbox).await;
    outbox.close().await;
    // No position is used twice.
    let outbox = home.open().await;
    let lane = crate::outbox::lanes(&outbox).into_iter().find(|one| one.id() == lane.id()).unwrap();
    assert!(lane.next_chunk(lane.start()).await.unwrap().is_none());
    outbox.accept(single(None, "u", "4")).await.unwrap();
    assert!(jobs(&outbox, "a").await.0[0].place.position() > positions[2]);
}
