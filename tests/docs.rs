//! The documents are true: every setting is named and no other, complete examples are valid, every link leads somewhere, every command can be
//! typed, and every event has its place in the runbook.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ripcord::config::{self, LoadOptions};
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::{
    Attribute, Expr, ExprLit, Field, FieldsNamed, GenericArgument, Ident, Item, Lit, Meta, PathArguments, PathSegment,
    Type,
};

/// What an example that stands for a whole file begins with.
const COMPLETE: &str = "```yaml complete\n";

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The inside of a `shape!` of `src/config/raw.rs`: a name and its keys with their types.
struct Shape {
    name: Ident,
    keys: FieldsNamed,
}

impl Parse for Shape {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        input.call(Attribute::parse_outer)?;
        Ok(Self { name: input.parse()?, keys: input.parse()? })
    }
}

type Shapes = BTreeMap<String, FieldsNamed>;

fn shapes() -> Shapes {
    let file = syn::parse_file(&read("src/config/raw.rs")).expect("src/config/raw.rs parses");
    let shapes = file.items.into_iter().filter_map(|item| match item {
        Item::Macro(item) if item.mac.path.is_ident("shape") => {
            let shape: Shape = item.mac.parse_body().expect("a shape");
            Some((shape.name.to_string(), shape.keys))
        }
        _ => None,
    });
    shapes.collect()
}

fn last(ty: &Type) -> &PathSegment {
    match ty {
        Type::Path(path) => path.path.segments.last().expect("a type has a name"),
        _ => panic!("the type of a key is no plain name"),
    }
}

/// What a key's doc comment says, in one line.
fn said_of(field: &Field) -> String {
    let lines = field.attrs.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    lines.map(|line| line.trim().to_owned()).collect::<Vec<_>>().join(" ")
}

/// Adds every path that a shape allows, with what its type says of it, as the document writes them: `NAME` is a name that the user chooses,
/// `[]` an item of a list.
fn add_paths(shapes: &Shapes, shape: &str, prefix: &str, paths: &mut BTreeMap<String, String>) {
    for field in &shapes[shape].named {
        let key = field.ident.as_ref().expect("a key").unraw();
        let path = if prefix.is_empty() { key.to_string() } else { format!("{prefix}.{key}") };
        let ty = last(&field.ty);
        let (inner, below) = match &ty.arguments {
            PathArguments::AngleBracketed(arguments) => match arguments.args.first() {
                Some(GenericArgument::Type(inner)) if ty.ident == "Named" => (last(inner), format!("{path}.NAME")),
                Some(GenericArgument::Type(inner)) => (last(inner), format!("{path}[]")),
                _ => panic!("{path} has an argument that is no type"),
            },
            _ => (ty, path.clone()),
        };
        let inner = inner.ident.to_string();
        // `defaults` has the keys of one guard, which are described once.
        if shapes.contains_key(&inner) && path != "defaults" {
            add_paths(shapes, &inner, &below, paths);
        }
        paths.insert(path, said_of(field));
    }
}

/// The settings that the document describes: the code spans in the first cells of its tables of settings.
fn described(document: &str) -> BTreeSet<&str> {
    let mut settings = BTreeSet::new();
    let mut in_table = false;
    for line in document.lines() {
        in_table = line.starts_with("| setting |") || (in_table && line.starts_with('|'));
        if in_table {
            let cell = line.split('|').nth(1).unwrap_or_default();
            settings.extend(cell.split('`').skip(1).step_by(2));
        }
    }
    settings
}

/// Whether a row is about a path: it is its end, with a key before the last one where there is one.
fn is_about(setting: &str, path: &str) -> bool {
    path == setting || (setting.contains('.') && path.ends_with(&format!(".{setting}")))
}

#[test]
fn every_setting_is_described_and_no_other() {
    let mut paths = BTreeMap::new();
    add_paths(&shapes(), "Root", "", &mut paths);
    assert!(paths.len() > 100, "only {} settings were found", paths.len());
    let document = read("docs/configuration.md");
    let settings = described(&document);
    let missing: Vec<_> = paths.keys().filter(|path| !settings.iter().any(|s| is_about(s, path))).collect();
    assert!(missing.is_empty(), "not described: {missing:#?}");
    let unknown: Vec<_> = settings.iter().filter(|s| !paths.keys().any(|path| is_about(s, path))).collect();
    assert!(unknown.is_empty(), "described, but there is no such setting: {unknown:#?}");
}

