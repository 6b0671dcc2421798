//! Each layer, each fault and its place, and the promises: nothing panics, nothing leaks, what is shown is read again.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::*;

mod properties;
mod variables;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/config");

/// Where there is no file.
fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new("/no/such/directory", variables.iter().copied())
}

/// What `text` is, as the `accoil-relay.toml` of a directory that also holds two secrets.
fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, Faults> {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("accoil-relay.toml"), text).unwrap();
    fs::write(directory.path().join("key"), "from-a-file\r\n").unwrap();
    fs::write(directory.path().join("large"), "k".repeat(64 * 1024 + 1)).unwrap();
    Config::load(None, &Environment::new(directory.path(), variables.iter().copied()))
}

/// The faults as text, files by their names alone.
fn faults(outcome: Result<Config, Faults>) -> String {
    let named = |fault: &Fault| {
        let mut fault = fault.clone();
        if let Place::File { file, .. } = &mut fault.place {
            *file = file.file_name().map(PathBuf::from).unwrap();
        }
        format!("{fault}\n")
    };
    outcome.err().iter().flat_map(Faults::iter).map(named).collect()
}

fn fixture(name: &str) -> String {
    fs::read_to_string(Path::new(FIXTURES).join(name)).unwrap()
}

fn full() -> Config {
    let variables = [
        ("ADMIN_TOKEN", "hush-1"),
        ("WEB_WRITE_KEY", "hush-2"),
        ("USER_PROPERTY", "email"),
        ("ACCOIL_API_TOKEN", "hush-3"),
    ];
    Config::load(Some(&Path::new(FIXTURES).join("full.toml")), &environment(&variables)).unwrap()
}

#[test]
fn the_defaults_match_the_fixture() {
    let config = Config::load(None, &environment(&[("ACCOIL_API_KEY", "key")])).unwrap();
    assert_eq!(show(&config), fixture("default.shown"));
}

#[test]
fn every_key_is_read_and_shown() {
    assert_eq!(show(&full()), fixture("full.shown"));
}

/// `default.toml` and `docs/configuration.md` are written from the table by `UPDATE_DOCS=1 cargo test --lib config`.
#[test]
fn the_documents_follow_from_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (defaults, page) = (root.join("src/config/default.toml"), root.join("docs/configuration.md"));
    let old_page = fs::read_to_string(&page).unwrap();
    let (before, _) = old_page.split_once("## Every key\n").unwrap();
    let new_page = format!("{before}## Every key\n{}", reference::page());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&defaults, reference::defaults()).unwrap();
        fs::write(&page, &new_page).unwrap();
    }
    assert_eq!(fs::read_to_string(&defaults).unwrap(), reference::defaults());
    assert_eq!(fs::read_to_string(&page).unwrap(), new_page);
}

/// The file with the example or the default of each key of the table.
fn examples() -> String {
    let mut text = String::new();
    for table in SECTIONS {
        let is_of = |key: &table::Key, kind: &str| {
            key.only.is_none_or(|only| only.name() == kind)
                && !(key.name == "name" && table.name == "sources")
        };
        let kinds: &[&str] = if table.name == "sources" { &["segment", "amplitude"] } else { &["segment"] };
        for kind in kinds {
            text.extend([&table.heading(), "\n"]);
            if table.name == "sources" {
                text.extend(["name = '", kind, "'\n"]);
            }
            for key in table.keys.iter().filter(|key| is_of(key, kind)) {
                let value = if key.name == "kind" { format!("{kind:?}") } else { key.value.to_owned() };
                // What each kind has by default, is below in the bare file.
                let value = match (*kind, key.name) {
                    ("amplitude", "anonymous") => "\"skip\"".to_owned(),
                    ("amplitude", "deduplication_window") => "\"7d\"".to_owned(),
                    ("amplitude", "write_key") => "\"${PRODUCT_WRITE_KEY}\"".to_owned(),
                    _ => value,
                };
                text.extend([key.name, " = ", &value, "\n"]);
            }
        }
    }
    text
}

#[test]
fn each_example_is_read_and_each_default_is_the_default() {
    let names = ["RELAY_ADMIN_TOKEN", "WEB_WRITE_KEY", "WEB_SECRET", "PRODUCT_WRITE_KEY", "ACCOIL_API_KEY"];
    let more = ["ACCOIL_API_TOKEN", "VITALLY_SECRET", "RELAY_VIEWER_TOKEN", "NATS_NKEY"];
    let variables: Vec<_> = names.into_iter().chain(more).map(|name| (name, "secret")).collect();
    let mut examples = load(&examples(), &variables).unwrap();
    // The example of a rate is an example: there is none by default.
    examples.destinations.iter_mut().for_each(|destination| destination.rate = None);
    // What the examples give as defaults of an entry are its defaults.
    let bare = "[[sources]]\nname = 'segment'\nkind = 'segment'\n[[sources]]\nname = 'amplitude'\nkind = 'amplitude'\n\
                [[destinations]]\nname = 'accoil'\napi_key = 'secret'\n[accounts]\ntoken = 'a'\nworkspace_id = '123'\n";
    let bare = load(bare, &[]).unwrap();
    assert_eq!(format!("{:?}", examples.destinations), format!("{:?}", bare.destinations));
    assert_eq!(format!("{:?}", examples.accounts), format!("{:?}", bare.accounts));
    for (example, bare) in examples.sources.iter().zip(&bare.sources) {
        assert_eq!(example.anonymous, bare.anonymous);
        assert_eq!(example.deduplication_window, bare.deduplication_window);
    }
}

