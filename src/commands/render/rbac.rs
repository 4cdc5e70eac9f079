//! The least permissions that a configuration needs: in each namespace a Role, and its RoleBinding to Ripcord's ServiceAccount.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::cli::ServiceAccount;
use crate::config::Settings;
use crate::kubernetes::{Access, ObjectRef, Purpose};

/// The longest line of a list of names; a longer list has a line for each.
const MAX_LINE: usize = 120;

/// What everything of Ripcord's is labelled with, so that it is found together.
const LABELS: &str = "labels: {app.kubernetes.io/name: ripcord}";

/// The namespace and name of the ServiceAccount that needs no telling.
const USUAL_ACCOUNT: (&str, &str) = ("sealos-system", "ripcord");

/// One rule of a Role.
#[derive(Debug, PartialEq, Eq)]
struct Rule {
    purpose: Purpose,
    group: &'static str,
    resource: &'static str,
    verbs: BTreeSet<&'static str>,
    /// The objects; all of the resource where there are none.
    names: Vec<String>,
}

/// The documents as YAML.
pub fn render(settings: &Settings, files: &[PathBuf], account: &ServiceAccount) -> String {
    let mut text = head(settings, files, account);
    let mut namespaces: BTreeMap<String, Vec<Access>> = BTreeMap::new();
    for access in Access::of(settings) {
        namespaces.entry(access.namespace.clone()).or_default().push(access);
    }
    let documents: Vec<String> = namespaces
        .iter()
        .map(|(namespace, all)| {
            format!("{}---\n{}", role(namespace, account, &rules(all)), binding(namespace, account))
        })
        .collect();
    text.push_str(&documents.join("---\n"));
    text
}

/// What the reader must know before the first document.
fn head(settings: &Settings, files: &[PathBuf], account: &ServiceAccount) -> String {
    let mut command = "ripcord render rbac".to_owned();
    for file in files {
        // Writing to a String cannot fail.
        let _ = write!(command, " --config {}", file.display());
    }
    if (account.namespace.as_str(), account.name.as_str()) != USUAL_ACCOUNT {
        let _ = write!(command, " --service-account {}/{}", account.namespace, account.name);
    }
    let mut text = format!(
        "# The least that a configuration needs. Make it anew after every change of its guards, its state or its Lease:\n#   {}\n",
        on_one_line(&command)
    );
    let others: BTreeSet<String> = settings
        .guards
        .iter()
        .flat_map(|guard| guard.steps.iter().filter(|step| ObjectRef::of(step).is_none()))
        .map(|step| step.name())
        .collect();
    if !others.is_empty() {
        let names = others.into_iter().collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            text,
            "# Not in here is what these steps call, which needs rights of its own: {}",
            on_one_line(&names)
        );
    }
    text
}

/// A comment must not end where a text from outside says so.
fn on_one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

/// The fewest rules: one for all objects of a resource with the same verbs and the same purpose.
fn rules(all: &[Access]) -> Vec<Rule> {
    type Object<'a> = (Purpose, &'static str, &'static str, Option<&'a String>);
    let mut verbs: BTreeMap<Object<'_>, BTreeSet<&'static str>> = BTreeMap::new();
    for access in all {
        let object = (access.purpose, access.group, access.resource, access.name.as_ref());
        verbs.entry(object).or_default().insert(access.verb);
    }
    let mut rules: Vec<Rule> = Vec::new();
    for ((purpose, group, resource, name), verbs) in verbs {
        let same = |rule: &&mut Rule| {
            (rule.purpose, rule.group, rule.resource) == (purpose, group, resource)
                && rule.verbs == verbs
                && rule.names.is_empty() == name.is_none()
        };
        match rules.iter_mut().find(same) {
            Some(rule) => rule.names.extend(name.cloned()),
            None => rules.push(Rule { purpose, group, resource, verbs, names: name.cloned().into_iter().collect() }),
        }
    }
    rules
}

fn role(namespace: &str, account: &ServiceAccount, rules: &[Rule]) -> String {
    let mut text = document("Role", namespace, account);
    text.push_str("rules:\n");
    let mut before = None;
    for rule in rules {
        if before != Some(rule.purpose) {
            for line in comment(rule.purpose) {
                let _ = writeln!(text, "  # {line}");
            }
            before = Some(rule.purpose);
        }
        let group = if rule.group.is_empty() { "\"\"" } else { rule.group };
        let _ = writeln!(text, "  - apiGroups: [{group}]\n    resources: [{}]", rule.resource);
        text.push_str(&names(&rule.names));
        let verbs: Vec<&str> = rule.verbs.iter().copied().collect();
        let _ = writeln!(text, "    verbs: [{}]", verbs.join(", "));
    }
    text
}

/// Why the rules that follow are there.
fn comment(purpose: Purpose) -> &'static [&'static str] {
    match purpose {
        Purpose::Traffic => &["The share is read from these and set in them."],
        Purpose::State => &["The state: incidents, latches, what is still to be told."],
        Purpose::Leadership => &["Who leads. A Lease is replaced as a whole, which takes `update`."],
        Purpose::FirstStart => &[
            "To create the state and the Lease at the first start. RBAC sees no name in a create (the name stands in the body, not in the",
            "address), so this cannot be limited to theirs; but it only adds objects: those of others can neither be read nor changed by",
            "it. Whoever creates them beforehand, both empty, can leave this out.",
        ],
        Purpose::Events => {
            &["The story of a rollback in `kubectl describe deployment`. A create cannot be limited to names."]
        }
    }
}

