//! `accounts get`: reads one account with its scores from Accoil, and prints JSON or a card for people.

mod card;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Subcommand};

use super::error::MissingSection;
use crate::accounts::accoil::{ExpandBlocks, Lookup, Query};
use crate::config::Config;
use crate::run;

/// The longest wait before a retry; the command fails instead of waiting longer.
const MAX_WAIT: Duration = Duration::from_secs(3);

#[derive(Debug, Subcommand)]
pub enum Accounts {
    /// Read one account from Accoil: its scores and, on request, its traits, segments and insights
    Get(GetArgs),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("lookup").required(true).args(["id", "match_type"]))]
pub struct GetArgs {
    /// Accoil's own id, the last number of the account's address in the app
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    id: Option<String>,
    /// domain, name, `intercom_id`, `salesforce_id`, `tracking_id` or a trait of your own
    #[arg(long, value_name = "TRAIT", requires = "match_value", value_parser = NonEmptyStringValueParser::new())]
    match_type: Option<String>,
    /// The exact value of that trait
    #[arg(long, value_name = "VALUE", requires = "match_type", value_parser = NonEmptyStringValueParser::new())]
    match_value: Option<String>,
    /// Further blocks to read: traits, insights, segments, separated by commas
    #[arg(long, value_name = "BLOCKS", default_value = "", hide_default_value = true)]
    expand: ExpandBlocks,
    /// The workspace; without this option the one in the configuration
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    workspace_id: Option<String>,
    /// Print a card for people instead of JSON
    #[arg(long)]
    pretty: bool,
}

pub async fn run(what: Accounts, config: &Config) -> anyhow::Result<ExitCode> {
    let Accounts::Get(args) = what;
    let client = run::accoil_client(config)?.ok_or(MissingSection::ACCOUNTS)?;
    let client = client.with_max_wait(MAX_WAIT);
    let lookup = Lookup::from_parameters(args.id, args.match_type, args.match_value)?;
    let query = Query { lookup, expand: args.expand, workspace_id: args.workspace_id };
    let found = client.get(&query).await?;
    let text = if args.pretty { card::card(&found.account) } else { found.with_age(Duration::ZERO) };
    writeln!(io::stdout(), "{}", text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
