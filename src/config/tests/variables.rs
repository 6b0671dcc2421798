//! Environment variables: they override the file, and are enough without one. A variable that sets nothing is reported.

use super::*;

#[test]
fn environment_variables_override_the_file() {
    let text = "[server]\nmax_connections = 7\n[[destinations]]\nname = 'first'\napi_key = '${KEY:-a}'\n";
    let variables = [
        ("ACCOIL_RELAY_SERVER__LISTEN", "127.0.0.1:9"),
        ("ACCOIL_RELAY_SERVER__MAX_CONNECTIONS", "8"),
        ("ACCOIL_RELAY_ADMIN__TOKEN", ""),
        ("ACCOIL_RELAY_DESTINATIONS__0__STRICT", "true"),
        ("ACCOIL_RELAY_DESTINATIONS__0__MAPPINGS", "segment, ${mine}.toml"),
        ("ACCOIL_RELAY_DESTINATIONS__1__NAME", "second"),
        ("ACCOIL_RELAY_DESTINATIONS__1__API_KEY", "b$$b"),
        ("ACCOIL_RELAY_ACCOUNTS__TOKEN_FILE", "key"),
        ("ACCOIL_RELAY_ACCOUNTS__WORKSPACE_ID", "5"),
        // What Kubernetes sets for a service of the same name, and what is not ours.
        ("ACCOIL_RELAY_SERVICE_HOST", "10.0.0.1"),
        ("ACCOIL_RELAY_SERVICE_PORT_HTTP", "80"),
        ("ACCOIL_RELAY_PORT", "tcp://10.0.0.1:80"),
        ("ACCOIL_RELAY_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("ACCOIL_RELAY_ADMIN_SERVICE_PORT", "80"),
        ("ACCOIL_RELAY_SEED", "1"),
        ("KEY", "from-the-environment"),
        ("PATH", "/bin"),
    ];
    let config = load(text, &variables).unwrap();
    assert_eq!((config.server.listen.port(), config.server.max_connections), (9, 8));
    assert!(config.admin.token.is_none());
    let [first, second] = &config.destinations[..] else { panic!("{:?}", config.destinations) };
    assert_eq!(
        (first.strict, first.mappings.iter().map(|one| one.text.as_str()).collect()),
        (true, vec!["segment", "${mine}.toml"])
    );
    assert_eq!(first.api_key.expose_secret(), "from-the-environment");
    assert_eq!((second.name.as_str(), second.api_key.expose_secret()), ("second", "b$$b"));
    assert_eq!(config.accounts.unwrap().token.expose_secret(), "from-a-file");
}

#[test]
fn variables_that_set_nothing_are_told() {
    let text = "[[destinations]]\nname = '${ACCOIL_RELAY_NAME}'\napi_key = 'a'\n";
    let variables = [
        ("ACCOIL_RELAY_NAME", "named-in-the-file"),
        ("ACCOIL_RELAY_CONFIGS", "x"),
        ("ACCOIL_RELAY_SERVER_LISTEN", "x"),
        ("ACCOIL_RELAY_SERVER__LISTN", "x"),
        ("ACCOIL_RELAY_SERVER__LISTEN", "hushed"),
        ("ACCOIL_RELAY_SERVER__LISTEN__PORT", "x"),
        ("ACCOIL_RELAY_SERVR__LISTEN", "x"),
        ("ACCOIL_RELAY_DESTINATIONS__2__NAME", "x"),
        ("ACCOIL_RELAY_DESTINATIONS__NAME", "x"),
        ("ACCOIL_RELAY_LOG__FORMAT", "jsn"),
        ("ACCOIL_RELAY_", "x"),
        ("ACCOIL_RELAY___", "x"),
    ];
    insta::assert_snapshot!(faults(load(text, &variables)), @r#"
    environment variable ACCOIL_RELAY_: unknown environment variable: keys are set as ACCOIL_RELAY_SECTION__KEY, lists of sections as ACCOIL_RELAY_SOURCES__0__KEY
    environment variable ACCOIL_RELAY_CONFIGS: unknown environment variable: did you mean ACCOIL_RELAY_CONFIG?
    environment variable ACCOIL_RELAY_DESTINATIONS__2__NAME: unknown environment variable: did you mean ACCOIL_RELAY_DESTINATIONS__0__NAME?
    environment variable ACCOIL_RELAY_DESTINATIONS__NAME: unknown environment variable: did you mean ACCOIL_RELAY_DESTINATIONS__0__NAME?
    environment variable ACCOIL_RELAY_LOG__FORMAT: format in [log] must be "text" or "json": did you mean "json"?
    environment variable ACCOIL_RELAY_SERVER_LISTEN: unknown environment variable: did you mean ACCOIL_RELAY_SERVER__LISTEN?
    environment variable ACCOIL_RELAY_SERVER__LISTEN: listen in [server] is not an IP address and a port: write "127.0.0.1:8080" for this machine only, "0.0.0.0:8080" or "[::]:8080" for every interface
    environment variable ACCOIL_RELAY_SERVER__LISTEN__PORT: unknown environment variable: did you mean ACCOIL_RELAY_SERVER__LISTEN?
    environment variable ACCOIL_RELAY_SERVER__LISTN: unknown key "listn" in [server]: did you mean ACCOIL_RELAY_SERVER__LISTEN?
    environment variable ACCOIL_RELAY_SERVR__LISTEN: unknown section [servr]: did you mean ACCOIL_RELAY_SERVER__…?
    environment variable ACCOIL_RELAY___: unknown section []: the sections are server, limits, admin, sources, destinations, outbox, deliver, history, privacy, accounts, vitally, vitally_to_accoil, accoil_to_vitally, log
    "#);
}

#[test]
fn without_a_file_two_variables_are_enough() {
    let open = ("ACCOIL_RELAY_SERVER__LISTEN", "0.0.0.0:8080");
    let config = Config::load(
        None,
        &environment(&[open, ("ACCOIL_API_KEY", "StG_key"), ("ACCOIL_RELAY_WRITE_KEY", "write$$")]),
    )
    .unwrap();
    for (source, kind) in config.sources.iter().zip(["segment", "amplitude"]) {
        assert_eq!((source.name.as_str(), source.kind.name()), (kind, kind));
        assert_eq!(source.write_key.as_ref().unwrap().expose_secret(), "write$$");
    }
    let [destination] = &config.destinations[..] else { panic!("{:?}", config.destinations) };
    assert_eq!(destination.base_url, "https://instaging.accoil.com");
    assert_eq!(destination.api_key.expose_secret(), "StG_key");
    let shown = faults(Config::load(None, &environment(&[open, ("ACCOIL_API_KEY", "a b")])));
    insta::assert_snapshot!(shown, @r#"
    environment variable ACCOIL_API_KEY: api_key in [[destinations]] contains a space, a line break or a character outside ASCII, which no key has: copy the key again, without anything around it
    environment variable ACCOIL_RELAY_SERVER__LISTEN: the source "segment" has no write_key, and the relay is open to other machines: give it a write_key (without a file: ACCOIL_RELAY_WRITE_KEY), or listen on 127.0.0.1
    environment variable ACCOIL_RELAY_SERVER__LISTEN: the source "amplitude" has no write_key, and the relay is open to other machines: give it a write_key (without a file: ACCOIL_RELAY_WRITE_KEY), or listen on 127.0.0.1
    "#);
}
