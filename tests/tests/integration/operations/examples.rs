//! The example alerts, dashboard and manifests match the metrics and settings of the real broker.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use reqwest::{Certificate, Method};
use serde_json::Value;
use system_tests::broker::{Broker, NO_RATE_LIMIT};
use system_tests::certificates::Authority;
use system_tests::wrappers::root;
use system_tests::yaml_files::{assert_follows_kubernetes, documents};
use system_tests::{http, programs};

fn example(path: &str) -> PathBuf {
    root().join("examples").join(path)
}

/// The metrics and labels that a broker with all features serves.
struct Served {
    names: BTreeSet<String>,
    text: String,
    routes: BTreeSet<String>,
}

impl Served {
    fn by_a_real_broker() -> Self {
        let authority = Authority::new("ours");
        let folder = tempfile::tempdir().unwrap();
        authority.for_a_broker().put(folder.path());
        let root = Certificate::from_pem(authority.pem.as_bytes()).unwrap();
        let shown = folder.path().display();
        let limits =
            format!("{NO_RATE_LIMIT}\n[tls]\ncertificate = \"{shown}/tls.pem\"\nkey = \"{shown}/tls.key\"");
        let broker = Broker::behind_tls(http::client(|builder| builder.tls_certs_only([root])), &limits);
        let text = http::send(broker.request(Method::GET, "/metrics")).expect(200).text;
        let mut names = BTreeSet::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            let endings: &[&str] = match kind {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_count", "_sum"],
                _ => &[""],
            };
            names.extend(endings.iter().map(|ending| format!("{name}{ending}")));
        }
        let api = http::send(broker.request(Method::GET, "/openapi.json")).expect(200).json;
        let routes = api["paths"].as_object().unwrap().keys().cloned().collect();
        Self { names, text, routes }
    }

    /// The metrics and label values of an expression that no broker serves.
    fn missing(&self, expression: &str) -> Vec<String> {
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let names = words.filter(|word| word.starts_with("cloudanix_jit_")).map(str::to_owned);
        let mut missing: Vec<String> = names.filter(|name| !self.names.contains(name)).collect();
        for route in values(expression, "route").iter().flat_map(|routes| routes.split('|')) {
            if !self.routes.contains(route) {
                missing.push(route.to_owned());
            }
        }
        // The label `status` of grants is a word; that of requests is a number or a pattern.
        for status in
            values(expression, "status").iter().filter(|status| !status.starts_with(char::is_numeric))
        {
            if !self.text.contains(&format!("cloudanix_jit_grants{{status=\"{status}\"}}")) {
                missing.push(status.clone());
            }
        }
        missing
    }
}

/// The values that an expression compares a label with.
fn values(expression: &str, label: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in expression.match_indices(label) {
        let rest = expression[at + label.len()..].trim_start_matches(['=', '!', '~']);
        if let Some(value) = rest.strip_prefix('"').and_then(|rest| rest.split('"').next()) {
            found.push(value.to_owned());
        }
    }
    found
}

#[test]
fn every_alert_and_every_panel_is_about_what_a_broker_serves() {
    let served = Served::by_a_real_broker();
    assert_eq!(
        served.missing("rate(cloudanix_jit_made_up_total{route=\"/made/up\", status=\"lost\"}[5m])"),
        ["cloudanix_jit_made_up_total", "/made/up", "lost"]
    );
    let mut used = String::new();
    let rules = documents(&example("prometheus/alerts.yml")).remove(0);
    let rules = rules["groups"][0]["rules"].as_array().unwrap().clone();
    for rule in &rules {
        let expression = rule["expr"].as_str().unwrap();
        assert!(served.missing(expression).is_empty(), "{}: {:?}", rule["alert"], served.missing(expression));
        used.push_str(expression);
    }
    let dashboard = fs::read_to_string(example("grafana/dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            assert!(
                served.missing(expression).is_empty(),
                "{}: {:?}",
                panel["title"],
                served.missing(expression)
            );
            used.push_str(expression);
        }
    }
    // Every metric needs an alert or a panel.
    let unused: Vec<&String> =
        served.names.iter().filter(|name| !name.ends_with("_sum") && !used.contains(name.as_str())).collect();
    assert!(unused.is_empty(), "no alert or panel uses {unused:?}");
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_to_do() {
    let rules = documents(&example("prometheus/alerts.yml")).remove(0);
    let rules = rules["groups"][0]["rules"].as_array().unwrap().clone();
    let names: BTreeSet<&str> = rules.iter().map(|rule| rule["alert"].as_str().unwrap()).collect();
    assert!(names.len() == rules.len() && rules.len() > 10, "{names:?}");
    for rule in &rules {
        let name = &rule["alert"];
        assert!(matches!(rule["labels"]["severity"].as_str(), Some("warning" | "critical")), "{name}");
        for text in ["summary", "description"] {
            assert!(rule["annotations"][text].as_str().is_some_and(|text| text.len() > 10), "{name}: {text}");
        }
        let expression = rule["expr"].as_str().unwrap();
        for pair in ["()", "{}", "[]"] {
            let [open, close] = [&pair[..1], &pair[1..]].map(|one| expression.matches(one).count());
            assert_eq!(open, close, "{name}: {pair}");
        }
    }
}

