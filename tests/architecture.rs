//! Reads the sources and fails when an import breaks the layers of ARCHITECTURE.md. Extend the rules; never relax them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// What each folder of `src` may name of ours outside itself. A folder that is not here fails the test: say first what it may know.
const MAY_KNOW: [(&str, &[&str]); 11] = [
    ("engine", &[]),
    ("config", &["engine"]),
    ("prometheus", &["config", "engine"]),
    ("kubernetes", &["config", "engine"]),
    ("notify", &["config", "engine"]),
    ("state", &["config", "engine", "kubernetes", "notify"]),
    ("http", &["config", "engine", "telemetry"]),
    ("telemetry", &["config", "engine", "http", "notify"]),
    ("daemon", &["config", "engine", "prometheus", "kubernetes", "notify", "state", "http", "telemetry"]),
    (
        "commands",
        &["cli", "config", "daemon", "engine", "prometheus", "kubernetes", "notify", "state", "http", "telemetry"],
    ),
    ("cli", &["commands", "config"]),
];

/// Constants of `lib.rs` that anybody may use.
const COMMON: [&str; 2] = ["VERSION", "USER_AGENT"];

/// The crates that the engine may use: none of them reads a clock, a file, the network or the environment unless asked by a name that
/// is forbidden below.
const ENGINE_CRATES: [&str; 6] = ["std", "core", "crate", "self", "super", "serde"];

/// Besides those: time is an argument, and this is its type.
const ENGINE_TIME: &str = "jiff";

/// Names that no path of the engine may hold, whatever they are reached through.
const ENGINE_NEVER: [&str; 22] = [
    "Instant",
    "SystemTime",
    "now",
    "env",
    "fs",
    "net",
    "io",
    "process",
    "thread",
    "sync",
    "tokio",
    "kube",
    "reqwest",
    "tracing",
    "metrics",
    "log",
    "rand",
    "fastrand",
    "RandomState",
    "HashMap",
    "HashSet",
    "Zoned",
];

/// Macros that no file of the engine may call.
const ENGINE_NEVER_MACROS: [&str; 16] = [
    "println",
    "eprintln",
    "print",
    "eprint",
    "dbg",
    "info",
    "warn",
    "error",
    "debug",
    "trace",
    "counter",
    "gauge",
    "histogram",
    "env",
    "option_env",
    "include_str",
];

/// Metrics are named in one place.
const METRIC_MACROS: [&str; 6] =
    ["counter", "gauge", "histogram", "describe_counter", "describe_gauge", "describe_histogram"];

/// Everything that a file names.
#[derive(Default)]
struct Names {
    /// Paths, as their segments, from `use` and from code.
    paths: BTreeSet<Vec<String>>,
    macros: BTreeSet<String>,
}

impl Names {
    fn tree(&mut self, before: &[String], tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                let mut longer = before.to_vec();
                longer.push(path.ident.to_string());
                self.tree(&longer, &path.tree);
            }
            syn::UseTree::Name(name) => self.add(before, &name.ident.to_string()),
            syn::UseTree::Rename(name) => self.add(before, &name.ident.to_string()),
            syn::UseTree::Glob(_) => self.add(before, "*"),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(before, item)),
        }
    }

    fn add(&mut self, before: &[String], last: &str) {
        let mut path = before.to_vec();
        path.push(last.to_owned());
        self.paths.insert(path);
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        // What tests use is theirs.
        if !only_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.paths.insert(path.segments.iter().map(|s| s.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if let Some(last) = call.path.segments.last() {
            self.macros.insert(last.ident.to_string());
        }
        // What stands inside a macro is no syntax tree: its words are looked at one by one.
        let words: Vec<String> = call
            .tokens
            .to_string()
            .replace(" :: ", "::")
            .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
            .filter(|word| word.contains("::"))
            .map(str::to_owned)
            .collect();
        for word in words {
            self.paths.insert(word.split("::").map(str::to_owned).collect());
        }
        visit::visit_macro(self, call);
    }
}

fn only_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|a| a.path().is_ident("cfg") && quote_of(a).contains("test"))
}

