//! The dashboard's files, embedded in the binary. Their address contains a checksum, so browsers keep them until the next
//! release changes one.
//!
//! Only these seven files, and nothing from another host: the page's policy forbids anything else.

use std::io::Write as _;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, StatusCode};

/// Names without checksum, kinds, and contents.
const FILES: [(&str, &str, &str); 7] = [
    ("app.css", "text/css; charset=utf-8", include_str!("../assets/app.css")),
    ("app.js", "text/javascript; charset=utf-8", include_str!("../assets/app.js")),
    ("live.js", "text/javascript; charset=utf-8", include_str!("../assets/live.js")),
    ("charts.js", "text/javascript; charset=utf-8", include_str!("../assets/charts.js")),
    ("tester.js", "text/javascript; charset=utf-8", include_str!("../assets/tester.js")),
    ("icons.svg", "image/svg+xml", include_str!("../assets/icons.svg")),
    ("favicon.svg", "image/svg+xml", include_str!("../assets/favicon.svg")),
];

struct Asset {
    name: &'static str,
    address: String,
    kind: &'static str,
    content: Bytes,
    compressed: Bytes,
}

/// One checksum for all: a script imports another by its bare name.
static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let contents: String = FILES.iter().map(|(.., content)| *content).collect();
    let checksum = crc32fast::hash(contents.as_bytes());
    FILES
        .iter()
        .map(|(name, kind, content)| Asset {
            name,
            address: format!("/assets/{checksum:08x}/{name}"),
            kind,
            content: Bytes::from_static(content.as_bytes()),
            compressed: compress(content.as_bytes()),
        })
        .collect()
});

/// Returns the address of a file, for templates; empty if there is no such file.
pub(super) fn address(name: &str) -> &'static str {
    ASSETS.iter().find(|asset| asset.name == name).map_or("", |asset| &asset.address)
}

/// `GET /assets/{checksum}/{name}`. An old checksum gets the present file, for a page that was open during an update.
pub(super) async fn serve(Path((_checksum, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let always = [
        (CONTENT_TYPE, asset.kind),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (VARY, "accept-encoding"),
    ];
    if accepted.contains("gzip") {
        (always, [(CONTENT_ENCODING, "gzip")], asset.compressed.clone()).into_response()
    } else {
        (always, asset.content.clone()).into_response()
    }
}

fn compress(content: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to a Vec cannot fail; an empty answer would show in the tests.
    let written = encoder.write_all(content);
    written.and_then(|()| encoder.finish()).map(Bytes::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{ASSETS, address};

    #[test]
    fn all_assets_together_are_small() {
        let bytes: usize = ASSETS.iter().map(|asset| asset.compressed.len()).sum();
        assert!(ASSETS.iter().all(|asset| !asset.compressed.is_empty()));
        assert!(bytes < 40 * 1024, "{bytes} bytes");
        assert_ne!(address("app.css"), "");
    }

    #[test]
    fn scripts_have_no_way_to_turn_text_into_markup_or_code() {
        for asset in ASSETS.iter().filter(|asset| asset.kind.contains("javascript")) {
            let text = String::from_utf8_lossy(&asset.content).into_owned();
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "style=",
            ] {
                assert!(!text.contains(forbidden), "{} contains {forbidden}", asset.name);
            }
        }
    }
}
