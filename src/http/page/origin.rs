//! Whether a form comes from this page. A browser says where it does; the cookie and the form's own sign are looked at besides.

use axum::http::{HeaderMap, header};

/// Whether a request was sent by this page, as far as the browser says. A program that is no browser says nothing.
pub(super) fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    // Of browsers that say it, and over https or from localhost only. Another port of the same machine is `same-site`.
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    match (text(header::ORIGIN.as_str()), text(header::HOST.as_str())) {
        (None, _) => true,
        (Some(origin), Some(host)) => {
            let of = origin.split_once("://").map(|(_, authority)| authority);
            of.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
        }
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_page_itself_is_own() {
        for (site, origin, own) in [
            (Some("same-origin"), Some("http://localhost:8080"), true),
            (Some("none"), None, true),
            (Some("same-site"), Some("http://localhost:3000"), false),
            (Some("cross-site"), Some("http://evil.example"), false),
            // A browser that does not say the first.
            (None, Some("http://localhost:8080"), true),
            (None, Some("https://LOCALHOST:8080"), true),
            (None, Some("http://localhost:3000"), false),
            (None, Some("http://localhost:8080.evil.example"), false),
            (None, Some("null"), false),
            (None, None, true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "localhost:8080".parse().unwrap());
            if let Some(site) = site {
                headers.insert("sec-fetch-site", site.parse().unwrap());
            }
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(is_own(&headers), own, "{site:?} {origin:?}");
        }
    }
}
