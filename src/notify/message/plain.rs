//! A message as plain text.

use super::content::Content;

/// Its first line says what is wrong; each paragraph stands by itself.
pub(super) fn text(content: &Content) -> String {
    let colon = content.colon();
    let mut paragraphs = vec![content.lead.clone()];
    for section in &content.sections {
        let lines = section.lines.iter().cloned();
        let items = section.items.iter().map(|item| format!("- {item}"));
        let rest: Vec<String> = lines.chain(items).collect();
        paragraphs.push(format!("{}{}\n{}", section.heading, colon.trim_end(), rest.join("\n")));
    }
    for pairs in [&content.links, &content.ids] {
        let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}{colon}{value}")).collect();
        if !pairs.is_empty() {
            paragraphs.push(pairs.join("\n"));
        }
    }
    paragraphs.join("\n\n") + "\n"
}