fn manifests() -> Vec<Value> {
    let mut all = Vec::new();
    for (file, resources) in [("namespace", 1), ("config", 2), ("migrate", 1), ("broker", 4), ("network", 1)]
    {
        let found = documents(&example(&format!("kubernetes-broker/{file}.yaml")));
        assert_eq!(found.len(), resources, "{file}");
        assert_follows_kubernetes(file, &found);
        all.extend(found);
    }
    all
}

fn named<'m>(manifests: &'m [Value], kind: &str, name: &str) -> &'m Value {
    let found = manifests.iter().find(|it| it["kind"] == kind && it["metadata"]["name"] == name);
    found.unwrap_or_else(|| unreachable!("no {kind} `{name}`"))
}

#[test]
fn the_manifests_are_kubernetes_and_fit_together() {
    let manifests = manifests();
    let deployment = named(&manifests, "Deployment", "cloudanix-jit-broker");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let selected = |selector: &Value| {
        let wanted = selector.as_object().unwrap();
        assert!(
            !wanted.is_empty() && wanted.iter().all(|(name, value)| labels[name] == *value),
            "{selector}"
        );
    };
    selected(&deployment["spec"]["selector"]["matchLabels"]);
    selected(&named(&manifests, "Service", "cloudanix-jit-broker")["spec"]["selector"]);
    for kind in ["PodDisruptionBudget", "NetworkPolicy"] {
        let spec = &named(&manifests, kind, "cloudanix-jit-broker")["spec"];
        let selector = if kind == "NetworkPolicy" { &spec["podSelector"] } else { &spec["selector"] };
        selected(&selector["matchLabels"]);
    }
    let config =
        named(&manifests, "ConfigMap", "cloudanix-jit-broker")["data"]["broker.toml"].as_str().unwrap();
    let config: toml::Table = config.parse().unwrap();
    let readme = fs::read_to_string(example("kubernetes-broker/README.md")).unwrap();
    let pods = [deployment, named(&manifests, "Job", "cloudanix-jit-broker-migrate")]
        .map(|it| &it["spec"]["template"]["spec"]);
    for pod in pods {
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        let container = &pod["containers"][0];
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
        let mounts = container["volumeMounts"].as_array().unwrap();
        assert!(
            mounts.iter().all(|mount| mount.get("subPath").is_none()),
            "Kubernetes never updates a mount with `subPath`"
        );
        let within =
            |path: &str| mounts.iter().any(|mount| path.starts_with(mount["mountPath"].as_str().unwrap()));
        let arguments: Vec<&str> =
            container["args"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        let file = arguments.last().unwrap();
        assert!(within(file) && within(config["postgres"]["password_file"].as_str().unwrap()), "{file}");
        if arguments.contains(&"serve") {
            for key in ["certificate", "key"] {
                assert!(within(config["tls"][key].as_str().unwrap()), "tls.{key}");
            }
            assert!(within(config["agents"].as_str().unwrap()));
        }
        for volume in pod["volumes"].as_array().unwrap() {
            match volume["secret"]["secretName"].as_str() {
                Some(secret) => assert!(readme.contains(secret), "nothing says how to make `{secret}`"),
                None => {
                    named(&manifests, "ConfigMap", volume["configMap"]["name"].as_str().unwrap());
                }
            }
        }
    }
    let spec = &deployment["spec"]["template"]["spec"];
    assert!(deployment["spec"]["replicas"].as_u64() >= Some(3));
    // The broker's grace period and its last requests must end before the kubelet kills it.
    let grace =
        config["limits"]["shutdown_grace"].as_str().unwrap().trim_end_matches('s').parse::<u64>().unwrap();
    assert!(spec["terminationGracePeriodSeconds"].as_u64() >= Some(grace + 15));
    let ready = &spec["containers"][0]["readinessProbe"];
    let notices = ready["periodSeconds"].as_u64().unwrap() * ready["failureThreshold"].as_u64().unwrap();
    assert!(grace > notices, "the broker stops listening before load balancers notice");
}

#[test]
fn the_broker_takes_the_configuration_and_the_agents_of_the_manifests() {
    let manifests = manifests();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.toml");
    let config = &named(&manifests, "ConfigMap", "cloudanix-jit-broker")["data"]["broker.toml"];
    fs::write(&file, config.as_str().unwrap()).unwrap();
    let output = Command::new(programs::broker())
        .args(["migrate", "--config"])
        .arg(&file)
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    // At this point the broker has checked its whole configuration; only the Secret is missing here.
    assert!(
        said.contains("`postgres.password_file`: cannot read `/etc/cloudanix-jit/database/password`"),
        "{said}"
    );
    let broker = Broker::start();
    for registration in
        named(&manifests, "ConfigMap", "cloudanix-jit-agents")["data"].as_object().unwrap().values()
    {
        broker.register(registration.as_str().unwrap());
    }
    let deployment = named(&manifests, "Deployment", "cloudanix-jit-broker");
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let path = &deployment["spec"]["template"]["spec"]["containers"][0][probe]["httpGet"]["path"];
        http::send(broker.request(Method::GET, path.as_str().unwrap())).expect(200);
    }
}
