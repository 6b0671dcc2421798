//! `explain`: what a reason code means and what to do, from the same catalogue as answers, logs and metrics.

use std::io::{self, Write as _};
use std::process::ExitCode;

use accoil_mapping::nearest;
use clap::Args;
use serde_json::json;

use super::table;
use crate::reasons::Reason;

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The code, as answers, log lines and lists show it: reject.missing. Without one: every code
    code: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let out = &mut io::stdout().lock();
    let Some(code) = &args.code else { return list(args.json, out) };
    let Some(reason) = Reason::of_code(code.trim()) else {
        let nearest = nearest(code, Reason::ALL.iter().map(|reason| reason.code()));
        let advice = nearest.map_or_else(
            || "`accoil-relay explain` lists every code".to_owned(),
            |nearest| format!("did you mean `{nearest}`?"),
        );
        anyhow::bail!("there is no reason with the code `{code}`: {advice}");
    };
    if args.json {
        writeln!(out, "{}", to_json(reason))?;
    } else {
        let (kind, title) = (reason.kind().name(), reason.title());
        writeln!(
            out,
            "{} ({kind}): {title}\n\n{}\n\nWhat to do: {}",
            reason.code(),
            reason.happened(),
            reason.to_do()
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list(is_json: bool, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    if is_json {
        for reason in Reason::ALL {
            writeln!(out, "{}", to_json(*reason))?;
        }
    } else {
        let rows: Vec<[String; 3]> = Reason::ALL
            .iter()
            .map(|reason| [reason.code(), reason.kind().name(), reason.title()].map(str::to_owned))
            .collect();
        table::write(out, ["CODE", "KIND", "TITLE"], &rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn to_json(reason: Reason) -> serde_json::Value {
    json!({
        "code": reason.code(),
        "kind": reason.kind().name(),
        "title": reason.title(),
        "happened": reason.happened(),
        "to_do": reason.to_do(),
    })
}