#[test]
fn every_fault_is_reported_with_its_place() {
    let mut seen = 0;
    for entry in fs::read_dir(Path::new(FIXTURES).join("faults")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let expected = fs::read_to_string(path.with_extension("faults")).unwrap_or_default();
            let shown = faults(Config::load(Some(&path), &environment(&[])));
            assert_eq!(shown, expected, "{}", path.display());
            assert!(!shown.contains("hushed"), "{shown}");
            seen += 1;
        }
    }
    assert_eq!(seen, 11);
}

#[test]
fn unreadable_files_are_faults() {
    let shown = |text: &[u8]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let shown = faults(Config::load(Some(file.path()), &environment(&[])));
        shown.replace(&*file.path().to_string_lossy(), "FILE")
    };
    let missing = Config::load(Some(Path::new("/no/such.toml")), &environment(&[]));
    let named = environment(&[("ACCOIL_RELAY_CONFIG", "/no/such/other.toml"), ("ACCOIL_API_KEY", "key")]);
    let all = [
        shown(b"\xff\xfe"),
        shown("a = 1\n".repeat(200_000).as_bytes()),
        faults(missing),
        faults(Config::load(Some(Path::new("/")), &environment(&[]))),
        faults(Config::load(None, &named)),
        faults(Config::load(None, &environment(&[]))),
    ];
    insta::assert_snapshot!(all.concat(), @"
    cannot read the configuration file FILE: stream did not contain valid UTF-8: check the path and its permissions, or name another file with --config
    cannot read the configuration file FILE: it is larger than 1024 KiB: check the path and its permissions, or name another file with --config
    cannot read the configuration file /no/such.toml: No such file or directory (os error 2): check the path and its permissions, or name another file with --config
    cannot read the configuration file /: Is a directory (os error 21): check the path and its permissions, or name another file with --config
    cannot read the configuration file /no/such/other.toml: No such file or directory (os error 2): check the path and its permissions, or name another file with --config
    no configuration found: no accoil-relay.toml here, no --config FILE, and no ACCOIL_API_KEY: write accoil-relay.toml (or name your file with --config or ACCOIL_RELAY_CONFIG); or set ACCOIL_API_KEY, and ACCOIL_RELAY_WRITE_KEY for the senders
    ");
    let nested = format!("a = {}", "[".repeat(200_000));
    assert!(shown(nested.as_bytes()).contains("this is not TOML"));
    assert!(shown("]\n".repeat(100_000).as_bytes()).lines().count() <= 100);
}

