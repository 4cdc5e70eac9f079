//! A message as HTML.

use super::message::Content;
use super::text::escape_html;

/// Colours that are left to the reader's own scheme (dark or light), but for the bar that shows the severity.
const BAR: [(&str, &str); 3] = [("CRITICAL", "#d32f2f"), ("WARNING", "#f9a825"), ("INFO", "#1976d2")];

/// A whole document. It refers to nothing outside itself but through links.
pub(super) fn document(title: &str, content: &Content) -> String {
    let bar = BAR.iter().find(|(severity, _)| *severity == content.severity).map_or("#777777", |(_, colour)| colour);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{}</title></head>\n\
         <body style=\"font-family:system-ui,sans-serif;line-height:1.45;max-width:42em;margin:0 auto;padding:1em\">\n\
         <p style=\"font-size:1.15em;margin:0 0 1em;padding-left:.6em;border-left:.35em solid {bar}\">\
         <strong>{}</strong><br>{}</p>\n",
        escape_html(title),
        escape_html(&content.severity),
        escape_html(&content.lead),
    );
    for section in &content.sections {
        out.push_str(&format!("<h2 style=\"font-size:1em;margin:1em 0 .2em\">{}</h2>\n", escape_html(section.heading)));
        for line in &section.lines {
            out.push_str(&format!("<p style=\"margin:.2em 0\">{}</p>\n", escape_html(line)));
        }
        if !section.items.is_empty() {
            let items: String = section.items.iter().map(|i| format!("<li>{}</li>", escape_html(i))).collect();
            out.push_str(&format!("<ul style=\"margin:.2em 0;padding-left:1.2em\">{items}</ul>\n"));
        }
    }
    if !content.links.is_empty() {
        let links: Vec<String> = content.links.iter().map(|(name, target)| link(name, target)).collect();
        out.push_str(&format!("<p style=\"margin:1em 0\">{}</p>\n", links.join("<br>")));
    }
    let ids: Vec<String> = content.ids.iter().map(|(name, value)| format!("{name}: {}", escape_html(value))).collect();
    out.push_str(&format!("<p style=\"font-size:.85em;margin:1em 0;opacity:.75\">{}</p>\n", ids.join("<br>")));
    out.push_str("</body></html>\n");
    out
}

/// A link, where the target is one that a browser opens as a page; else the text alone.
fn link(name: &str, target: &str) -> String {
    let shown = escape_html(target);
    if target.starts_with("https://") || target.starts_with("http://") {
        format!("{name}: <a href=\"{shown}\">{shown}</a>")
    } else {
        format!("{name}: {shown}")
    }
}
