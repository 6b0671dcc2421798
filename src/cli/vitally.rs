//! `vitally accounts`: Vitally's accounts read and written by hand, as JSON, one account a line, as Vitally sent it.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value};

use super::error::MissingSection;
use super::{load, say};
use crate::accounts::vitally::{Changes, Client, Listing, MAX_PAGE_SIZE, New, Page, Pages, Sort, Status};
use crate::config::Config;

/// Of traits on stdin.
const MAX_TRAITS_BYTES: u64 = 4 << 20;
/// What a wrong command line exits with.
const USAGE: u8 = 2;

#[derive(Debug, Subcommand)]
pub enum Vitally {
    /// Its accounts
    #[command(subcommand)]
    Accounts(Accounts),
}

#[derive(Debug, Subcommand)]
pub enum Accounts {
    /// All of them, or one page with --limit, the latest first
    List(ListArgs),
    /// One of them
    Get(Account),
    /// What its health score is made of
    Health(Account),
    /// A new one; refused if there is one with this external id
    Create(CreateArgs),
    /// Change a name, traits or the organization, or remove the owner; the rest stays as it is
    Update(UpdateArgs),
    /// Destroy one for good
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// By whether they have churned
    #[arg(long, value_enum, default_value_t = StatusName::Active, conflicts_with = "organization")]
    status: StatusName,
    /// By which time; the order by updatedAt moves while it is read
    #[arg(long, value_enum, default_value_t = SortName::CreatedAt)]
    sort: SortName,
    /// One page of at most this many; stderr shows where the next one begins
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_PAGE_SIZE)))]
    limit: Option<u8>,
    /// Begin at the cursor that an earlier page showed
    #[arg(long, value_name = "CURSOR", value_parser = NonEmptyStringValueParser::new())]
    from: Option<String>,
    /// Only the accounts of this organization, by Vitally's id for it
    #[arg(long, value_name = "ID")]
    organization: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
pub enum StatusName {
    Active,
    Churned,
    ActiveOrChurned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
pub enum SortName {
    UpdatedAt,
    CreatedAt,
}

#[derive(Debug, Args)]
pub struct Account {
    /// Vitally's id or the external id
    id: String,
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Its id in your product
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    external_id: String,
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// Vitally's id of the organization it belongs to
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    organization: Option<String>,
    /// A JSON object; - reads it from stdin
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    traits: Option<String>,
}

#[derive(Debug, Args)]
#[group(
    id = "change",
    required = true,
    multiple = true,
    args = ["name", "organization", "no_organization", "no_owner", "traits"]
)]
pub struct UpdateArgs {
    #[command(flatten)]
    account: Account,
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// Put it into this organization, by Vitally's id or the external id
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    organization: Option<String>,
    /// Take it out of its organization
    #[arg(long, conflicts_with = "organization")]
    no_organization: bool,
    /// Leave it without an owner; who owns it is chosen in Vitally's app alone
    #[arg(long)]
    no_owner: bool,
    /// A JSON object, merged into the traits that are there; null removes one; - reads it from stdin
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    traits: Option<String>,
}

#[derive(Debug, Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    account: Account,
    /// Yes, for good
    #[arg(long)]
    yes: bool,
}