fn names(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| scalar(name)).collect();
    let line = format!("    resourceNames: [{}]\n", names.join(", "));
    match names.len() {
        0 => String::new(),
        _ if line.chars().count() <= MAX_LINE => line,
        _ => names.iter().fold("    resourceNames:\n".to_owned(), |text, name| text + &format!("      - {name}\n")),
    }
}

fn binding(namespace: &str, account: &ServiceAccount) -> String {
    let ServiceAccount { namespace: home, name } = account;
    let (home, name) = (scalar(home), scalar(name));
    format!(
        "{}roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {name}}}\n\
         subjects:\n  - {{kind: ServiceAccount, name: {name}, namespace: {home}}}\n",
        document("RoleBinding", namespace, account)
    )
}

fn document(kind: &str, namespace: &str, account: &ServiceAccount) -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {}\n  namespace: {}\n  {LABELS}\n",
        scalar(&account.name),
        scalar(namespace)
    )
}

/// A name as YAML. One that YAML could take for a number, a truth value or a part of its syntax is quoted.
fn scalar(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
        && !matches!(name, "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n");
    // JSON is YAML.
    if plain { name.to_owned() } else { serde_json::Value::from(name).to_string() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, LoadOptions};

    fn file(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
    }

    fn settings(file: PathBuf) -> Settings {
        config::load(&[file], Vec::new(), LoadOptions { syntax_only: true }).expect("a valid configuration")
    }

    fn account() -> ServiceAccount {
        ServiceAccount { namespace: "sealos-system".to_owned(), name: "ripcord".to_owned() }
    }

    fn access(purpose: Purpose, resource: &'static str, name: Option<&str>, verb: &'static str) -> Access {
        let name = name.map(str::to_owned);
        Access { namespace: "ns".to_owned(), purpose, group: "g", resource, name, verb }
    }

    #[test]
    fn the_shipped_file_is_what_the_shipped_configuration_renders() {
        let shipped = std::fs::read_to_string(file("deploy/overlays/sealos/rbac.yaml"))
            .expect("deploy/overlays/sealos/rbac.yaml");
        let rendered = render(&settings(file("config/ripcord.yaml")), &["config/ripcord.yaml".into()], &account());
        assert_eq!(shipped, rendered, "make deploy/overlays/sealos/rbac.yaml anew, as its first lines say");
    }

    #[test]
    fn one_rule_holds_the_names_with_the_same_verbs() {
        use Purpose::{FirstStart, State, Traffic};
        let all = [
            access(Traffic, "a", Some("x"), "get"),
            access(Traffic, "a", Some("x"), "patch"),
            access(Traffic, "a", Some("y"), "get"),
            access(Traffic, "a", Some("z"), "patch"),
            access(Traffic, "a", Some("z"), "get"),
            access(Traffic, "b", Some("x"), "get"),
            access(State, "a", Some("s"), "get"),
            access(FirstStart, "a", None, "create"),
        ];
        let found: Vec<(Purpose, &str, Vec<&str>, Vec<String>)> =
            rules(&all).into_iter().map(|r| (r.purpose, r.resource, r.verbs.into_iter().collect(), r.names)).collect();
        let named = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            found,
            [
                (Traffic, "a", vec!["get", "patch"], named(&["x", "z"])),
                (Traffic, "a", vec!["get"], named(&["y"])),
                (Traffic, "b", vec!["get"], named(&["x"])),
                (State, "a", vec!["get"], named(&["s"])),
                (FirstStart, "a", vec!["create"], vec![]),
            ]
        );
    }

    /// A rule without names allows everything of its resource: it must never come of one with names.
    #[test]
    fn names_never_get_lost_in_a_rule_for_all() {
        let all = [access(Purpose::Traffic, "a", None, "get"), access(Purpose::Traffic, "a", Some("x"), "get")];
        let found: Vec<Vec<String>> = rules(&all).into_iter().map(|r| r.names).collect();
        assert_eq!(found, [vec![], vec!["x".to_owned()]]);
    }

    #[test]
    fn each_namespace_has_a_role_and_a_binding_of_its_own() {
        let mut settings = settings(file("config/minimal.yaml"));
        settings.state =
            Some(config::StatePlace::ConfigMap(config::ObjectName { namespace: "0".into(), name: "true".into() }));
        let text = render(&settings, &["x\n.yaml".into()], &account());
        let documents = yaml_rust2::YamlLoader::load_from_str(&text).expect("YAML");
        let found: Vec<(&str, &str)> = documents
            .iter()
            .map(|d| (d["kind"].as_str().expect("kind"), d["metadata"]["namespace"].as_str().expect("namespace")))
            .collect();
        assert_eq!(found, [("Role", "0"), ("RoleBinding", "0"), ("Role", "default"), ("RoleBinding", "default")]);
        assert_eq!(documents[0]["rules"][0]["resourceNames"][0].as_str(), Some("true"));
        assert_eq!(documents[3]["subjects"][0]["namespace"].as_str(), Some("sealos-system"));
    }

    #[test]
    fn what_yaml_could_misread_is_quoted() {
        for (name, wanted) in
            [("ripcord-state", "ripcord-state"), ("a.b", "a.b"), ("0", "\"0\""), ("1e3", "\"1e3\""), ("on", "\"on\"")]
        {
            assert_eq!(scalar(name), wanted);
        }
        assert_eq!(scalar("a: [b"), "\"a: [b\"");
    }
}
