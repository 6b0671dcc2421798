//! Live views: what their filter holds for, twenty lines a second, sixteen viewers.

use super::*;

#[tokio::test]
async fn a_viewer_gets_its_lines_and_later_their_outcome() {
    let history = History::start(|_| {});
    let filter = Filter { user: Some("u1".to_owned()), ..Filter::default() };
    let mut live = history.reader.live(filter).unwrap().unwrap();
    let event = id(1);
    track(&history.facts, event, "u1", "m1");
    track(&history.facts, id(2), "u2", "m2");
    let mut statuses = Vec::new();
    while statuses.last() != Some(&Status::Delivered) {
        let seen = tokio::time::timeout(Duration::from_secs(20), live.next()).await.unwrap().unwrap();
        if let ViewerMessage::Line(line) = seen {
            assert_eq!(line.id, event);
            if line.status() == Status::Accepted {
                settle(&history.facts, [outcome(event, OutcomeKind::Delivered, "")]);
            }
            statuses.push(line.status());
        }
    }
    assert_eq!(statuses, [Status::Accepted, Status::Delivered]);
}

/// A call that needs no answer, because nothing has changed, can end before the history thread has taken its event.
#[tokio::test]
async fn an_outcome_that_comes_before_its_event_is_in_its_line() {
    let history = History::start(|_| {});
    let mut live = history.reader.live(Filter::default()).unwrap().unwrap();
    let event = id(1);
    settle(&history.facts, [outcome(event, OutcomeKind::Held, "")]);
    track(&history.facts, event, "u1", "m1");
    loop {
        if let ViewerMessage::Line(line) =
            tokio::time::timeout(Duration::from_secs(20), live.next()).await.unwrap().unwrap()
        {
            assert_eq!((line.id, line.status()), (event, Status::Held));
            break;
        }
    }
    history.line(event, Status::Held);
}

#[tokio::test]
async fn a_slow_viewer_learns_how_much_was_left_out() {
    let history = History::start(|_| {});
    let mut live = history.reader.live(Filter::default()).unwrap().unwrap();
    let first = id(0).0;
    for number in 0..500 {
        let event = EventId(first + number);
        track(&history.facts, event, "u1", "m1");
        settle(&history.facts, [outcome(event, OutcomeKind::Delivered, "")]);
    }
    let (mut lines, mut total) = (0, Tick::default());
    while total.matched < 500 {
        match tokio::time::timeout(Duration::from_secs(20), live.next()).await.unwrap().unwrap() {
            ViewerMessage::Line(_) => lines += 1,
            ViewerMessage::Tick(tick) => {
                assert!(tick.shown <= 20, "{tick:?}");
                total.matched += tick.matched;
                total.shown += tick.shown;
            }
        }
    }
    assert_eq!(total.shown, lines);
    assert!(lines < 500);
}

#[tokio::test]
async fn the_seventeenth_viewer_is_refused_until_one_leaves() {
    let history = History::start(|_| {});
    let mut live: Vec<_> =
        (0..16).map(|_| history.reader.live(Filter::default()).unwrap().unwrap()).collect();
    assert_eq!(history.reader.live(Filter::default()).unwrap().unwrap_err(), TooMany);
    assert_eq!(history.reader.state().unwrap().viewers, 16);
    live.pop();
    history.reader.live(Filter::default()).unwrap().unwrap();
}

/// What is hidden is not found by watching either.
#[tokio::test]
async fn a_viewer_cannot_find_what_is_hidden() {
    let history = History::start(|options| options.redactor = Redactor::new(["traits.email"]));
    let filter = |text: &str| Filter { text: Some(text.to_owned()), ..Filter::default() };
    let mut hidden = history.reader.live(filter("u1@example.com")).unwrap().unwrap();
    let mut shown = history.reader.live(filter("Signed Up")).unwrap().unwrap();
    track(&history.facts, id(1), "u1", "m1");
    loop {
        if let Some(ViewerMessage::Line(_)) = shown.next().await {
            break;
        }
    }
    history.stop().await;
    drop(history);
    while let Ok(Some(seen)) = tokio::time::timeout(Duration::from_millis(200), hidden.next()).await {
        assert!(matches!(seen, ViewerMessage::Tick(_)), "{seen:?}");
    }
}
