//! The files in `deploy/` for more than one relay: they can be read, their settings exist, and what one file names the other has.
//!
//! Nothing is started here but the check of a NATS server's configuration.

mod compose;
mod kubernetes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use accoil_relay::config::{Config, Environment};
use accoil_relay::telemetry::metrics::{ALL, PREFIX};
use serde_json::Value;

use crate::cluster::servers::program;

/// What stands for every secret.
const SECRET: &str = "relay-0f3c";
/// A key that only this test knows.
const PUBLIC_KEY: &str = "UBEQDCWHBI6NL3BZ2TMIQHZFZNN4ELW6WSZPRYRZ44JORXWRIRROSSO7";

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(deploy(path)).unwrap_or_else(|error| panic!("deploy/{path}: {error}"))
}

/// The documents of a YAML file, with what `<<` merges.
fn documents(path: &str) -> Vec<Value> {
    let text = read(path);
    let document = |reader| {
        let mut value: serde_yaml_ng::Value = serde::Deserialize::deserialize(reader)?;
        value.apply_merge()?;
        Ok::<_, serde_yaml_ng::Error>(serde_json::to_value(value).unwrap())
    };
    let all = serde_yaml_ng::Deserializer::from_str(&text).map(document);
    all.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("deploy/{path}: {error}"))
}

fn document(path: &str) -> Value {
    let [one] = <[Value; 1]>::try_from(documents(path)).unwrap();
    one
}

/// The texts of a list.
fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

/// The relay's configuration as it would start with these variables and this file.
fn config(variables: &BTreeMap<String, String>, file: Option<&Path>) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment::new(folder.path(), variables.clone());
    Config::load(file, &environment).unwrap_or_else(|error| panic!("{error}"))
}

/// The hosts and ports of `outbox.url`. The relay has a key for them.
fn servers(config: &Config) -> Vec<String> {
    assert!(config.outbox.nkey.is_some());
    let server = |url: &String| url.strip_prefix("nats://").unwrap_or_else(|| panic!("{url}")).to_owned();
    config.outbox.url.servers.iter().map(server).collect()
}

/// Lets a NATS server check its configuration, which then syncs each write and names the three servers.
fn nats_accepts(path: &str, routes: &[String]) {
    let mut check = Command::new(program());
    check.env("SERVER_NAME", "one").env("NATS_PUBLIC_KEY", PUBLIC_KEY).arg("-t").arg("-c").arg(deploy(path));
    let output = check.output().unwrap();
    assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    let text = read(path);
    for line in [
        "listen: 0.0.0.0:4222",
        "sync_interval: always",
        "listen: 0.0.0.0:6222",
        "users: [{ nkey: $NATS_PUBLIC_KEY }]",
    ] {
        assert!(text.lines().any(|found| found.trim() == line), "{path}: {line}");
    }
    assert!(text.contains(&format!("routes: [{}]", routes.join(", "))), "{path}: {routes:?}");
}

/// The image of the NATS servers has the version that the tests run with.
fn is_the_tested_nats(image: &str) {
    let pins = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nats/requirements.txt");
    let pins = std::fs::read_to_string(pins).unwrap();
    let (_, version) = pins.split_whitespace().next().unwrap().split_once("==").unwrap();
    assert_eq!(image, format!("nats:{version}-alpine"));
}

/// Every metric that the text names exists.
fn has_only_known_metrics(text: &str, own: &[&str]) {
    let words = text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
    let named: Vec<_> = words.filter_map(|word| word.strip_prefix(PREFIX)).collect();
    assert!(!named.is_empty());
    for name in named {
        assert!(own.contains(&name) || ALL.iter().any(|metric| metric.name == name), "{PREFIX}{name}");
    }
}