/// The document with the meanings that the types give: the last cells of its tables of settings.
fn with_meanings(document: &str, paths: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut in_table = false;
    for line in document.lines() {
        in_table = line.starts_with("| setting |") || (in_table && line.starts_with('|'));
        let cell = line.split('|').nth(1).unwrap_or_default();
        let setting = cell.split('`').nth(1).filter(|_| in_table && cell.matches('`').count() == 2);
        let said: BTreeSet<&String> = setting
            .into_iter()
            .flat_map(|s| paths.iter().filter(move |(path, _)| is_about(s, path)))
            .map(|(_, said)| said)
            .filter(|said| !said.is_empty())
            .collect();
        match (said.len(), line.trim_end_matches('|').trim_end().rfind(" | ")) {
            (1, Some(at)) => out.push_str(&format!("{} | {} |", &line[..at], said.first().expect("one"))),
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[test]
fn the_reference_says_what_the_types_say() {
    let mut paths = BTreeMap::new();
    add_paths(&shapes(), "Root", "", &mut paths);
    // A key of many places (a namespace, a name) is described where it is used.
    let silent = paths.values().filter(|said| said.is_empty()).count();
    assert!(silent * 10 < paths.len(), "{silent} of {} settings say nothing in src/config/raw.rs", paths.len());
    let document = read("docs/configuration.md");
    let generated = with_meanings(&document, &paths);
    if std::env::var_os("RIPCORD_WRITE_DOCS").is_some() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
        fs::write(file, generated).expect("the document");
        return;
    }
    for (written, generated) in document.lines().zip(generated.lines()) {
        assert_eq!(written, generated, "write it by RIPCORD_WRITE_DOCS=1 cargo test --test docs");
    }
}

#[test]
fn the_schema_takes_what_is_valid_and_refuses_what_is_not_known() {
    let schema = jsonschema::validator_for(&config::schema()).expect("a schema");
    let value = |text: &str| serde_saphyr::from_str::<serde_json::Value>(text).expect("YAML");
    let mut valid: Vec<String> =
        ["config/ripcord.yaml", "config/minimal.yaml", "config/oncall.yaml"].map(read).to_vec();
    let reference = read("docs/configuration.md");
    let examples = reference.split(COMPLETE).skip(1).filter_map(|rest| rest.split_once("\n```"));
    valid.extend(examples.map(|(text, _)| text.to_owned()));
    for text in &valid {
        let errors: Vec<String> =
            schema.iter_errors(&value(text)).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{text}\n\n{errors:#?}");
    }
    let valid = &valid[1];
    for wrong in
        ["prometheus: {urll: x}", "guards: {shop: {rollback: {percentage: 101}}}", "evaluation: {interval: ten}"]
    {
        assert!(!schema.is_valid(&value(wrong)), "{wrong}");
    }
    assert!(schema.is_valid(&value(valid)));
}

#[test]
fn every_complete_example_is_valid() {
    let document = read("docs/configuration.md");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut examples = 0;
    for rest in document.split(COMPLETE).skip(1) {
        let (text, _) = rest.split_once("\n```").expect("the end of an example");
        let path = folder.path().join(format!("{examples}.yaml"));
        fs::write(&path, text).expect("a file");
        let settings = config::load(&[path], [], LoadOptions { syntax_only: true })
            .unwrap_or_else(|findings| panic!("{text}\n\n{findings:#?}"));
        assert!(settings.warnings.is_empty(), "{text}\n\n{:#?}", settings.warnings);
        examples += 1;
    }
    assert!(examples >= 3, "only {examples} examples were found");
}

/// What getting-started puts into the configuration for a cluster is what its drill needs: a place for the state, one that leads, and a token.
#[test]
fn the_first_drill_finds_its_token() {
    let document = read("docs/getting-started.md");
    let minimal = read("config/minimal.yaml");
    let (minimal, state) = minimal.split_once("\nstate: {file: ").expect("the state of config/minimal.yaml");
    assert_eq!(state.trim().lines().count(), 1, "what stands behind it would be lost");
    let keys = ["    state: {", "    leader_election: {", "    http: {"];
    let lines: Vec<&str> =
        document.lines().filter(|line| keys.iter().any(|key| line.starts_with(key))).map(str::trim).collect();
    assert_eq!(lines.len(), keys.len(), "{lines:?}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("my.yaml");
    fs::write(&path, format!("{minimal}\n{}\n", lines.join("\n"))).expect("a file");
    let settings = config::load(&[path], [], LoadOptions { syntax_only: true }).expect("a valid configuration");
    assert!(settings.leader_election.is_some());
    let token = settings.http.token_file.expect("a token").0;
    let key = token.strip_prefix("/etc/ripcord").expect("a file of the Secret").display().to_string();
    assert!(document.contains(&format!("create secret generic ripcord --from-file={key}=token")), "{key}");
    for needed in ["docker build ", "port-forward ", "--token-file token"] {
        assert!(document.contains(needed), "{needed}");
    }
}

/// Every document that a user reads, with its name.
fn documents() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> =
        ["README.md", "README.zh-CN.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(|name| root.join(name)).to_vec();
    let docs = fs::read_dir(root.join("docs")).expect("docs").map(|entry| entry.expect("an entry").path());
    files.extend(docs.filter(|file| file.extension().is_some_and(|e| e == "md")));
    files.into_iter().map(|file| (file.clone(), fs::read_to_string(&file).expect("a text"))).collect()
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(document: &str) -> BTreeSet<String> {
    let headings =
        document.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |heading: &str| -> String {
        let kept = heading
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .collect::<String>();
        kept.replace(' ', "-")
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut links = 0;
    for (file, text) in documents() {
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap_or_default();
            if target.contains("://") || target.is_empty() || target.contains(' ') {
                continue;
            }
            links += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let to = if path.is_empty() { file.clone() } else { file.parent().expect("a folder").join(path) };
            assert!(to.exists(), "{}: {target} is not there", file.display());
            if !anchor.is_empty() {
                let there = anchors(&fs::read_to_string(&to).expect("a text"));
                assert!(there.contains(anchor), "{}: {target}: the headings are {there:?}", file.display());
            }
        }
    }
    assert!(links > 30, "only {links} links were found");
}

/// The words of a command line, up to what a shell would do with its result. What stands for something (`…`) is left out.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    for c in line.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => (quote, begun) = (Some(c), true),
            (None, '#' | '>' | '|' | '&' | ';') if word.is_empty() && !begun => break,
            (None, ' ') => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (_, c) => word.push(c),
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    words.retain(|word| word != "…" && word != "\\");
    words
}

#[test]
fn every_command_can_be_typed() {
    let mut commands = 0;
    for (file, text) in documents() {
        let text = text.replace("\\\n", " ");
        for line in text.lines().filter(|line| line.starts_with("    ")) {
            let Some(at) =
                line.find("ripcord ").filter(|at| line[..*at].ends_with([' ', '/']) || line[..*at].ends_with("-- "))
            else {
                continue;
            };
            // Only where it is the command itself: at the beginning, or behind `kubectl exec … --`.
            if !line[..at].trim().is_empty() && !line[..at].trim_end().ends_with("--") {
                continue;
            }
            let words = words(&line[at..].trim().replace("\"…\"", "\"text\""));
            if words.len() < 2 || words.iter().any(|w| w.contains('(')) {
                continue;
            }
            commands += 1;
            if let Err(error) = ripcord::cli::grammar().try_get_matches_from(&words) {
                use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
                let shown =
                    [DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion].contains(&error.kind());
                assert!(shown, "{}: {line}\n{error}", file.display());
            }
        }
    }
    assert!(commands > 50, "only {commands} commands were found");
}

#[test]
fn every_event_has_its_place_in_the_runbook() {
    let source = read("src/engine/action.rs");
    let renames = source.lines().filter_map(|line| line.trim().strip_prefix("#[serde(rename = \""));
    let events: Vec<&str> =
        renames.filter_map(|rest| rest.split('"').next()).filter(|name| name.contains('.')).collect();
    assert!(events.len() >= 18, "{events:?}");
    let runbook = read("docs/runbook.md");
    let told: Vec<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(told, events, "the sections of docs/runbook.md");
}
