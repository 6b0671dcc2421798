//! `eval`, `map` and `check` through the real binary.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::relay::command;

/// Runs a command with these lines on stdin and returns the lines on stdout; it must exit with 0.
pub(crate) fn answers(args: &[&str], input: &str) -> Vec<String> {
    let mut child = command().args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let mut output = String::new();
    child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    writer.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success(), "{args:?} failed and printed: {output}");
    output.lines().map(str::to_owned).collect()
}

/// Writes a configuration with one destination that has these mappings.
pub(crate) fn configuration(folder: &Path, mappings: &[&str]) -> String {
    let file = folder.join("relay.toml");
    let text = format!("[[destinations]]\nname = 'accoil'\napi_key = 'key'\nmappings = {mappings:?}\n");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn eval_answers_every_line_in_order_and_a_bad_line_does_not_affect_the_others() {
    let lines = r#"
        {"mapping":{"id":{"@path":"$.userId"},"plan":{"@path":"$.none"},"n":1.0},"event":{"userId":"u1"}}
        {"mapping":{"id":{"@pth":"$.userId"}},"event":{}}
        {"mapping":{"id":{"@path":"$.userId","@literal":1}},"event":{}}

        {"mapping":[],"event":{}}
        {"mapping":{},"event":"text"}
        {"mapping":{}}
        {"mapping":{"a":
        {"mapping":{"a":{"@template":"{{b.0}}!"}},"event":{"b":[true]},"beside":1}"#;
    insta::assert_snapshot!(answers(&["eval", "mapping"], lines).join("\n"), @r#"
    {"output":{"id":"u1","n":1}}
    {"error":"id.@pth: @pth is not a directive; did you mean @path?"}
    {"error":"id: an object with a directive has no other key, but here are @path, @literal"}
    {"error":"a mapping is an object, but this is array"}
    {"error":"event must be an object (this is: string)"}
    {"error":"the line has no event; a line holds a mapping or a trigger, and an event"}
    {"error":"the line is not JSON: EOF while parsing a value at line 1, column 16"}
    {"output":{"a":"true!"}}
    "#);
    let lines = r#"
        {"trigger":"type = \"track\" and properties.n > 4","event":{"type":"track","properties":{"n":5}}}
        {"trigger":"type = \"page\"","event":{"type":"track"}}
        {"trigger":"type = ","event":{"type":"track"}}
        {"trigger":7,"event":{}}
        {"trigger":"type = \"page\"","event":null}
        null"#;
    insta::assert_snapshot!(answers(&["eval", "trigger"], lines).join("\n"), @r#"
    {"matches":true}
    {"matches":false}
    {"error":"the trigger ends too early: a value: a text in double quotes, a number, true, false or null is missing (column 8)"}
    {"error":"trigger must be a string (this is: number)"}
    {"error":"event must be an object (this is: null)"}
    {"error":"the line has no trigger; a line holds a mapping or a trigger, and an event"}
    "#);
}

#[test]
fn eval_takes_many_lines() {
    let mut lines = String::new();
    for n in 0..20_000 {
        writeln!(lines, r#"{{"mapping":{{"n":{{"@path":"$.n"}}}},"event":{{"n":{n}}}}}"#).unwrap();
    }
    let answers = answers(&["eval", "mapping"], &lines);
    assert_eq!(answers.len(), 20_000);
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(*answer, format!(r#"{{"output":{{"n":{n}}}}}"#));
    }
}

/// A line is answered before the next one arrives, for users who type lines or pipe them one at a time.
#[test]
fn a_line_is_answered_while_more_may_come() {
    let mut child =
        command().args(["eval", "trigger"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    for (kind, expected) in [("track", true), ("page", false)] {
        let line = json!({"trigger": "type = \"track\"", "event": {"type": kind}});
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
        assert_eq!(stdout.next().unwrap().unwrap(), json!({"matches": expected}).to_string());
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

const OWN: &str = r#"
[[mappings]]
name = "Big orders"
trigger = 'type = "track" and (event = "Order Completed" or event = "Order Paid") and properties.total >= 100'
action = "group"

[mappings.fields]
userId = { "@path" = "$.userId" }
groupId = { "@path" = "$.context.groupId" }
createdAt = { "@path" = "$.properties.since" }
mrr = { "@path" = "$.properties.total" }
plan = { "@json" = { mode = "encode", value = { "@path" = "$.properties.plan" } } }
traits = { "@path" = "$.properties.plan" }
timestamp = { "@path" = "$.timestamp" }

[[mappings]]
name = "Everything else"
enabled = false
trigger = 'type != "track"'
action = "postToAccoil"
"#;

#[test]
fn map_explains_what_matched_and_what_each_field_became() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("own.toml"), OWN).unwrap();
    let config = configuration(folder.path(), &["own.toml"]);
    let explained = |event: &str| {
        let answers = answers(&["--config", &config, "map", "--source", "segment", "--explain"], event);
        let answer: Value = serde_json::from_str(&answers.concat()).unwrap();
        let mut shown = String::new();
        for mapping in answer["explain"][0]["mappings"].as_array().unwrap() {
            let mut mapping = mapping.clone();
            let fields = mapping.as_object_mut().unwrap().remove("fields").unwrap_or_default();
            writeln!(shown, "{mapping}").unwrap();
            fields.as_array().into_iter().flatten().for_each(|field| writeln!(shown, "  {field}").unwrap());
        }
        shown + &json!([answer["requests"], answer["rejected"], answer["skipped"]]).to_string()
    };
    insta::assert_snapshot!(explained(
        r#"{"type":"track","event":"Order Completed","userId":7,"timestamp":"2026-01-02T03:04:05Z",
            "context":{"groupId":"g1"},"properties":{"total":"120","since":1683878400,"plan":"pro"}}"#
            .replace('\n', " ")
            .as_str()
    ), @r#"
    {"action":"group","destination":"accoil","mapping":"Big orders","matched":false,"origin":"own.toml","trigger":"type = \"track\" and (event = \"Order Completed\" or event = \"Order Paid\") and properties.total >= 100","unmatched":["properties.total >= 100 does not hold: the event has \"120\" there"]}
    {"action":"postToAccoil","destination":"accoil","mapping":"Everything else","matched":false,"origin":"own.toml","trigger":"type != \"track\"","unmatched":["the mapping is disabled","type != \"track\" does not hold: the event has \"track\" there"]}
    [[],[],"no mapping's trigger holds for the event"]
    "#);
    insta::assert_snapshot!(explained(
        r#"{"type":"track","event":"Order Paid","userId":7,"timestamp":"2026-01-02T03:04:05Z","properties":{"total":120,"since":1683878400,"plan":"pro"}}"#
    ), @r#"
    {"action":"group","destination":"accoil","mapping":"Big orders","matched":true,"origin":"own.toml","trigger":"type = \"track\" and (event = \"Order Completed\" or event = \"Order Paid\") and properties.total >= 100"}
      {"field":"anonymousId","outcome":"absent"}
      {"field":"userId","from":{"@path":"$.userId"},"kind":"number","outcome":"coerced","sent":"7","value":7}
      {"field":"groupId","from":{"@path":"$.context.groupId"},"outcome":"refused","reason":"is required and must be a string, but `$.context.groupId` is missing, null, empty or blank in this event"}
      {"field":"name","outcome":"absent"}
      {"field":"createdAt","from":{"@path":"$.properties.since"},"kind":"number","outcome":"mended","reason":"was a number in another form; it is sent as RFC 3339","sent":"2023-05-12T08:00:00Z","value":1683878400}
      {"field":"status","outcome":"absent"}
      {"field":"plan","from":{"@json":{"mode":"encode","value":{"@path":"$.properties.plan"}}},"kind":"string","outcome":"kept","value":"\"pro\""}
      {"field":"mrr","from":{"@path":"$.properties.total"},"kind":"number","outcome":"kept","value":120}
      {"field":"traits","from":{"@path":"$.properties.plan"},"kind":"string","outcome":"omitted","reason":"was left out: it must be an object, but is a string","value":"pro"}
      {"field":"timestamp","from":{"@path":"$.timestamp"},"kind":"string","outcome":"kept","value":"2026-01-02T03:04:05Z"}
    {"action":"postToAccoil","destination":"accoil","mapping":"Everything else","matched":false,"origin":"own.toml","trigger":"type != \"track\"","unmatched":["the mapping is disabled","type != \"track\" does not hold: the event has \"track\" there"]}
    [[],[{"field":"groupId","mapping":"Big orders","reason":"is required and must be a string, but `$.context.groupId` is missing, null, empty or blank in this event"}],null]
    "#);
}

/// One mapping file with every kind of mistake, and a mapping that Segment would read differently.
#[test]
fn check_prints_every_mistake_with_its_place_and_the_nearest_word() {
    let folder = tempdir().unwrap();
    let mistakes = r#"
[[mappings]]
name = "Unknown directive"
trigger = 'type = "track"'
action = "group"
fields.groupId = { "@pth" = "$.userId" }
fields.timestam = { "@path" = "$.timestamp" }

[[mappings]]
name = "Two directives"
trigger = 'type = "track"'
action = "group"
fields.groupId = { "@path" = "$.userId", "@template" = "{{userId}}" }

[[mappings]]
name = "No such action"
trigger = 'type = "track"'
action = "grup"

[[mappings]]
name = "No such event"
trigger = 'type = "trak"'
action = "postToAccoil"

[[mappings]]
name = "No trigger"
triger = 'type = "track"'
action = "postToAccoil"

[[mappings]]
name = "Otherwise at Segment"
trigger = 'type = "track" and event = "A" or event = "B"'
action = "postToAccoil"
"#;
    let mut text = mistakes.to_owned();
    for n in 7..=51 {
        write!(text, "[[mappings]]\nname = 'm{n}'\ntrigger = 'type = \"page\"'\naction = 'postToAccoil'\n")
            .unwrap();
    }
    std::fs::write(folder.path().join("mistakes.toml"), text).unwrap();
    let config = configuration(folder.path(), &["mistakes.toml"]);
    let checked = command().args(["check", "--config", &config]).output().unwrap();
    assert_eq!(checked.status.code(), Some(78));
    insta::assert_snapshot!(String::from_utf8(checked.stdout).unwrap(), @r#"
    mistakes.toml:6:20: @pth is not a directive; did you mean @path?
    mistakes.toml:7:8: action group has no field timestam; did you mean timestamp?
    mistakes.toml:13:8: an object with a directive has no other key, but here are @path, @template
    mistakes.toml:18:10: there is no action grup; did you mean group?
    mistakes.toml:22:11: trigger: no event has the type "trak"; did you mean "track"? (types are: identify, group, track, page, screen, alias)
    mistakes.toml:25:1: the mapping has no trigger
    mistakes.toml:27:1: a mapping has no key triger; did you mean trigger?
    mistakes.toml:210:1: this is mapping 51: a destination can have 50 at most
    8 faults, 0 warnings
    "#);

    let sound = mistakes.split_at(mistakes.rfind("[[mappings]]").unwrap()).1;
    std::fs::write(folder.path().join("mistakes.toml"), sound).unwrap();
    let checked = command().args(["check", "--config", &config]).output().unwrap();
    assert_eq!(checked.status.code(), Some(0));
    insta::assert_snapshot!(String::from_utf8(checked.stdout).unwrap(), @r#"
    warning: mistakes.toml:3:11: trigger, column 32: `and` binds tighter than `or` here; Segment applies the last of them to the whole line: put parentheses around one kind
    destination  mapping               trigger                                          action        source
    accoil       Otherwise at Segment  (type = "track" and event = "A") or event = "B"  postToAccoil  mistakes.toml
    0 faults, 1 warning
    "#);
    let denied = command().args(["check", "--deny-warnings", "--config", &config]).output().unwrap();
    assert_eq!(denied.status.code(), Some(78));
}

/// Segment's own preset JSON, pasted, gives the requests of `mappings/segment.toml`, byte for byte.
#[test]
fn mappings_pasted_from_segment_give_the_same_requests() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut events = String::new();
    for entry in std::fs::read_dir(fixtures.join("events/segment-webhook")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let event: Value = serde_json::from_str(&text).unwrap();
        writeln!(events, "{event}").unwrap();
    }
    let folder = tempdir().unwrap();
    for api in ["v2", "segment"] {
        let [own, pasted] = ["segment", fixtures.join("mappings/segment-presets.json").to_str().unwrap()]
            .map(|mappings| {
                let config = configuration(folder.path(), &[mappings]);
                answers(&["--config", &config, "map", "--source", "segment", "--api", api], &events)
            });
        assert_eq!(own, pasted);
        let sent = own.iter().filter(|answer| answer.contains(r#""path":"#)).count();
        assert!(sent >= 7, "{api}: only {sent} events became requests");
    }
}

/// `map` reads files, stdin, lines and pretty-printed events. A source is chosen by name, or by kind if only one has that kind.
#[test]
fn map_takes_files_pretty_printed_events_and_a_sources_name() {
    let folder = tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let config = file(
        "relay.toml",
        "[[sources]]\nname = 'web'\nkind = 'segment'\nwrite_key = 'a'\n[[sources]]\nname = 'app'\nkind = 'segment'\n\
         write_key = 'b'\ndestinations = ['second']\n[[destinations]]\nname = 'first'\napi_key = 'k'\n\
         [[destinations]]\nname = 'second'\napi_key = 'k'\n",
    );
    let event = json!({"type": "track", "event": "E", "userId": "u", "timestamp": "2026-01-02T03:04:05Z"});
    let pretty = file("pretty.json", &format!("{event:#}\n{event:#}\n"));
    let lines = file("lines.ndjson", &format!("{event}\nnonsense\n{event}"));
    let run = |args: &[&str], input: &str| -> Vec<Value> {
        let args = [["--config", &config, "map", "--source"].as_slice(), args].concat();
        answers(&args, input).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let sent = |answer: &Value| -> Vec<String> {
        let requests = answer["requests"].as_array().unwrap().iter();
        requests.map(|request| request["destination"].as_str().unwrap().to_owned()).collect()
    };
    let app = run(&["app", &pretty, &lines, "-"], &format!("{event}"));
    assert_eq!(app.len(), 6);
    assert_eq!(app.iter().map(&sent).map(|sent| sent.len()).collect::<Vec<_>>(), [1, 1, 1, 0, 1, 1]);
    assert_eq!(sent(&app[0]), ["second"]);
    assert_eq!(sent(&run(&["web", &pretty], "")[0]), ["first", "second"]);
    // Without a source of this kind, `map` uses one that sends to every destination.
    assert_eq!(
        run(&["amplitude"], r#"{"event_type":"E","user_id":"u"}"#)[0]["requests"].as_array().unwrap().len(),
        2
    );
    for (source, shown) in [
        ("segment", "2 sources are of this kind; name one of them: web, app"),
        ("wbe", "the sources are web, app"),
    ] {
        let output =
            command().args(["--config", &config, "map", "--source", source, &pretty]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(shown), "{error}");
    }
}
