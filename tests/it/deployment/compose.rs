//! `deploy/compose.cluster.yaml` and the files that it mounts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use accoil_relay::config::Config;
use serde_json::Value;

use super::{SECRET, config, deploy, document, is_the_tested_nats, nats_accepts, read, servers, texts};

const FILE: &str = "compose.cluster.yaml";
const NODES: [&str; 3] = ["nats-1", "nats-2", "nats-3"];
const RELAYS: [&str; 2] = ["relay-1", "relay-2"];

/// Replaces `${NAME:?}` by what stands for secrets and `${NAME:-default}` by the default; adds the names to `names`.
fn filled(text: &str, names: &mut BTreeSet<String>) -> String {
    let mut parts = text.split("${");
    let mut filled = parts.next().unwrap().to_owned();
    for part in parts {
        let (reference, rest) = part.split_once('}').unwrap();
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, default),
            None => (reference.strip_suffix(":?").expect(reference), SECRET),
        };
        names.insert(name.to_owned());
        filled.push_str(default);
        filled.push_str(rest);
    }
    filled
}

fn variables(service: &Value, names: &mut BTreeSet<String>) -> BTreeMap<String, String> {
    let Some(environment) = service["environment"].as_object() else { return BTreeMap::new() };
    environment.iter().map(|(name, value)| (name.clone(), filled(value.as_str().unwrap(), names))).collect()
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs(text.trim().strip_suffix('s').unwrap().parse().unwrap())
}

/// A relay's configuration; its secret is a file of this test.
fn relay(compose: &Value, name: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("admin_token"), SECRET).unwrap();
    let mut variables = variables(&compose["services"][name], &mut BTreeSet::new());
    for value in variables.values_mut() {
        *value = value.replace("/run/secrets", folder.path().to_str().unwrap());
    }
    config(&variables, None)
}

#[test]
fn each_relay_starts_with_its_variables_and_the_ports_agree() {
    let compose = document(FILE);
    let scraped = document("cluster/prometheus.yml");
    let targets = texts(&scraped["scrape_configs"][0]["static_configs"][0]["targets"]);
    let proxy = read("cluster/Caddyfile");
    let line = proxy.lines().find_map(|line| line.trim().strip_prefix("reverse_proxy ")).unwrap();
    let upstreams: Vec<_> = line.trim_end_matches('{').split_whitespace().collect();
    assert_eq!([targets.len(), upstreams.len()], [RELAYS.len(); 2]);
    for (number, name) in RELAYS.into_iter().enumerate() {
        let service = &compose["services"][name];
        let config = relay(&compose, name);
        assert_eq!(servers(&config), NODES.map(|node| format!("{node}:4222")));
        assert_eq!(upstreams[number], format!("{name}:{}", config.server.listen.port()));
        let admin = config.admin.listen.port();
        assert_eq!(targets[number], format!("{name}:{admin}"));
        let published = texts(&service["ports"]);
        assert!(published.iter().all(|port| port.starts_with("127.0.0.1:")), "the dashboard is not public");
        assert_eq!(published, [format!("127.0.0.1:{}:{admin}", 8081 + number)]);
        let grace = seconds(service["stop_grace_period"].as_str().unwrap());
        assert!(grace > config.server.shutdown_timeout);
        let kept = proxy.lines().find_map(|line| line.trim().strip_prefix("keepalive ")).unwrap();
        assert!(seconds(kept) < config.server.keep_alive);
    }
}

#[test]
fn the_nats_servers_are_three_with_a_valid_configuration() {
    let compose = document(FILE);
    nats_accepts("cluster/nats.conf", &NODES.map(|node| format!("nats://{node}:6222")));
    for node in NODES {
        let service = &compose["services"][node];
        is_the_tested_nats(service["image"].as_str().unwrap());
        assert_eq!(service["environment"]["SERVER_NAME"], node);
        assert_eq!(service["networks"], serde_json::json!(["outbox"]));
        assert!(texts(&service["volumes"]).contains(&format!("{node}:/data").as_str()));
    }
    assert_eq!(compose["networks"]["outbox"]["internal"], true);
}

#[test]
fn every_mounted_file_volume_secret_and_variable_exists() {
    let compose = document(FILE);
    let mut names = BTreeSet::new();
    let services = compose["services"].as_object().unwrap();
    for (name, service) in services {
        variables(service, &mut names);
        for mount in service["volumes"].as_array().into_iter().flatten() {
            let from = mount.as_str().unwrap().split(':').next().unwrap();
            match from.strip_prefix("./") {
                Some(file) => assert!(deploy(file).exists(), "{name}: {file}"),
                None => assert!(compose["volumes"].get(from).is_some(), "{name}: {from}"),
            }
        }
        for secret in service["secrets"].as_array().into_iter().flatten() {
            let variable = &compose["secrets"][secret.as_str().unwrap()]["environment"];
            names.insert(variable.as_str().unwrap_or_else(|| panic!("{name}: {secret}")).to_owned());
        }
        for network in texts(&service["networks"]) {
            assert!(compose["networks"].get(network).is_some(), "{name}: {network}");
        }
    }
    let example = read("cluster/example.env");
    let told = example.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    let told: BTreeSet<_> = told.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(told, names, "deploy/cluster/example.env has every variable");
    let source = document("cluster/grafana/datasources.yaml");
    assert_eq!(source["datasources"][0]["url"], "http://prometheus:9090");
    let provider = document("cluster/grafana/dashboards.yaml");
    let shown = provider["providers"][0]["options"]["path"].as_str().unwrap();
    assert!(texts(&services["grafana"]["volumes"]).contains(&format!("./grafana:{shown}:ro").as_str()));
}
