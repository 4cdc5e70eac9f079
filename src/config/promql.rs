//! A look at a PromQL query without a parser for it: brackets and quotes must be balanced.
//!
//! More would refuse what the server takes: VictoriaMetrics and others understand more than Prometheus does. The server
//! itself judges the query in `ripcord preflight`.

/// Says what is wrong with a query, as far as that can be seen.
pub(super) fn check(query: &str) -> Result<(), String> {
    if query.trim().is_empty() {
        return Err("is an empty query".to_owned());
    }
    let mut open: Vec<char> = Vec::new();
    let mut chars = query.chars();
    let mut seen_more_than_comments = false;
    while let Some(c) = chars.next() {
        seen_more_than_comments |= c != '#' && !c.is_whitespace();
        match c {
            '#' => {
                chars.by_ref().find(|c| *c == '\n');
            }
            '"' | '\'' | '`' => skip_text(&mut chars, c)?,
            '(' | '[' | '{' => open.push(c),
            ')' | ']' | '}' => {
                let wanted = match c {
                    ')' => '(',
                    ']' => '[',
                    _ => '{',
                };
                match open.pop() {
                    Some(opened) if opened == wanted => {}
                    Some(opened) => return Err(format!("is no PromQL: {opened} is closed by {c}")),
                    None => return Err(format!("is no PromQL: {c} closes nothing")),
                }
            }
            _ => {}
        }
    }
    match open.pop() {
        Some(opened) => Err(format!("is no PromQL: {opened} is never closed")),
        None if !seen_more_than_comments => Err("is a query of comments only".to_owned()),
        None => Ok(()),
    }
}

/// Skips a quoted text. In backquotes a backslash is a backslash.
fn skip_text(chars: &mut std::str::Chars<'_>, quote: char) -> Result<(), String> {
    while let Some(c) = chars.next() {
        if c == quote {
            return Ok(());
        }
        if c == '\\' && quote != '`' {
            chars.next();
        }
    }
    Err(format!("is no PromQL: a text that begins with {quote} never ends"))
}
