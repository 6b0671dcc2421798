use super::*;
#[test]
fn explore() {
    for text in [
        "[server]\nlisten = 127.0.0.1:8080\nlistn = \"x\"\n",
        "[server\nlisten = \"127.0.0.1:1\"\n[admin]\ntokn = \"a\"\n",
        "[[sources]]\nname = web\nkind = \"segmnt\"\nwrite_key = \"abc\n",
        "[[sources]]\nname = \"web\"\nname = \"web2\"\nkind = \"segment\"\n[[destinations]]\nname=\"a\"\napi_key=\"x\"\n",
        "[server]\nlisten = \"0.0.0.0:80\"\n[server]\nx=1\n",
        "listen = \"x\"\n[servr]\na=1\n[[server]]\nb=1\n[sources]\nname=\"a\"\n",
        "[[sources]]\nname = \"é é\"\nkind=\"amplitude\"\nshared_secret=\"a\"\nwrite_key=\"${NOPE}\"\ndestinations=[\"acoil\", 5]\n[[destinations]]\nname=\"accoil\"\napi_key_file=\"none\"\nbase_url=\"ftp://a:b@c\"\nconcurrency=0\nrequest_timeout=30\nstrict=\"yes\"\n",
        "server = 5\n\n",
        "[server]\nlisten = \"0.0.0.0:80\"\n[admin]\nlisten=\"0.0.0.0:80\"\n[[sources]]\nname=\"a\"\nkind=\"segment\"\n[deliver]\nretry_max=\"1ms\"\n[limits]\nwebhook_bytes=4000000000\n",
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("accoil-relay.toml"), text).unwrap();
        let env = Environment::new(
            dir.path(),
            [
                ("ACCOIL_RELAY_SERVR__LISTEN", "x"),
                ("ACCOIL_RELAY_SERVER_LISTEN", "x"),
                ("ACCOIL_RELAY_SERVER__LISTN", "x"),
            ],
        );
        println!("-----\n{text}");
        match Config::load(None, &env) {
            Ok(c) => println!("{}", show(&c)),
            Err(f) => println!("{}", f.to_string().replace(&*dir.path().to_string_lossy(), "")),
        }
    }
    println!("{}", Config::load(None, &Environment::new("/nowhere", [("", "")])).unwrap_err());
    println!(
        "{}",
        show(&Config::load(None, &Environment::new("/nowhere", [("ACCOIL_API_KEY", "StG_x")])).unwrap())
    );
}
