//! A message as HTML: for a phone at night. One column, the one important line first and large, links to hit with a thumb, and colours
//! that are the reader's own, dark or light.

use super::message::{Content, Tone};
use super::text::escape_html;

/// The colour behind the severity's word, which is white: at least 4.5 to 1, as WCAG 2.2 asks for.
fn colour(tone: Tone) -> &'static str {
    match tone {
        Tone::Critical => "#c62828",
        Tone::Warning => "#8d5a00",
        Tone::Info => "#1565c0",
        Tone::Good => "#2e7d32",
    }
}

/// Spaces that mail programs do not show, so that nothing of the message follows the preview that is meant.
const FILL: &str = "&#847;&zwnj;&nbsp;";

/// How often they are repeated: a phone shows about a hundred characters.
const FILLS: usize = 60;

/// A whole document. It refers to nothing outside itself but through links.
pub(super) fn document(title: &str, content: &Content) -> String {
    let colour = colour(content.tone);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><meta name=\"supported-color-schemes\" content=\"light dark\">\
         <style>:root{{color-scheme:light dark}}</style><title>{}</title></head>\n\
         <body style=\"margin:0;padding:0\">\n\
         <div style=\"display:none;max-height:0;overflow:hidden;mso-hide:all\">{}{}</div>\n\
         <div style=\"font-family:system-ui,-apple-system,'Segoe UI',Roboto,'PingFang SC','Noto Sans CJK SC','Microsoft YaHei',sans-serif;\
         font-size:16px;line-height:1.5;max-width:640px;margin:0 auto;padding:16px;overflow-wrap:anywhere\">\n\
         <p style=\"margin:0\"><strong style=\"display:inline-block;padding:2px 10px;border-radius:4px;color:#ffffff;\
         background:{colour}\">{}</strong></p>\n\
         <h1 style=\"font-size:21px;line-height:1.35;margin:8px 0 16px\">{}</h1>\n",
        content.language.tag(),
        escape_html(title),
        escape_html(&preview(content)),
        FILL.repeat(FILLS),
        escape_html(&content.severity),
        escape_html(&content.lead),
    );
    for (index, section) in content.sections.iter().enumerate() {
        // What is to be done comes first, and is what the eye shall find.
        let style = match index {
            0 => format!("margin:0 0 16px;padding:2px 0 2px 12px;border-left:4px solid {colour}"),
            _ => "margin:0 0 16px".to_owned(),
        };
        out.push_str(&format!(
            "<div style=\"{style}\"><h2 style=\"font-size:15px;margin:0\">{}</h2>",
            escape_html(section.heading)
        ));
        for line in &section.lines {
            out.push_str(&format!("<p style=\"margin:2px 0\">{}</p>", escape_html(line)));
        }
        if !section.items.is_empty() {
            let items: String = section.items.iter().map(|i| format!("<li>{}</li>", escape_html(i))).collect();
            out.push_str(&format!("<ul style=\"margin:2px 0;padding-left:20px\">{items}</ul>"));
        }
        out.push_str("</div>\n");
    }
    let links: String = content.links.iter().map(|(name, target)| link(name, target)).collect();
    out.push_str(&links);
    let ids: Vec<String> = content
        .ids
        .iter()
        .map(|(name, value)| format!("{}{}{}", escape_html(name), content.colon(), escape_html(value)))
        .collect();
    out.push_str(&format!("<p style=\"font-size:13px;margin:16px 0 0\">{}</p>\n", ids.join("<br>")));
    out.push_str("</div></body></html>\n");
    out
}

/// What a phone shows beside the subject: what happened, because the subject may be that of the story's first mail.
fn preview(content: &Content) -> String {
    let to_do = content.sections.first().and_then(|section| section.lines.first());
    to_do.map_or_else(|| content.lead.clone(), |to_do| format!("{} {to_do}", content.lead))
}

/// A link that a thumb hits, where the target is one that a browser opens as a page; else the text alone.
fn link(name: &str, target: &str) -> String {
    let (name, shown) = (escape_html(name), escape_html(target));
    if target.starts_with("https://") || target.starts_with("http://") {
        format!(
            "<p style=\"margin:8px 0\"><a href=\"{shown}\" style=\"display:block;padding:11px 16px;border:1px solid currentColor;\
             border-radius:8px;font-weight:600;text-decoration:none\">{name}</a></p>\n"
        )
    } else {
        format!("<p style=\"margin:8px 0\">{name}: {shown}</p>\n")
    }
}
