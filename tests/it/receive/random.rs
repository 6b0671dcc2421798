//! Any bytes on any route get an answer that is a JSON object, and never an internal error of the relay.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::ROUTES;
use crate::relay::TestRelay;

/// Returns a good body with a few bytes overwritten and its end cut off: similar enough to JSON to reach the inner code.
fn damaged() -> impl Strategy<Value = (usize, Vec<u8>)> {
    (
        0..ROUTES.len(),
        vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        any::<prop::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(|(route, changes, cut, whole)| {
            let mut body = ROUTES[route].2.as_bytes().to_vec();
            for (at, byte) in changes {
                let at = at.index(body.len());
                body[at] = byte;
            }
            if !whole {
                body.truncate(cut.index(body.len()));
            }
            (route, body)
        })
}

#[test]
fn any_bytes_get_an_answer() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let relay = runtime.block_on(TestRelay::usual());
    let bytes = (0..ROUTES.len(), vec(any::<u8>(), 0..200));
    let json = (0..ROUTES.len(), r#"[\[\]{}:," a-z0-9\\.eE+-]{0,60}"#.prop_map(String::into_bytes));
    let bodies = prop_oneof![bytes, json, damaged()];
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&bodies, |(route, body)| {
        let (path, key, _) = ROUTES[route];
        let answer = runtime.block_on(relay.post(path, &[key], body));
        prop_assert!(answer.status.as_u16() < 500, "{path}: {answer:?}");
        prop_assert!(answer.json().is_object(), "{path}: {answer:?}");
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    runtime.block_on(relay.stop());
}