fn quote_of(attribute: &syn::Attribute) -> String {
    match &attribute.meta {
        syn::Meta::List(list) => list.tokens.to_string(),
        _ => String::new(),
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("the sources are there") {
            let path = entry.expect("an entry of a folder").path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files
        .into_iter()
        .map(|file| {
            let text = std::fs::read_to_string(&file).expect("a source file is text");
            (file.strip_prefix(&root).expect("below src").to_owned(), text)
        })
        .collect()
}

/// The room that a file belongs to: its folder in `src`, or its own name.
fn room(file: &Path) -> String {
    let first = file.components().next().expect("a file has a name").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

fn is_test(file: &Path) -> bool {
    file.components().any(|c| c.as_os_str() == "tests" || c.as_os_str() == "tests.rs" || c.as_os_str() == "testing.rs")
}

fn names(text: &str, file: &Path) -> Names {
    let parsed = syn::parse_file(text).unwrap_or_else(|e| panic!("{} does not parse: {e}", file.display()));
    let mut names = Names::default();
    names.visit_file(&parsed);
    names
}

/// Everything in one file that breaks a rule.
fn violations(file: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |what: String| found.push(format!("{}: {what}", file.display()));
    let room = room(file);
    if room == "lib" || room == "main" || is_test(file) {
        return found;
    }
    let Some((_, may_know)) = MAY_KNOW.iter().find(|(name, _)| *name == room) else {
        say(format!("the room {room} has no rule in MAY_KNOW"));
        return found;
    };
    let names = names(text, file);
    for path in &names.paths {
        if let [first, second, ..] = path.as_slice()
            && (first == "crate" || first == "ripcord")
        {
            let known = *second == room || may_know.contains(&second.as_str()) || COMMON.contains(&second.as_str());
            if !known {
                say(format!("{room} must not know {}", path.join("::")));
            }
        }
    }
    if room != "telemetry" {
        for name in names.macros.iter().filter(|m| METRIC_MACROS.contains(&m.as_str())) {
            say(format!("{name}! outside telemetry: metrics are named in one place"));
        }
    }
    if room == "engine" {
        for path in &names.paths {
            if let Some(word) = path.iter().find(|s| ENGINE_NEVER.contains(&s.as_str()))
                && (path.len() > 1 || word.chars().next().is_some_and(char::is_uppercase))
            {
                say(format!("the engine is pure and must not name {}", path.join("::")));
            }
        }
        for name in names.macros.iter().filter(|m| ENGINE_NEVER_MACROS.contains(&m.as_str())) {
            say(format!("the engine is pure and must not call {name}!"));
        }
        for root in imports(text, file) {
            if !ENGINE_CRATES.contains(&root.as_str()) && root != ENGINE_TIME && !text.contains(&format!("mod {root};"))
            {
                say(format!("the engine must not import the crate {root}"));
            }
        }
    }
    found
}

/// The first segments of a file's `use` items.
fn imports(text: &str, file: &Path) -> BTreeSet<String> {
    struct Roots(Names);
    impl<'ast> Visit<'ast> for Roots {
        fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
            if !only_for_tests(&item.attrs) {
                visit::visit_item_mod(self, item);
            }
        }
        fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
            self.0.tree(&[], &item.tree);
        }
    }
    let parsed = syn::parse_file(text).unwrap_or_else(|e| panic!("{} does not parse: {e}", file.display()));
    let mut roots = Roots(Names::default());
    roots.visit_file(&parsed);
    roots.0.paths.into_iter().filter_map(|p| p.into_iter().next()).collect()
}

#[test]
fn every_import_keeps_to_the_layers() {
    let sources = sources();
    assert!(sources.len() > 20, "only {} source files were found", sources.len());
    let found: Vec<String> = sources.iter().flat_map(|(file, text)| violations(file, text)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_rules_catch_what_they_are_for() {
    let broken = [
        ("engine/x.rs", "use crate::config::Settings;", "must not know"),
        ("engine/x.rs", "fn f() { let _ = jiff::Timestamp::now(); }", "must not name"),
        ("engine/x.rs", "fn f() { let _ = std::time::Instant::now(); }", "must not name"),
        ("engine/x.rs", "use std::{env, fmt};", "must not name"),
        ("engine/x.rs", "use tokio::time::sleep;", "must not"),
        ("engine/x.rs", "use anyhow::Result;", "must not import"),
        ("engine/x.rs", "fn f() { tracing::info!(\"x\"); }", "must not call"),
        ("engine/x.rs", "fn f() { metrics::counter!(\"x\").increment(1); }", "telemetry"),
        ("engine/x.rs", "fn f() { format!(\"{}\", std::env::var(\"X\").is_ok()); }", "must not name"),
        ("engine/x.rs", "use std::collections::HashMap;", "must not name"),
        ("kubernetes/x.rs", "use crate::daemon::Clock;", "must not know"),
        ("notify/x.rs", "use crate::prometheus::Plan;", "must not know"),
        ("daemon/x.rs", "use crate::commands::run;", "must not know"),
        ("daemon/x.rs", "fn f() { metrics::gauge!(\"x\").set(1.0); }", "telemetry"),
        ("attic/x.rs", "", "no rule"),
    ];
    for (file, text, expected) in broken {
        let found = violations(Path::new(file), text).join("\n");
        assert!(found.contains(expected), "{file}: {text}\nfound: {found:?}");
    }
    let fine = [
        (
            "engine/x.rs",
            "use std::time::Duration; use jiff::Timestamp; use super::words; fn f(now: Timestamp) { g(now) }",
        ),
        ("daemon/x.rs", "use crate::engine::Engine; use crate::USER_AGENT;"),
    ];
    for (file, text) in fine {
        assert_eq!(violations(Path::new(file), text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn unsafe_code_is_forbidden_for_all() {
    let manifest =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("Cargo.toml");
    assert!(manifest.contains("unsafe_code = \"forbid\""));
}
