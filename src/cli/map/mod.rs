//! `map`: a dry run of decode, match, map and validate. Each document in the files or stdin is treated as a received event;
//! stdout shows its calls, one line of JSON per event or, on a terminal, in a readable form.
//!
//! Nothing is sent or stored, so derived calls are always shown.

mod readable;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use chrono::Utc;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::value::RawValue;

use super::documents;
use super::error::UsageError;
use crate::accoil::{self, Destination, Plan, Refusal};
use crate::config::{Config, Environment};
use crate::decode::{self, Form};
use crate::event::{DecodeResult, Dialect, SourceKind, Violation};
use crate::json::Value;
use crate::pipeline::{Pipeline, Planned, Source};
use crate::reasons::Reason;
use crate::run;

#[derive(Debug, clap::Args)]
pub struct MapArgs {
    /// Files of events, one per line or pretty-printed; - or no file reads stdin
    pub files: Vec<PathBuf>,
    /// The source that the events are from: the name of a configured one, or "segment" or "amplitude"
    #[arg(long, value_name = "NAME")]
    pub source: String,
    /// Use this request form of Accoil instead of the configured one
    #[arg(long, value_enum)]
    pub api: Option<Api>,
    /// Refuse exactly what Segment's destination refuses
    #[arg(long)]
    pub strict: bool,
    /// Explain why each mapping matched or not, and what each field became
    #[arg(long)]
    pub explain: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Api {
    V2,
    Segment,
}

/// One line of stdout.
#[derive(Serialize)]
struct EventOutput<'p> {
    requests: Vec<RequestOutput<'p>>,
    rejected: &'p [Refusal],
    skipped: Option<&'p str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<Vec<Box<RawValue>>>,
}

#[derive(Serialize)]
struct RequestOutput<'p> {
    destination: &'p str,
    mapping: &'p str,
    action: &'p str,
    path: &'p str,
    body: &'p RawValue,
    #[serde(skip_serializing_if = "str::is_empty")]
    warnings: &'p str,
}

/// An event as mappings see it, with the result of each mapping.
#[derive(Serialize)]
struct ExplainedEvent<'e> {
    event: &'e Value<'e>,
    /// Whether another event implies it. A derived call is sent only if its content is new.
    derived: bool,
    mappings: Vec<accoil::Explanation<'e>>,
}

pub fn run(args: &MapArgs, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mapper = Mapper::new(args, file)?;
    let is_terminal = io::stdout().is_terminal();
    let mut count = 0;
    documents::answer_each(&args.files, io::stdout().lock(), |document, out| {
        let mut explanations = args.explain.then(Vec::new);
        let mut titles = Vec::new();
        let plan = match document {
            Ok(document) => mapper.look(document, |decoded| {
                if is_terminal {
                    titles.extend(readable::titles(decoded));
                }
                if let Some(explanations) = &mut explanations {
                    explanations.extend(mapper.explain(decoded));
                }
            }),
            Err(reason) => refused(reason),
        };
        let shown = shown(&plan, explanations)?;
        count += 1;
        if is_terminal {
            return readable::write(out, count, &titles, &shown);
        }
        serde_json::to_writer(&mut *out, &shown)?;
        Ok(out.write_all(b"\n")?)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The stages from decode to accoil, configured for one source.
pub(super) struct Mapper {
    source: Source,
    limits: decode::Limits,
}

impl Mapper {
    fn new(args: &MapArgs, file: Option<&Path>) -> anyhow::Result<Self> {
        let environment = Environment::of_process();
        // Without a configuration the presets are used: a dry run needs no key.
        let mut config = match Config::load(file, &environment) {
            Ok(config) => config,
            Err(faults) if file.is_some() || environment.has_configuration() => return Err(faults.into()),
            Err(_) => {
                let keys = [("ACCOIL_API_KEY", "dry-run"), ("ACCOIL_RELAY_WRITE_KEY", "dry-run")];
                Config::load(None, &environment.with(&keys))?
            }
        };
        for destination in &mut config.destinations {
            destination.strict |= args.strict;
            match args.api {
                Some(Api::V2) => destination.api = Dialect::V2,
                Some(Api::Segment) => destination.api = Dialect::Segment,
                None => {}
            }
        }
        Self::of(&config, &args.source)
    }

    /// For the source with this name, or the only source of this kind. If there is none of this kind, uses default settings.
    pub(super) fn of(config: &Config, name_or_kind: &str) -> anyhow::Result<Self> {
        let destinations: Vec<Arc<Destination>> = run::destinations(config)?;
        let source = run::source_called(config, name_or_kind, &destinations)
            .map_err(|error| UsageError(format!("--source {name_or_kind}: {error}")))?;
        let limits = decode::Limits {
            event_bytes: config.limits.webhook_bytes,
            events: config.limits.webhook_events,
            depth: config.limits.json_depth,
        };
        Ok(Self { source, limits })
    }

    #[cfg(feature = "sandbox")]
    pub(super) fn plan(&self, text: &str) -> Plan {
        self.look(text, |_| {})
    }

    /// Plans the calls of a body, and passes each of its items to `look`.
    fn look(&self, text: &str, mut look: impl FnMut(&DecodeResult<'_>)) -> Plan {
        let form = match self.source.kind {
            SourceKind::Segment => Form::SegmentWebhook,
            SourceKind::Amplitude => Form::AmplitudeStream,
        };
        let (source, limits, received_at) = (&self.source, self.limits, Utc::now());
        let pipeline = Pipeline { source, form, limits, received_at, is_text_repaired: false };
        let items = match pipeline.plan_body(text) {
            Ok(items) => items,
            Err(error) => return refused(error.to_string()),
        };
        let mut whole = Plan::default();
        for Planned { item, plan } in items {
            look(&item.outcome);
            whole.requests.extend(plan.requests);
            whole.rejected.extend(plan.rejected);
            whole.skipped = whole.skipped.or(plan.skipped);
        }
        if !whole.requests.is_empty() || !whole.rejected.is_empty() {
            whole.skipped = None;
        }
        whole
    }

    /// The explanation of each of an item's events.
    fn explain(&self, decoded: &DecodeResult<'_>) -> Vec<Box<RawValue>> {
        let DecodeResult::Events(events) = decoded else { return Vec::new() };
        let explained = events.iter().filter_map(|event| {
            let destinations = &self.source.destinations;
            let mappings: Vec<_> = destinations
                .iter()
                .flat_map(|destination| destination.explain(self.source.kind, event))
                .collect();
            let explained = ExplainedEvent { event: &event.value, derived: event.derived, mappings };
            serde_json::value::to_raw_value(&explained).ok()
        });
        explained.collect()
    }
}

fn refused(reason: String) -> Plan {
    accoil::plan::<Arc<Destination>>(
        &[],
        SourceKind::Segment,
        &DecodeResult::Rejected(Violation::new("", reason)),
    )
}

fn shown(plan: &Plan, explain: Option<Vec<Box<RawValue>>>) -> anyhow::Result<EventOutput<'_>> {
    let requests = plan.requests.iter().map(|request| {
        Ok(RequestOutput {
            destination: &request.destination,
            mapping: &request.mapping,
            action: request.action,
            path: request.path,
            body: serde_json::from_slice(&request.body)?,
            warnings: &request.warnings,
        })
    });
    Ok(EventOutput {
        requests: requests.collect::<anyhow::Result<_>>()?,
        rejected: &plan.rejected,
        skipped: plan.skipped.map(Reason::title),
        explain,
    })
}
