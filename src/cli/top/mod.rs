//! `top`: rates, destinations, and failures by reason on a terminal, asked of the relay once a second.
//!
//! `snapshot.rs` has what the relay answered, `screen.rs` draws it. Changes nothing.

mod screen;
mod snapshot;

use std::io::{self, IsTerminal as _, Read};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use ratatui::Terminal;
use ratatui::backend::{Backend, TermionBackend};
use ratatui::termion::async_stdin;
use ratatui::termion::event::Key;
use ratatui::termion::input::{Keys, TermRead as _};
use ratatui::termion::raw::IntoRawMode as _;
use ratatui::termion::screen::IntoAlternateScreen;

use super::relay::{RelayApi, Remote};
use snapshot::{Model, Snapshot};

const EVERY: Duration = Duration::from_secs(1);
/// How soon a key is noticed.
const KEY_WAIT: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
pub struct TopArgs {
    #[command(flatten)]
    remote: Remote,
}

pub async fn run(args: &TopArgs, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    if !io::stdout().is_terminal() {
        bail!("`top` needs a terminal: `destinations list --json` and `failures --json` are for programs");
    }
    let relay = args.remote.connect(file)?;
    // A relay that does not answer is an error before anything is drawn.
    let model = Model::new(ask(&relay).await?);
    // When it is dropped, the terminal is as it was.
    let screen = io::stdout().into_raw_mode().and_then(IntoAlternateScreen::into_alternate_screen);
    let mut terminal = Terminal::new(TermionBackend::new(screen.context("the terminal cannot be used")?))?;
    show(&relay, &mut terminal, async_stdin().keys(), model).await?;
    Ok(ExitCode::SUCCESS)
}

/// Draws until a key ends it.
async fn show<B: Backend<Error = io::Error>>(
    relay: &RelayApi,
    terminal: &mut Terminal<B>,
    mut keys: Keys<impl Read>,
    mut model: Model,
) -> anyhow::Result<()> {
    loop {
        terminal.draw(|frame| screen::draw(&model, frame)).context("the terminal cannot be drawn on")?;
        let until = Instant::now() + EVERY;
        while Instant::now() < until {
            for key in keys.by_ref() {
                if is_end(key?) {
                    return Ok(());
                }
            }
            tokio::time::sleep(KEY_WAIT).await;
        }
        match ask(relay).await {
            Ok(snapshot) => model.add(snapshot),
            // It may be starting again.
            Err(error) => model.lost = Some(error.to_string()),
        }
    }
}

async fn ask(relay: &RelayApi) -> anyhow::Result<Snapshot> {
    let overview = relay.fetch("/api/overview").await?;
    let failures = relay.fetch("/api/failures").await?;
    Ok(Snapshot { at: Instant::now(), overview, failures })
}

const fn is_end(key: Key) -> bool {
    matches!(key, Key::Char('q') | Key::Esc | Key::Ctrl('c'))
}