#[test]
fn secrets_can_be_read_from_files() {
    let destination = |rest: &str| format!("[[destinations]]\nname = 'a'\n{rest}\n");
    let config = load(&destination("api_key_file = '${DIR:-.}/key'"), &[]).unwrap();
    assert_eq!(config.destinations[0].api_key.expose_secret(), "from-a-file");
    let shown = [
        "api_key_file = 'key'\napi_key = 'a'",
        "api_key_file = 'large'",
        "api_key_file = 'accoil-relay.toml'",
    ]
    .map(|rest| faults(load(&destination(rest), &[])));
    insta::assert_snapshot!(shown.concat(), @"
    accoil-relay.toml:3:16: api_key_file in [[destinations]] is given beside api_key: keep one of the two
    accoil-relay.toml:3:16: api_key_file in [[destinations]] names a file that cannot be read (it is larger than 64 KiB): check its path, which is relative to the configuration file, and its permissions
    accoil-relay.toml:3:16: api_key_file in [[destinations]] contains a space, a line break or a character outside ASCII, which no key has: copy the key again, without anything around it
    ");
}

#[test]
fn tokens_of_the_wrong_product_are_told_and_both_forms_of_vitallys_are_taken() {
    let read = |secret: &str, token: &str| {
        let accounts = format!("[accounts]\nworkspace_id = '1'\ntoken = '{token}'\n");
        load(&format!("{accounts}[vitally]\nsubdomain = 'a'\nsecret = '{secret}'\n"), &[])
    };
    for secret in ["sk_live_1", "Basic c2VjcmV0X2tleTo=", "Basically"] {
        let config = read(secret, "accoil_1").unwrap();
        assert_eq!(config.vitally.unwrap().secret.expose_secret(), secret);
    }
    let shown = [
        ("accoil_hush", "sk_live_hush"),
        ("Basic  hush", "Basic hush"),
        ("Basic sk_live_hush", "Bearer hush"),
        ("basic hush", "a"),
        ("Basic ", "a"),
    ]
    .map(|(secret, token)| faults(read(secret, token)));
    assert!(!shown.concat().contains("hush"));
    insta::assert_snapshot!(shown.concat(), @"
    accoil-relay.toml:3:9: token in [accounts] is a token of the wrong product, Vitally's: use the one from Accoil under Settings > Product Settings > API Token; Vitally's is secret in [vitally]
    accoil-relay.toml:6:10: secret in [vitally] is a token of the wrong product, Accoil's: use the one from Vitally under Settings > Integrations > Vitally REST API; Accoil's is token in [accounts]
    accoil-relay.toml:3:9: token in [accounts] is a token of the wrong product, Vitally's: use the one from Accoil under Settings > Product Settings > API Token; Vitally's is secret in [vitally]
    accoil-relay.toml:6:10: secret in [vitally] begins with Basic, and what follows is not base64: copy the Basic Auth Header again, or give the Secret Token alone
    accoil-relay.toml:3:9: token in [accounts] contains a space, a line break or a character outside ASCII, which no key has: copy the key again, without anything around it
    accoil-relay.toml:6:10: secret in [vitally] begins with Basic, and what follows is not base64: copy the Basic Auth Header again, or give the Secret Token alone
    accoil-relay.toml:6:10: secret in [vitally] contains a space, a line break or a character outside ASCII, which no key has: copy the key again, without anything around it
    accoil-relay.toml:6:10: secret in [vitally] begins with Basic, and what follows is not base64: copy the Basic Auth Header again, or give the Secret Token alone
    ");
}

#[test]
fn flags_are_checked_by_the_same_rules() {
    let mut config = Config::load(None, &environment(&[("ACCOIL_API_KEY", "key")])).unwrap();
    assert!(config.check().is_ok());
    config.server.listen = "0.0.0.0:8080".parse().unwrap();
    insta::assert_snapshot!(config.check().unwrap_err(), @r#"
    the source "segment" has no write_key, and the relay is open to other machines: give it a write_key (without a file: ACCOIL_RELAY_WRITE_KEY), or listen on 127.0.0.1
    the source "amplitude" has no write_key, and the relay is open to other machines: give it a write_key (without a file: ACCOIL_RELAY_WRITE_KEY), or listen on 127.0.0.1
    "#);
}

#[test]
fn durations_read_and_print() {
    for (text, milliseconds) in
        [("250ms", 250), ("30s", 30_000), ("10m", 600_000), ("1h", 3_600_000), ("7d", 604_800_000)]
    {
        assert_eq!(duration::parse(text), Some(Duration::from_millis(milliseconds)), "{text}");
        assert_eq!(duration::print(Duration::from_millis(milliseconds)), text);
    }
    for text in [
        "",
        "5",
        "s",
        "1 s",
        "-1s",
        "1.5s",
        "1H",
        "1h30m",
        "367d",
        "99999999999999999999s",
        "999999999999999999d",
        "١s",
    ] {
        assert_eq!(duration::parse(text), None, "{text}");
    }
}

#[test]
fn base_urls_and_subdomains() {
    let read = |section: &str| {
        load(&format!("[vitally]\nsecret = 'a'\n{section}\n"), &[]).map(|c| c.vitally.unwrap().base_url)
    };
    for (section, url) in [
        ("subdomain = 'ACME-1'", "https://acme-1.rest.vitally.io"),
        ("region = 'eu'", "https://rest.vitally-eu.io"),
        ("base_url = 'https://acme.rest.vitally.io/resources/'", "https://acme.rest.vitally.io"),
        ("region = 'us'\nsubdomain = 'acme'", "https://acme.rest.vitally.io"),
        ("base_url = 'http://[::1]:8080/v1/'", "http://[::1]:8080/v1"),
        ("region = 'eu'\nbase_url = 'https://host'", "https://host"),
    ] {
        assert_eq!(read(section).unwrap(), url, "{section}");
    }
    for section in [
        "subdomain = 'acme.evil'",
        "subdomain = 'evil/'",
        "subdomain = '-acme'",
        "subdomain = 'é'",
        "subdomain = 'a@b'",
        "subdomain = 'a:80'",
        "subdomain = 'a#'",
        "subdomain = 'a?'",
        "subdomain = 'a%2eb'",
        "subdomain = '..'",
        "subdomain = ''",
        "subdomain = 'a b'",
        "subdomain = \"a\\r\\nb\"",
        "subdomain = 'https://acme'",
        "subdomain = 'acme。evil'",
        "subdomain = 'аcme'",
        "region = 'eu'\nsubdomain = 'acme'",
        "region = 'us'",
        "base_url = 'https://'",
        "base_url = 'https:///path'",
        "base_url = 'https://a b'",
        "base_url = 'HTTPS://host?x'",
        "base_url = 'https://u@host'",
        "base_url = 'https://host#x'",
        "base_url = 'file:///etc'",
        "base_url = '//host'",
    ] {
        assert!(read(section).is_err(), "{section}");
    }
}
