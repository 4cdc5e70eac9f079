//! `docs/configuration.md` names every setting that there is and no other, and its complete examples are valid.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use ripcord::config::{self, LoadOptions};
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, FieldsNamed, GenericArgument, Ident, Item, PathArguments, PathSegment, Type};

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

/// Adds every path that a shape allows, as the document writes them: `NAME` is a name that the user chooses, `[]` an item of a list.
fn add_paths(shapes: &Shapes, shape: &str, prefix: &str, paths: &mut BTreeSet<String>) {
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
        paths.insert(path);
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
    let mut paths = BTreeSet::new();
    add_paths(&shapes(), "Root", "", &mut paths);
    assert!(paths.len() > 100, "only {} settings were found", paths.len());
    let document = read("docs/configuration.md");
    let settings = described(&document);
    let missing: Vec<_> = paths.iter().filter(|path| !settings.iter().any(|s| is_about(s, path))).collect();
    assert!(missing.is_empty(), "not described: {missing:#?}");
    let unknown: Vec<_> = settings.iter().filter(|s| !paths.iter().any(|path| is_about(s, path))).collect();
    assert!(unknown.is_empty(), "described, but there is no such setting: {unknown:#?}");
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
