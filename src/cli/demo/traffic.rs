//! Sends the demo's [`story`] to one relay after the other, and makes the stand-in for Accoil fail for some of its people.

use std::net::SocketAddr;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::story;
use crate::sandbox::{Fault, FaultError, Sandbox};

/// The events that are sent at the start, so that no page is empty.
const FIRST_EVENTS: usize = story::CYCLE;
/// Milliseconds between two events: the day of a small product has busy and quiet times.
const PAUSES: [u64; 12] = [260, 220, 190, 180, 200, 260, 350, 450, 520, 480, 400, 320];
/// The pause changes after this number of events.
const EVENTS_PER_PAUSE: usize = 15;

/// Runs until it is stopped.
pub(super) async fn run(
    client: &reqwest::Client,
    relays: &[SocketAddr],
    sandbox: &Sandbox,
    stop: &CancellationToken,
) {
    for (number, relay) in relays.iter().cycle().enumerate() {
        if number % story::CYCLE == 0
            && let Err(error) = set_faults(sandbox, number / story::CYCLE)
        {
            tracing::warn!(error.message = %error, "the faults of the stand-in for Accoil could not be set: the demo shows fewer failures");
        }
        let post = story::post(number);
        let request = client.post(format!("http://{relay}{}", post.path)).body(post.body);
        let sent = request.header(CONTENT_TYPE, "application/json").send().await;
        if let Err(error) = sent
            && !stop.is_cancelled()
        {
            tracing::warn!(error.message = %error, "an event of the demo was not sent");
        }
        let pause = PAUSES[number / EVENTS_PER_PAUSE % PAUSES.len()];
        let pause = Duration::from_millis(if number < FIRST_EVENTS { 0 } else { pause });
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// The stand-in needs some time for an answer, refuses one person's calls for good, one's for now, and asks for a pause.
fn set_faults(sandbox: &Sandbox, cycle: usize) -> Result<(), FaultError> {
    let faults = sandbox.faults();
    faults.clear();
    let of = |user: &str| Fault { user: Some(user.to_owned()), ..Fault::default() };
    let (status, body) = (Some(503), Some("upstream is restarting".to_owned()));
    faults.add(Fault { status, body: body.clone(), times: u64::MAX, ..of(story::WAITS) })?;
    faults.add(Fault { status, body, times: 2, ..of(story::RETRIED) })?;
    let body = Some(r#"{"error":"this user was deleted"}"#.to_owned());
    faults.add(Fault { status: Some(400), body, times: u64::MAX, ..of(story::REFUSED) })?;
    if cycle % 4 == 1 {
        let retry_after = Some("2".to_owned());
        faults.add(Fault { status: Some(429), retry_after, ..of(story::LIMITED) })?;
    }
    // The first rule that fits applies, so the usual times come last.
    for (path, usual) in [("/v2/track", 24), ("/v2/identify", 38), ("/v2/group", 61)] {
        let delay_ms = Some(usual + 9 * (cycle as u64 % 5));
        faults.add(Fault { path: Some(path.to_owned()), delay_ms, times: u64::MAX, ..Fault::default() })?;
    }
    Ok(())
}
