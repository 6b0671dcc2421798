//! `deploy/kubernetes`: against Kubernetes' own schemas, the relay's configuration, and each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{
    SECRET, config, deploy, document, documents, has_only_known_metrics, is_the_tested_nats, nats_accepts,
    read, servers, texts,
};

/// The oldest release of Kubernetes that the files are for: the first with `sleep` before a stop.
const RELEASE: &str = "1.30";
/// A list of Kubernetes' own kinds; the other files are for kustomize, the Prometheus operator and a chart.
const MANIFESTS: [&str; 4] =
    ["nats.yaml", "relay.yaml", "secret.example.yaml", "autoscaling/autoscaler.yaml"];

fn of_kind(file: &str, kind: &str) -> Vec<Value> {
    let all = documents(&format!("kubernetes/{file}")).into_iter();
    all.filter(|document| document["kind"] == kind).collect()
}

fn only(file: &str, kind: &str) -> Value {
    let [one] = <[Value; 1]>::try_from(of_kind(file, kind)).unwrap();
    one
}

#[test]
fn kubernetes_schemas_allow_every_manifest() {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubernetes/installed");
    assert!(installed.exists(), "there are no schemas: run tests/install.sh");
    let mut check = Command::new("python3");
    check.env("PYTHONPATH", installed).args(["-m", "kubernetes_validate", "--strict", "-k", RELEASE]);
    check.args(MANIFESTS.map(|file| deploy("kubernetes").join(file)));
    let output = check.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let manifests =
        MANIFESTS.iter().map(|file| documents(&format!("kubernetes/{file}")).len()).sum::<usize>();
    assert_eq!(said.matches(" passed for resource ").count(), manifests, "{said}");
}

#[test]
fn selectors_find_their_pods_and_probes_their_ports() {
    for file in ["nats.yaml", "relay.yaml"] {
        let set = only(file, "StatefulSet");
        let pod = &set["spec"]["template"];
        let labels = &pod["metadata"]["labels"];
        assert_eq!(&set["spec"]["selector"]["matchLabels"], labels);
        let container = &pod["spec"]["containers"][0];
        let ports = container["ports"].as_array().unwrap();
        let has_port = |name: &Value| ports.iter().any(|port| &port["name"] == name);
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            assert!(has_port(&container[probe]["httpGet"]["port"]), "{file}: {probe}");
        }
        let services = of_kind(file, "Service");
        for service in &services {
            assert_eq!(&service["spec"]["selector"], labels);
            for port in service["spec"]["ports"].as_array().unwrap() {
                assert!(has_port(port.get("targetPort").unwrap_or(&port["name"])), "{file}: {port}");
            }
        }
        let governs = |service: &Value| {
            service["metadata"]["name"] == set["spec"]["serviceName"]
                && service["spec"]["clusterIP"] == "None"
        };
        assert!(services.iter().any(governs), "{file}: a headless service gives the pods their names");
        let budget = only(file, "PodDisruptionBudget");
        assert_eq!(&budget["spec"]["selector"]["matchLabels"], labels);
        let mut volumes: BTreeSet<_> = BTreeSet::new();
        for volume in [&pod["spec"]["volumes"], &set["spec"]["volumeClaimTemplates"]] {
            let names = volume.as_array().unwrap().iter();
            volumes.extend(names.map(|one| one.get("name").unwrap_or(&one["metadata"]["name"]).to_string()));
        }
        for mount in container["volumeMounts"].as_array().unwrap() {
            assert!(volumes.contains(&mount["name"].to_string()), "{file}: {mount}");
        }
    }
}

#[test]
fn the_relays_start_with_their_file_and_secrets_and_find_the_nats_servers() {
    let set = only("relay.yaml", "StatefulSet");
    let pod = &set["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let secret = only("secret.example.yaml", "Secret");
    assert_eq!(container["envFrom"][0]["secretRef"]["name"], secret["metadata"]["name"]);
    let mut variables: BTreeMap<String, String> = secret["stringData"]
        .as_object()
        .unwrap()
        .keys()
        .map(|name| (name.clone(), if name == "ACCOIL_API_KEY" { "key" } else { SECRET }.to_owned()))
        .collect();
    for variable in container["env"].as_array().unwrap() {
        let text = |name: &str| variable[name].as_str().unwrap().to_owned();
        variables.insert(text("name"), text("value"));
    }
    let file = variables.remove("ACCOIL_RELAY_CONFIG").unwrap();
    let mounted = Path::new(container["volumeMounts"][1]["mountPath"].as_str().unwrap());
    assert_eq!(Path::new(&file).parent(), Some(mounted));
    let config = config(&variables, Some(&deploy("kubernetes").join(Path::new(&file).file_name().unwrap())));

    let nats = only("nats.yaml", "StatefulSet");
    let replicas = nats["spec"]["replicas"].as_u64().unwrap();
    let name = |number| format!("nats-{number}.{}", nats["spec"]["serviceName"].as_str().unwrap());
    assert_eq!(
        servers(&config),
        (0..replicas).map(|number| format!("{}:4222", name(number))).collect::<Vec<_>>()
    );
    let routes: Vec<_> = (0..replicas).map(|number| format!("nats://{}:6222", name(number))).collect();
    nats_accepts("kubernetes/nats.conf", &routes);
    let server = &nats["spec"]["template"]["spec"]["containers"][0];
    is_the_tested_nats(server["image"].as_str().unwrap());
    let password = &server["env"][1]["valueFrom"]["secretKeyRef"];
    assert!(secret["stringData"].get(password["key"].as_str().unwrap()).is_some());

    let ports: Vec<_> =
        container["ports"].as_array().unwrap().iter().map(|port| &port["containerPort"]).collect();
    assert_eq!(ports, [config.server.listen.port(), config.admin.listen.port()]);
    let before = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap();
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(Duration::from_secs(grace - before) > config.server.shutdown_timeout);
    let generated = document("kubernetes/kustomization.yaml");
    for map in generated["configMapGenerator"].as_array().unwrap() {
        for file in texts(&map["files"]) {
            assert!(deploy("kubernetes").join(file).exists(), "{file}");
        }
    }
}

#[test]
fn the_autoscaler_counts_a_metric_that_exists() {
    let scaler = document("kubernetes/autoscaling/autoscaler.yaml");
    let relays = only("relay.yaml", "StatefulSet");
    assert_eq!(scaler["spec"]["scaleTargetRef"]["name"], relays["metadata"]["name"]);
    let values = document("kubernetes/autoscaling/adapter-values.yaml");
    let rule = &values["rules"]["external"][0];
    assert_eq!(scaler["spec"]["metrics"][0]["external"]["metric"]["name"], rule["name"]["as"]);
    has_only_known_metrics(&read("kubernetes/autoscaling/adapter-values.yaml"), &["backlog"]);
    let monitor = document("kubernetes/autoscaling/monitor.yaml");
    let pod = &relays["spec"]["template"];
    assert_eq!(monitor["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"]);
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    assert_eq!(endpoint["port"], pod["spec"]["containers"][0]["ports"][1]["name"]);
    let secret = only("secret.example.yaml", "Secret");
    let key = endpoint["authorization"]["credentials"]["key"].as_str().unwrap();
    assert!(secret["stringData"].get(key).is_some());
}
