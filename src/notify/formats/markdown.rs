//! Text for the markdown of DingTalk and WeCom.
//!
//! Neither documents a way to escape a character, and their programs differ by device. So what would be read as a sign is replaced by the
//! character of full width that looks like it: the reader sees the same text, and nobody is called and no link is made by it.

/// A text without any sign in it. `->` and the `_` within a name stay what they are.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before: Option<char> = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let at_start = before.is_none_or(|b| b == '\n');
        let word = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric());
        out.push(match c {
            '<' => '＜',
            '[' => '［',
            ']' => '］',
            '*' => '＊',
            '`' => '｀',
            '~' => '～',
            '\\' => '＼',
            '@' => '＠',
            '&' if rest.peek().is_some_and(|c| *c == '#' || c.is_alphabetic()) => '＆',
            '_' if !(word(before.as_ref()) && word(rest.peek())) => '＿',
            '>' if at_start => '＞',
            '#' if at_start => '＃',
            c => c,
        });
        before = Some(c);
    }
    out
}

/// An address for the inside of `(…)`: what would end it is written in percent.
pub(super) fn address(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    for c in url.chars() {
        match c {
            '(' => out.push_str("%28"),
            ')' => out.push_str("%29"),
            '<' => out.push_str("%3C"),
            '>' => out.push_str("%3E"),
            ' ' => out.push_str("%20"),
            '\\' => out.push_str("%5C"),
            // In an address too a name after it could be called.
            '@' => out.push_str("%40"),
            '`' => out.push_str("%60"),
            '*' => out.push_str("%2A"),
            '~' => out.push_str("%7E"),
            '[' => out.push_str("%5B"),
            ']' => out.push_str("%5D"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{address, plain};

    #[test]
    fn a_text_has_no_sign_in_it() {
        for (text, expected) in [
            (
                "terminal: error rate 3.1 %, rolling back 25 % -> 0 %",
                "terminal: error rate 3.1 %, rolling back 25 % -> 0 %",
            ),
            ("error_rate of pod-a_1", "error_rate of pod-a_1"),
            ("_sly_ *bold* **x** `code` ~~no~~", "＿sly＿ ＊bold＊ ＊＊x＊＊ ｀code｀ ～～no～～"),
            ("](http://evil)[x](http://evil)", "］(http://evil)［x］(http://evil)"),
            ("<font color=\"info\"><@all>", "＜font color=\"info\">＜＠all>"),
            ("# no heading\n> no quote\na # b > c", "＃ no heading\n＞ no quote\na # b > c"),
            ("&lt;b&gt; &#60; a & b", "＆lt;b＆gt; ＆#60; a & b"),
            ("错误率 3.1 %（上限 1 %）", "错误率 3.1 %（上限 1 %）"),
        ] {
            assert_eq!(plain(text), expected);
        }
    }

    #[test]
    fn an_address_ends_where_it_should() {
        assert_eq!(address("https://a/b?c=(d) e&f=<g>"), "https://a/b?c=%28d%29%20e&f=%3Cg%3E");
    }
}
