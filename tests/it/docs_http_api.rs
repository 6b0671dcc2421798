//! docs/http-api.md must be right: each route of its table exists, and its example gets the documented answer.

use std::fs;

use http::Method;

use crate::http::send;
use crate::relay::TestRelay;

const PAGE: &str = "docs/http-api.md";
const KEY: (&str, &str) = ("authorization", "Bearer web-key");

#[tokio::test]
async fn every_route_of_the_page_exists() {
    let page = fs::read_to_string(PAGE).unwrap();
    let (_, rows) = page.split_once("| route | who calls it |").unwrap();
    let relay = TestRelay::usual().await;
    let mut asked = 0;
    for row in rows.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let mut method = Method::GET;
        for route in row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2) {
            let mut path = route;
            if let Some((name, rest)) = route.split_once(' ') {
                (method, path) = (name.parse().unwrap(), rest);
            }
            for path in expanded(&path.replace("{write_key}", "web-key")) {
                let answer = send(method.clone(), &relay.url(&path), &[KEY], "{}").await;
                assert!(![404, 405].contains(&answer.status.as_u16()), "{method} {path}");
                asked += 1;
            }
        }
    }
    assert!(asked > 20, "only {asked} routes were found");
    relay.stop().await;
}

#[tokio::test]
async fn the_example_is_answered_as_the_page_says() {
    let page = fs::read_to_string(PAGE).unwrap();
    let (_, example) = page.split_once("```console\n").unwrap();
    let (command, rest) = example.split_once('\n').unwrap();
    let body = command.split('\'').nth(1).unwrap();
    let path = command.split("https://relay.example.com").nth(1).unwrap();
    let expected: serde_json::Value = serde_json::from_str(rest.lines().next().unwrap()).unwrap();
    let relay = TestRelay::usual().await;
    let answer = relay.post(path, &[KEY], body.to_owned()).await;
    let mut found = answer.json();
    assert!(found["ids"][0].is_string(), "{found}");
    found["ids"] = expected["ids"].clone();
    assert_eq!((answer.status.as_u16(), found), (200, expected));
    relay.stop().await;
}

/// Expands `/v1/{a,b}` to `/v1/a` and `/v1/b`.
fn expanded(path: &str) -> Vec<String> {
    match (path.split_once('{'), path.split_once('}')) {
        (Some((before, _)), Some((inside, after))) => {
            let names = &inside[before.len() + 1..];
            names.split(',').map(|name| format!("{before}{name}{after}")).collect()
        }
        _ => vec![path.to_owned()],
    }
}
