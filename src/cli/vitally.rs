//! `vitally accounts`: reads and writes single Vitally accounts. Prints one account per line, as JSON that Vitally sent.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value};

use super::error::MissingSection;
use super::{load, print_message};
use crate::accounts::vitally::{
    Changes, Client, Listing, MAX_PAGE_SIZE, NewAccount, Page, Pages, Sort, Status,
};
use crate::config::Config;

/// The most bytes of traits on stdin.
const MAX_TRAITS_BYTES: u64 = 4 << 20;
/// The exit code of an invalid command line.
const USAGE: u8 = 2;

#[derive(Debug, Subcommand)]
pub enum Vitally {
    /// Read and write accounts
    #[command(subcommand)]
    Accounts(Accounts),
}

#[derive(Debug, Subcommand)]
pub enum Accounts {
    /// List all accounts, or one page with --limit, the latest first
    List(ListArgs),
    /// Read one account
    Get(Account),
    /// Read the parts of an account's health score
    Health(Account),
    /// Create an account; fails if one with this external id exists
    Create(CreateArgs),
    /// Change the name, traits or organization, or remove the owner; everything else stays as it is
    Update(UpdateArgs),
    /// Delete an account for good
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only accounts with this status
    #[arg(long, value_enum, default_value_t = StatusName::Active, conflicts_with = "organization")]
    status: StatusName,
    /// The order; with updatedAt it may change while the list is read
    #[arg(long, value_enum, default_value_t = SortName::CreatedAt)]
    sort: SortName,
    /// Read one page with at most this many accounts; stderr shows the cursor of the next page
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_PAGE_SIZE)))]
    limit: Option<u8>,
    /// Start at the cursor that an earlier page showed
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
    /// The account's id in your product
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    external_id: String,
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// Vitally's id of the account's organization
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
    /// Move the account to this organization, by Vitally's id or the external id
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    organization: Option<String>,
    /// Remove the account from its organization
    #[arg(long, conflicts_with = "organization")]
    no_organization: bool,
    /// Remove the owner; an owner can be chosen only in Vitally's app
    #[arg(long)]
    no_owner: bool,
    /// A JSON object to merge into the existing traits; null removes a trait; - reads it from stdin
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    traits: Option<String>,
}

#[derive(Debug, Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    account: Account,
    /// Confirm that the account is deleted for good
    #[arg(long)]
    yes: bool,
}

pub async fn run(what: Vitally, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let Vitally::Accounts(what) = what;
    // An invalid command line is reported before the configuration is read.
    let what = match Request::from(what) {
        Ok(request) => request,
        Err(error) => {
            print_message(&format!("error: {error:#}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
    what.execute(&client(&load(file)?)?).await?;
    Ok(ExitCode::SUCCESS)
}

fn client(config: &Config) -> anyhow::Result<Client> {
    let vitally = config.vitally.as_ref().ok_or(MissingSection::VITALLY)?;
    Ok(Client::new(&vitally.base_url, &vitally.secret, &config.proxies)?)
}

/// A valid command line.
enum Request {
    Page(Listing),
    All(Listing),
    Get(String),
    Health(String),
    Create(NewAccount),
    Update(String, Changes),
    Delete(String),
}

impl Request {
    fn from(what: Accounts) -> anyhow::Result<Self> {
        Ok(match what {
            Accounts::List(args) if args.limit.is_some() => Self::Page(args.listing()),
            Accounts::List(args) => Self::All(args.listing()),
            Accounts::Get(account) => Self::Get(account.id),
            Accounts::Health(account) => Self::Health(account.id),
            Accounts::Create(args) => Self::Create(NewAccount {
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
                ensure!(!changes.is_empty(), "nothing to change: the traits are empty");
                Self::Update(args.account.id, changes)
            }
            Accounts::Delete(args) => {
                ensure!(
                    args.yes,
                    "a deleted account cannot be restored: Vitally deletes it and everything that belongs to it alone \
                     (recordings, conversations, notes, tasks, traits). Add --yes to confirm"
                );
                Self::Delete(args.account.id)
            }
        })
    }

    async fn execute(self, client: &Client) -> anyhow::Result<()> {
        match self {
            Self::Page(listing) => {
                let page = client.list(&listing).await?;
                print_page(&page)?;
                if let Some(next) = page.next {
                    print_message(&format!("next page: --from={}", quoted(&next)));
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
                print_message("deleted");
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

/// Quotes a text as one word for a shell.
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
        print_message(&format!("left out of the page because they are not accounts: {}", page.unreadable));
    }
    output.flush()
}

fn print(body: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{body}")
}
