//! `events tail`: the relay's live view on a terminal, one line for each event.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use serde_json::Value;

use super::format;
use crate::cli::print_message;
use crate::cli::relay::RelayApi;

/// The longest line of the stream.
const MAX_BYTES: usize = 1 << 20;
/// The wait before the stream is opened again.
const RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// Continues after a restart of the relay, and ends after the given number of events.
pub(super) async fn run(
    relay: &RelayApi,
    path: &str,
    limit: Option<usize>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut left = limit.unwrap_or(usize::MAX);
    let mut response = relay.stream(path).await?;
    print_message("showing events as they come; Ctrl-C ends it");
    loop {
        let mut stream = Stream::default();
        while let Ok(Some(piece)) = response.chunk().await {
            for (kind, data) in stream.add(&piece)? {
                match kind.as_str() {
                    "line" => {
                        show(&data, json)?;
                        left = left.saturating_sub(1);
                    }
                    "tick" => left_out(&data),
                    _ => {}
                }
                if left == 0 {
                    return Ok(ExitCode::SUCCESS);
                }
            }
        }
        print_message("the relay has closed the stream; asking again");
        response = loop {
            tokio::time::sleep(RECONNECT_DELAY).await;
            if let Ok(response) = relay.stream(path).await {
                break response;
            }
        };
    }
}

fn show(data: &str, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{data}")?;
    } else {
        writeln!(out, "{}", format::line(&serde_json::from_str(data).unwrap_or_default()))?;
    }
    out.flush()
}

/// Reports how many events of a fast stream are not shown.
fn left_out(data: &str) {
    let tick: Value = serde_json::from_str(data).unwrap_or_default();
    let count = |key: &str| tick[key].as_u64().unwrap_or_default();
    let (matched, shown) = (count("matched"), count("shown"));
    if matched > shown {
        print_message(&format!(
            "{matched} events a second, of which {shown} are shown: narrow the filter to see all"
        ));
    }
}

/// Splits server-sent events.
#[derive(Default)]
struct Stream {
    text: Vec<u8>,
}

impl Stream {
    /// Returns the events that are complete with this piece: their kind and data.
    fn add(&mut self, piece: &[u8]) -> anyhow::Result<Vec<(String, String)>> {
        self.text.extend_from_slice(piece);
        let mut events = Vec::new();
        while let Some(end) = self.text.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = self.text.drain(..end + 2).collect();
            let event = String::from_utf8_lossy(&event);
            let field =
                |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            events.push((field("event: ").to_owned(), field("data: ").to_owned()));
        }
        if self.text.len() > MAX_BYTES {
            bail!(
                "the answer is not a stream of events: check that --url names the admin listener of a relay"
            );
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::Stream;

    #[test]
    fn events_are_split_wherever_the_pieces_end() {
        let whole = "retry: 2000\n\nevent: line\nid: 1\ndata: {\"a\":1}\n\nevent: tick\ndata: {}\n\n";
        for cut in 0..whole.len() {
            let (first, second) = whole.as_bytes().split_at(cut);
            let mut stream = Stream::default();
            let mut events = stream.add(first).unwrap();
            events.extend(stream.add(second).unwrap());
            let pairs: Vec<_> = events.iter().map(|(kind, data)| (kind.as_str(), data.as_str())).collect();
            assert_eq!(pairs, [("", ""), ("line", "{\"a\":1}"), ("tick", "{}")], "{cut}");
        }
    }
}
