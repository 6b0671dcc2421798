//! The proxies that the environment names, for every HTTP call that the relay makes.
//!
//! Read with the configuration, from the same environment. Passwords in proxy addresses never reach a message.

use hyper_util::client::proxy::matcher::{Intercept, Matcher};

/// A variable that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the environment variable {variable} is not the address of a proxy; write http://host:port or socks5://host:port"
)]
pub struct ProxyError {
    variable: &'static str,
}

/// The proxies that the environment names: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in either case.
/// There are none by default, so that tests and the demo never use the proxies of their environment.
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    no: String,
}

#[derive(Clone)]
struct Proxy {
    variable: &'static str,
    address: String,
}

impl Proxies {
    /// Reads the variables through `get`, which returns those that are set and not empty.
    pub fn read<'e>(get: impl Fn(&str) -> Option<&'e str>) -> Self {
        let proxy = |upper: &'static str, lower: &'static str| {
            let named = |variable| get(variable).map(|address| (variable, address));
            let found = named(upper).or_else(|| named(lower));
            found.map(|(variable, address)| Proxy { variable, address: address.to_owned() })
        };
        let all = proxy("ALL_PROXY", "all_proxy");
        Self {
            http: proxy("HTTP_PROXY", "http_proxy").or_else(|| all.clone()),
            https: proxy("HTTPS_PROXY", "https_proxy").or(all),
            no: get("NO_PROXY").or_else(|| get("no_proxy")).unwrap_or_default().to_owned(),
        }
    }

    /// The same choice for a client of reqwest; none if no proxy is named.
    pub fn for_reqwest(&self) -> Result<Option<reqwest::Proxy>, ProxyError> {
        let mut named = self.http.iter().chain(&self.https).peekable();
        if named.peek().is_none() {
            return Ok(None);
        }
        named.try_for_each(Proxy::check)?;
        let proxies = self.clone();
        Ok(Some(reqwest::Proxy::custom(move |url| {
            let intercepted = proxies.intercept(&url.as_str().parse().ok()?).ok()?;
            intercepted.and(proxies.of_scheme(url.scheme())).map(|proxy| proxy.address.clone())
        })))
    }

    /// Returns the proxy for this URL, if there is one.
    pub fn intercept(&self, url: &http::Uri) -> Result<Option<Intercept>, ProxyError> {
        let Some(proxy) = self.of_scheme(url.scheme_str().unwrap_or_default()) else { return Ok(None) };
        proxy.check()?;
        Ok(Matcher::builder().all(&*proxy.address).no(&*self.no).build().intercept(url))
    }

    fn of_scheme(&self, scheme: &str) -> Option<&Proxy> {
        if scheme == "https" { self.https.as_ref() } else { self.http.as_ref() }
    }
}

impl Proxy {
    /// hyper-util ignores an address that it cannot use, but the relay must not bypass the proxy silently.
    fn check(&self) -> Result<(), ProxyError> {
        let url = http::Uri::from_static("http://localhost");
        let is_usable = Matcher::builder().all(&*self.address).build().intercept(&url).is_some();
        if is_usable && !self.address.starts_with("socks4") {
            return Ok(());
        }
        Err(ProxyError { variable: self.variable })
    }
}

impl std::fmt::Debug for Proxies {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The addresses may hold passwords.
        let variables: Vec<_> = self.http.iter().chain(&self.https).map(|proxy| proxy.variable).collect();
        formatter.debug_struct("Proxies").field("variables", &variables).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proxy of each URL, as host and port; `-` means none, `!` means that the variable is not the address of a
    /// proxy.
    #[test]
    fn the_environment_says_which_proxy_is_used() {
        let https = "https://in.accoil.com";
        for (name, variables, url, expected) in [
            ("nothing set", &[][..], https, "-"),
            ("https", &[("HTTPS_PROXY", "http://p:1")], https, "p:1"),
            ("lower case", &[("https_proxy", "http://p:1")], https, "p:1"),
            ("without a scheme", &[("HTTPS_PROXY", "p:1")], https, "p:1"),
            ("for http only", &[("HTTP_PROXY", "http://p:1")], https, "-"),
            ("http", &[("http_proxy", "http://p:1")], "http://in.accoil.com", "p:1"),
            ("all", &[("ALL_PROXY", "socks5h://p:1")], https, "p:1"),
            ("the nearer one", &[("ALL_PROXY", "http://p:1"), ("HTTPS_PROXY", "http://q:2")], https, "q:2"),
            ("no", &[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", "localhost, accoil.com")], https, "-"),
            ("no, another", &[("HTTPS_PROXY", "http://p:1"), ("no_proxy", "coil.com")], https, "p:1"),
            ("no, a network", &[("all_proxy", "p:1"), ("NO_PROXY", "10.0.0.0/8")], "http://10.1.2.3:80", "-"),
            ("no, everything", &[("all_proxy", "p:1"), ("NO_PROXY", "*")], https, "-"),
            ("not an address", &[("HTTPS_PROXY", "ftp://p:1")], https, "!"),
            ("loopback is proxied as well", &[("HTTP_PROXY", "p:1")], "http://127.0.0.1:80", "p:1"),
        ] {
            let proxies = Proxies::read(|wanted| {
                variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value)
            });
            let found = match proxies.intercept(&url.parse().unwrap()) {
                Ok(Some(proxy)) => proxy.uri().authority().unwrap().to_string(),
                Ok(None) => "-".to_owned(),
                Err(_) => "!".to_owned(),
            };
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn a_proxy_password_is_not_shown() {
        let proxies = Proxies::read(|name| (name == "ALL_PROXY").then_some("http://user:secret@p:1"));
        let intercept = proxies.intercept(&"http://a".parse().unwrap()).unwrap().unwrap();
        assert!(intercept.basic_auth().is_some());
        assert!(!format!("{proxies:?} {intercept:?}").contains("secret"));
    }
}
