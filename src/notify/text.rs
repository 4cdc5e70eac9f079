//! Texts from elsewhere, made harmless.

/// One line: control and formatting characters become spaces, spaces are collapsed. Nothing in it can end a header or a line, or turn the
/// direction in which the rest is read.
pub fn single_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if is_unprintable(c) { ' ' } else { c }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_unprintable(c: char) -> bool {
    // Separators, zero-width characters, bidirectional controls (Unicode TR #9), byte order mark.
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// At most `max` characters, the last of them an ellipsis where something was cut.
pub(super) fn clip(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(max.saturating_sub(1)).collect();
    cut.truncate(cut.trim_end().len());
    cut.push('…');
    cut
}

/// Text for HTML, in an element or a quoted attribute.
pub fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// The shortest text that is taken for a secret when it turns up in an answer: shorter ones are words like `v2`.
const SHORTEST_SECRET: usize = 6;

/// The text without the secrets that it may hold: servers repeat the address or the token in their error pages.
pub(super) fn redact(text: &str, secrets: &[&str]) -> String {
    let mut secrets: Vec<&str> = secrets.iter().copied().filter(|s| s.len() >= SHORTEST_SECRET).collect();
    secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
    secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret, "[redacted]"))
}

#[cfg(test)]
mod tests {
    use super::{clip, escape_html, redact, single_line};

    #[test]
    fn one_line_is_one_line() {
        let hostile = "a\r\nBcc: all@example.com\u{2028}b\u{202e}c\0\t  d ";
        assert_eq!(single_line(hostile), "a Bcc: all@example.com b c d");
        assert_eq!(single_line("错误率 3.1 %"), "错误率 3.1 %");
    }

    #[test]
    fn clipping_counts_characters() {
        assert_eq!(clip("错误率", 3), "错误率");
        assert_eq!(clip("错误率高", 3), "错误…");
        assert_eq!(clip("one two", 5), "one…");
    }

    #[test]
    fn html_is_escaped() {
        assert_eq!(escape_html(r#"<a href="x" b='y'>&"#), "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;");
    }

    #[test]
    fn secrets_are_taken_out_longest_first() {
        assert_eq!(
            redact("POST /hook/T0KEN123 v2 T0KEN123", &["T0KEN123", "/hook/T0KEN123", "v2", ""]),
            "POST [redacted] v2 [redacted]"
        );
    }
}
