//! `import`: old events from files, through the stages of their source, by the running relay or into the outbox of a stopped one.
//!
//! It reads a file twice: first to count its events, then to import them. The relay stores the progress with the events.

mod items;

use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde_json::json;

use super::print_message;
use super::relay::{Owner, RelayApi, RelayRefusal};
use crate::config::Config;
use crate::event_id::EventIds;
use crate::facts::Counts;
use crate::outbox::{AcceptError, ChangeError};
use crate::plain::plain;
use crate::replay::{
    Begun, ImportError, ImportEvent, ImportFile, ImportStep, Imported, Importer, MAX_IMPORT_STEP,
};
use crate::run;
use items::{Item, Items};

/// The text of one step. The largest event is larger, and is a step of its own.
const STEP_BYTES: usize = 1 << 20;
/// The wait before a step is sent again to a busy relay.
const BUSY_WAIT: Duration = Duration::from_secs(1);
/// A relay may be busy for this long, for example because a destination is away.
const BUSY_MAX: Duration = Duration::from_secs(600);
/// Characters shown of a reason.
const MAX_SHOWN: usize = 300;
const BY: &str = "import";

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Files of events, one per line or in one JSON list, plain or packed by gzip or zstd; - is stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The configured source that the events are from
    #[arg(long, value_name = "NAME")]
    source: String,
    /// Import a file that was imported before; events with known message ids stay duplicates
    #[arg(long)]
    again: bool,
}

/// Who stores the events.
enum Store {
    Relay(RelayApi),
    Outbox(Importer),
}

/// The sums of a file.
#[derive(Default)]
struct Sums {
    accepted: u64,
    duplicates: u64,
    skipped: u64,
    rejected: u64,
    unreadable: u64,
}

