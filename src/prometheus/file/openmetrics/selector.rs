//! A metric's name with its labels: in a sample `requests_total{code="200"}`, and in PromQL with other operators too.

use super::super::super::expression::{Matcher, Operator, VectorSelector};

/// Where a selector stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// In a file: only `=` and double quotes.
    Sample,
    /// In a query.
    PromQl,
}

/// Where the part of a line ends that says the series; what follows is its value. None where a bracket or a quote is never closed.
pub(super) fn end_of_series(line: &str) -> Option<usize> {
    let name = line.find(|c: char| c == '{' || c.is_ascii_whitespace()).unwrap_or(line.len());
    if !line[name..].trim_start().starts_with('{') {
        return Some(name);
    }
    let (mut quoted, mut escaped) = (false, false);
    for (index, byte) in line.bytes().enumerate().skip(name) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return Some(index + 1),
            _ => {}
        }
    }
    None
}

/// Reads a selector that is the whole text. The error says what is wrong.
pub(super) fn parse(text: &str, dialect: Dialect) -> Result<VectorSelector, String> {
    let mut rest = Rest { text: text.trim(), dialect };
    let metric = rest.word(true).ok_or("begins with no name of a metric")?.to_owned();
    let mut matchers: Vec<Matcher> = Vec::new();
    if rest.take("{") {
        while !rest.take("}") {
            let matcher = rest.matcher()?;
            let again = matchers.iter().any(|known| known.label == matcher.label);
            if again && dialect == Dialect::Sample {
                return Err(format!("names the label {} twice", matcher.label));
            }
            matchers.push(matcher);
            if !rest.take(",") && !rest.text.starts_with('}') {
                return Err("has labels that are not separated by commas, or a bracket that is never closed".to_owned());
            }
        }
    }
    if rest.text.is_empty() {
        Ok(VectorSelector { metric, matchers })
    } else {
        Err("goes on after its labels".to_owned())
    }
}

/// What is still to be read.
struct Rest<'a> {
    text: &'a str,
    dialect: Dialect,
}

impl<'a> Rest<'a> {
    /// Whether a sign comes next, which is then skipped, and the blanks after it.
    fn take(&mut self, sign: &str) -> bool {
        match self.text.strip_prefix(sign) {
            Some(rest) => {
                self.text = rest.trim_start();
                true
            }
            None => false,
        }
    }

    /// A name; that of a metric may have colons.
    fn word(&mut self, colons: bool) -> Option<&'a str> {
        let is_in = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
        let end = self.text.find(|c: char| !is_in(c)).unwrap_or(self.text.len());
        let (word, rest) = self.text.split_at(end);
        if word.is_empty() || word.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        self.text = rest.trim_start();
        Some(word)
    }

    fn matcher(&mut self) -> Result<Matcher, String> {
        let label = self.word(false).ok_or("has a label without a name")?;
        if label == super::series::NAME {
            return Err("names the metric among its labels; write it before the bracket".to_owned());
        }
        let operators = [
            ("=~", Operator::Matches),
            ("!~", Operator::MatchesNot),
            ("!=", Operator::NotEqual),
            ("=", Operator::Equal),
        ];
        let known = if self.dialect == Dialect::Sample { &operators[3..] } else { &operators[..] };
        let operator = known.iter().find(|(sign, _)| self.take(sign));
        let (_, operator) = operator.ok_or_else(|| format!("has no = after the label {label}"))?;
        let value = self.quoted().map_err(|e| format!("has the label {label} with {e}"))?;
        Ok(Matcher { label: label.to_owned(), operator: *operator, value })
    }

    fn quoted(&mut self) -> Result<String, String> {
        let mut chars = self.text.char_indices();
        let quote = match chars.next() {
            Some((_, quote @ '"')) => quote,
            Some((_, quote @ ('\'' | '`'))) if self.dialect == Dialect::PromQl => quote,
            _ => return Err("a value that is not quoted".to_owned()),
        };
        let mut value = String::new();
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.text = self.text[at + c.len_utf8()..].trim_start();
                return Ok(value);
            }
            if c != '\\' || quote == '`' {
                value.push(c);
                continue;
            }
            match (chars.next().map(|(_, c)| c), self.dialect) {
                (Some('n'), _) => value.push('\n'),
                (Some(c @ ('\\' | '"')), _) => value.push(c),
                (Some('\''), Dialect::PromQl) if quote == '\'' => value.push('\''),
                (Some('t'), Dialect::PromQl) => value.push('\t'),
                // Prometheus leaves in a sample what is no escape.
                (Some(c), Dialect::Sample) => value.extend(['\\', c]),
                (c, _) => return Err(format!("the escape \\{}, which is not known", c.unwrap_or(' '))),
            }
        }
        Err("a value whose quotes are never closed".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_read_as_it_is_written() {
        let cases = [
            ("up", Dialect::Sample, "up{}"),
            ("up{}", Dialect::Sample, "up{}"),
            (r#"up {a="b" , c="d",}"#, Dialect::Sample, r#"up{a="b",c="d"}"#),
            (r#"a:b{c="}\"\\\n,"}"#, Dialect::Sample, r#"a:b{c="}\"\\\n,"}"#),
            (r#"up{a="\d"}"#, Dialect::Sample, r#"up{a="\\d"}"#),
            (r#"up{a=~"b|c",d!="e",f!~'g',h=`\i`}"#, Dialect::PromQl, r#"up{a=~"b|c",d!="e",f!~"g",h="\\i"}"#),
        ];
        for (text, dialect, expected) in cases {
            assert_eq!(parse(text, dialect).map(|s| s.to_string()).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        let cases = [
            ("", "no name"),
            ("{a=\"b\"}", "no name"),
            ("5up", "no name"),
            ("up{", "without a name"),
            ("up{a}", "no ="),
            ("up{a=b}", "not quoted"),
            ("up{a=\"b}", "never closed"),
            ("up{a=\"b\"", "commas"),
            ("up{a=\"b\" c=\"d\"}", "commas"),
            ("up{a=\"b\"} 5", "goes on"),
            ("up{a=~\"b\"}", "not quoted"),
            ("up{a=\"b\",a=\"c\"}", "twice"),
            ("up{__name__=\"b\"}", "before the bracket"),
        ];
        for (text, expected) in cases {
            let error = parse(text, Dialect::Sample).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_value_begins_where_the_series_ends() {
        let cases = [
            ("up 1", Some(2)),
            ("up", Some(2)),
            ("up{a=\"} \\\" \"} 1", Some(13)),
            ("up {a=\"b\"} 1", Some(10)),
            ("up{a=\"} 1", None),
            ("up{a=\"b\" 1", None),
        ];
        for (line, end) in cases {
            assert_eq!(end_of_series(line), end, "{line}");
        }
    }
}