pub async fn run(what: Vitally, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let Vitally::Accounts(what) = what;
    // A fault of the command line is reported before the configuration is read.
    let what = match Asked::from(what) {
        Ok(asked) => asked,
        Err(error) => {
            say(&format!("error: {error:#}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
    what.carry_out(&client(&load(file)?)?).await?;
    Ok(ExitCode::SUCCESS)
}

fn client(config: &Config) -> anyhow::Result<Client> {
    let vitally = config.vitally.as_ref().ok_or(MissingSection::VITALLY)?;
    Ok(Client::new(&vitally.base_url, &vitally.secret)?)
}

/// A command line that makes sense.
enum Asked {
    Page(Listing),
    All(Listing),
    Get(String),
    Health(String),
    Create(New),
    Update(String, Changes),
    Delete(String),
}

impl Asked {
    fn from(what: Accounts) -> anyhow::Result<Self> {
        Ok(match what {
            Accounts::List(args) if args.limit.is_some() => Self::Page(args.listing()),
            Accounts::List(args) => Self::All(args.listing()),
            Accounts::Get(account) => Self::Get(account.id),
            Accounts::Health(account) => Self::Health(account.id),
            Accounts::Create(args) => Self::Create(New {
                external_id: args.external_id,
                name: args.name,
                organization_id: args.organization,
                traits: traits(args.traits)?,
            }),
            Accounts::Update(args) => {
                let organization =
                    if args.no_organization { Some(None) } else { args.organization.map(Some) };
                let no_owner = args.no_owner.then_some(());
                let changes =
                    Changes { name: args.name, traits: traits(args.traits)?, organization, no_owner };
                ensure!(!changes.is_empty(), "there is nothing to change: the traits are empty");
                Self::Update(args.account.id, changes)
            }
            Accounts::Delete(args) => {
                ensure!(
                    args.yes,
                    "deleting an account is for good: Vitally destroys it and all that belongs to it alone \
                     (recordings, conversations, notes, tasks, traits). Add --yes if that is what you want"
                );
                Self::Delete(args.account.id)
            }
        })
    }

    async fn carry_out(self, client: &Client) -> anyhow::Result<()> {
        match self {
            Self::Page(listing) => {
                let page = client.list(&listing).await?;
                print_page(&page)?;
                if let Some(next) = page.next {
                    say(&format!("next page: --from={}", quoted(&next)));
                }
            }
            Self::All(listing) => {
                let mut pages = Pages::new(client, listing);
                while let Some(page) = pages.next().await? {
                    print_page(&page)?;
                }
            }
            Self::Get(id) => print(&client.get(&id).await?.body)?,
            Self::Health(id) => print(&client.health(&id).await?)?,
            Self::Create(new) => print(&client.create(&new).await?.body)?,
            Self::Update(id, changes) => print(&client.update(&id, &changes).await?.body)?,
            Self::Delete(id) => {
                client.delete(&id).await?;
                say("deleted");
            }
        }
        Ok(())
    }
}

impl ListArgs {
    fn listing(self) -> Listing {
        Listing {
            status: match self.status {
                StatusName::Active => Status::Active,
                StatusName::Churned => Status::Churned,
                StatusName::ActiveOrChurned => Status::ActiveOrChurned,
            },
            sort: match self.sort {
                SortName::UpdatedAt => Sort::UpdatedAt,
                SortName::CreatedAt => Sort::CreatedAt,
            },
            limit: self.limit.unwrap_or(MAX_PAGE_SIZE),
            from: self.from,
            organization: self.organization,
        }
    }
}

/// As one word of a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn traits(given: Option<String>) -> anyhow::Result<Map<String, Value>> {
    let text = match given {
        None => return Ok(Map::new()),
        Some(text) if text == "-" => from_stdin()?,
        Some(text) => text,
    };
    serde_json::from_str(&text).context("--traits must be a JSON object, such as {\"plan\": \"pro\"}")
}

fn from_stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    let read = io::stdin().lock().take(MAX_TRAITS_BYTES + 1).read_to_string(&mut text);
    let read = read.context("--traits - cannot read stdin")?;
    ensure!(read as u64 <= MAX_TRAITS_BYTES, "--traits - takes {} MiB at most", MAX_TRAITS_BYTES >> 20);
    Ok(text)
}

fn print_page(page: &Page) -> io::Result<()> {
    let mut output = io::BufWriter::new(io::stdout().lock());
    for listed in &page.accounts {
        writeln!(output, "{}", listed.body)?;
    }
    if page.unreadable > 0 {
        say(&format!("{} of the page are no accounts and are left out", page.unreadable));
    }
    output.flush()
}

fn print(body: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{body}")
}