pub async fn run(args: &ImportArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let owner = match Owner::find(config).await? {
        Owner::Relay(relay) => (Store::Relay(relay), None),
        Owner::Command(outbox) => {
            let destinations = run::destinations(config)?;
            let sources = std::sync::Arc::new(run::sources(config, &destinations, &Counts::default()));
            let ids = EventIds::new(0);
            let ids = move |received_at, events| ids.reserve(received_at, events);
            let importer = Importer::new(outbox.clone(), move || sources.clone(), ids, config.limits.clone());
            (Store::Outbox(importer), Some(outbox))
        }
    };
    let (store, outbox) = owner;
    let mut is_whole = true;
    let mut result = Ok(());
    for file in &args.files {
        let imported = import(&store, args, file).await;
        match imported.with_context(|| format!("{} was not imported whole", file.display())) {
            Ok(sums) => is_whole &= sums.rejected + sums.unreadable == 0,
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    if let Some(outbox) = outbox {
        outbox.close().await;
    }
    result?;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A file that can be read twice.
fn open(path: &Path) -> anyhow::Result<File> {
    if path != Path::new("-") {
        let file = File::open(path).context("it cannot be opened: check the path and its permissions")?;
        if file.metadata()?.is_dir() {
            bail!("it is a folder: name the files in it");
        }
        return Ok(file);
    }
    // Without the number of events and a checksum, the import could not be continued.
    let mut copy = unnamed_file().context("no temporary file could be made for stdin")?;
    io::copy(&mut io::stdin().lock(), &mut copy).context("stdin could not be read")?;
    copy.rewind()?;
    Ok(copy)
}

/// A file that is gone when it is closed.
fn unnamed_file() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("accoil-relay-import-{}", uuid::Uuid::new_v4()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

async fn import(store: &Store, args: &ImportArgs, path: &Path) -> anyhow::Result<Sums> {
    let mut file = open(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (events, checksum) = look(&mut file)?;
    file.rewind()?;
    if events == 0 {
        print_message(&format!("{name}: no events"));
        return Ok(Sums::default());
    }
    let described = ImportFile { source: args.source.clone(), name: name.clone(), events, checksum };
    let Begun { job, after } = begin(store, &described, args.again).await?;
    let bar = bar(events, &name);
    if after > 0 {
        bar.println(format!("{name}: continues after event {after}"));
    }
    bar.set_position(after);
    let sums = import_from(store, job, &mut Items::new(file)?, (after, events), &bar, path).await;
    bar.finish_and_clear();
    let sums = sums?;
    let Sums { accepted, duplicates, skipped, rejected, unreadable } = sums;
    print_message(&format!(
        "{name}: {} accepted, {} duplicates, {} skipped, {} rejected, {} unreadable",
        HumanCount(accepted),
        HumanCount(duplicates),
        HumanCount(skipped),
        HumanCount(rejected),
        HumanCount(unreadable)
    ));
    Ok(sums)
}

/// Counts the events of a file and computes its checksum.
fn look(file: &mut File) -> anyhow::Result<(u64, String)> {
    let mut hash = crc32fast::Hasher::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
    let length = file.stream_position()?;
    file.rewind()?;
    let mut items = Items::new(&*file)?;
    let mut events = 0;
    while items
        .next()
        .context("it is damaged or cut off; unpack it with its own program to see how far it can be read")?
        .is_some()
    {
        events += 1;
    }
    Ok((events, format!("{:08x}-{length}", hash.finalize())))
}

async fn begin(store: &Store, file: &ImportFile, again: bool) -> anyhow::Result<Begun> {
    match store {
        Store::Outbox(importer) => Ok(importer.begin(file, again, BY).await?),
        Store::Relay(relay) => {
            let ImportFile { source, name, events, checksum } = file;
            let request = json!({"source": source, "name": name, "events": events, "checksum": checksum, "again": again});
            relay.post("/api/imports", &request).await
        }
    }
}

async fn import_from(
    store: &Store,
    job: i64,
    items: &mut Items<File>,
    (mut after, events): (u64, u64),
    bar: &ProgressBar,
    path: &Path,
) -> anyhow::Result<Sums> {
    let mut sums = Sums::default();
    for _ in 0..after {
        items.next()?;
    }
    while after < events {
        let read = next(items)?;
        if read.is_empty() {
            bail!("the file changed while it was read");
        }
        let count = read.len() as u64;
        let mut step =
            ImportStep { after, events: Vec::with_capacity(read.len()), is_last: after + count >= events };
        for Item { line, text } in read {
            if let Err(why) = &text {
                sums.unreadable += 1;
                show(bar, path, line, why)?;
            }
            step.events.push(ImportEvent { line, text: text.unwrap_or_default() });
        }
        let imported = send(store, job, &step, bar).await?;
        for reason in &imported.reasons {
            show(bar, path, reason.line, &reason.reason)?;
        }
        sums.accepted += imported.accepted;
        sums.duplicates += imported.duplicates;
        sums.skipped += imported.skipped;
        sums.rejected += imported.rejected;
        after += count;
        bar.set_position(after);
    }
    Ok(sums)
}

/// Reads the events of one step.
fn next(items: &mut Items<File>) -> io::Result<Vec<Item>> {
    let (mut read, mut bytes) = (Vec::new(), 0);
    while read.len() < MAX_IMPORT_STEP && bytes < STEP_BYTES {
        let Some(item) = items.next()? else { break };
        bytes += item.text.as_ref().map_or(0, String::len);
        read.push(item);
    }
    Ok(read)
}

/// One line of stdout for each event that was not accepted: file, line, reason.
fn show(bar: &ProgressBar, path: &Path, line: u64, reason: &str) -> io::Result<()> {
    let reason = plain(reason, MAX_SHOWN);
    bar.suspend(|| writeln!(io::stdout().lock(), "{}:{line}\t{reason}", path.display()))
}

/// Sends a step until the relay has room for it.
async fn send(store: &Store, job: i64, step: &ImportStep, bar: &ProgressBar) -> anyhow::Result<Imported> {
    let began = Instant::now();
    loop {
        let error = match try_send(store, job, step).await {
            Ok(imported) => return Ok(imported),
            Err(error) => error,
        };
        if !is_busy(&error) || began.elapsed() > BUSY_MAX {
            return Err(error).context("start the same command again to continue it");
        }
        bar.set_message("waits for the relay");
        tokio::time::sleep(BUSY_WAIT).await;
        bar.set_message("");
    }
}

async fn try_send(store: &Store, job: i64, step: &ImportStep) -> anyhow::Result<Imported> {
    match store {
        Store::Outbox(importer) => Ok(importer.step(job, step.clone()).await?),
        Store::Relay(relay) => relay.post(&format!("/api/imports/{job}"), step).await,
    }
}

fn is_busy(error: &anyhow::Error) -> bool {
    if let Some(refused) = error.downcast_ref::<RelayRefusal>() {
        return refused.code() == "busy";
    }
    matches!(error.downcast_ref(), Some(ImportError::Change(ChangeError(AcceptError::Busy))))
}

fn bar(events: u64, name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{prefix} [{bar:30}] {human_pos} of {human_len}, {per_sec}, {eta} left {msg}",
    );
    let bar = ProgressBar::new(events).with_prefix(plain(name, 60));
    match style {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}
