//! Files that cannot be read, or are no YAML.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{BASE, LoadOptions, errors, lines, load, load_texts};

fn alone(text: &str) -> String {
    match load_texts(&[text], &[], LoadOptions::default()) {
        Ok(_) => String::new(),
        Err(findings) => lines(&findings),
    }
}

#[test]
fn a_file_that_cannot_be_read_is_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("folder")).expect("a folder");
    fs::write(at("empty"), "").expect("a file");
    fs::write(at("latin1"), b"caf\xe9: 1").expect("a file");
    fs::File::create(at("large")).and_then(|f| f.set_len(10 * 1024 * 1024)).expect("a file");
    for (name, expected) in [
        ("missing", "does not exist"),
        ("folder", "is a directory, not a file"),
        ("empty", "is empty"),
        ("latin1", "is not UTF-8 text"),
        ("large", "is larger than 1048576 bytes"),
    ] {
        let findings = load(&[at(name)], [], LoadOptions::default()).expect_err(name);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].to_string(), format!("{}: {expected}", at(name).display()));
    }
    let device = load(&[PathBuf::from("/dev/zero")], [], LoadOptions::default()).expect_err("a device");
    assert_eq!(lines(&device), "/dev/zero: is no regular file");
}

#[test]
fn every_file_that_cannot_be_read_is_said() {
    let paths = [PathBuf::from("/nowhere/a.yaml"), PathBuf::from("/nowhere/b.yaml")];
    let findings = load(&paths, [], LoadOptions::default()).expect_err("no such files");
    assert_eq!(lines(&findings), "/nowhere/a.yaml: does not exist\n/nowhere/b.yaml: does not exist");
}

#[test]
fn what_is_no_yaml_is_said_with_its_line() {
    for (text, expected) in [
        ("prometheus:\n  url: [1, 2\n", "0.yaml:3: is no valid YAML: "),
        ("prometheus:\n\turl: x\n", "0.yaml:2: is no valid YAML: "),
        ("a: 1\n---\nb: 2\n", "0.yaml:2: holds more than one YAML document"),
        ("- 1\n- 2\n", "0.yaml:1: must be a map at the top"),
        ("just text", "0.yaml:1: must be a map at the top"),
        ("# only a comment\n", "0.yaml: is empty"),
        ("---\n", "0.yaml: is empty"),
        ("a: &x {b: 1}\nc: *x\n", "0.yaml:1: YAML anchors (&name) are not supported"),
        ("a: *x\n", "0.yaml:1: "),
        ("a: !!str 1\n", "0.yaml:1: YAML tags (!name) are not supported"),
        ("[a, b]: 1\n", "0.yaml:1: a map or a list cannot be a key"),
        (": 1\n", "0.yaml:1: a key is missing before the colon"),
    ] {
        let found = alone(text);
        assert!(found.starts_with(expected), "{text:?}\nexpected: {expected}\nfound: {found}");
    }
}

#[test]
fn a_key_that_is_written_twice_is_said() {
    let found = errors("http: {}\nlinks: {}\nhttp: {}\nevaluation: {interval: 5s, interval: 6}\n");
    assert_eq!(
        found,
        [
            "1.yaml:3: the key \"http\" is written twice, first in line 1",
            "1.yaml:4: the key \"interval\" is written twice, first in line 4",
            "1.yaml:4: evaluation.interval: 6 is no duration; write it with a unit, like 90s or 5m",
        ]
    );
}

#[test]
fn the_error_about_a_broken_file_stands_alone() {
    let findings = load_texts(&[BASE, "a: ["], &[], LoadOptions::default()).expect_err("no YAML");
    assert_eq!(findings.len(), 1, "{findings:?}");
}

#[test]
fn a_mark_at_the_beginning_and_other_line_ends_are_no_matter() {
    let text = format!("\u{feff}{}", BASE.replace('\n', "\r\n"));
    assert_eq!(alone(&text), "");
}

/// Texts that are made to cost much. Each is refused quickly, on the small stack of a test's thread.
#[test]
fn bombs_are_refused() {
    let aliases = (1..30)
        .fold("a0: &a0 [x, x]\n".to_owned(), |text, i| format!("{text}a{i}: &a{i} [*a{}, *a{}]\n", i - 1, i - 1));
    let half = 500_000;
    for bomb in [
        aliases,
        "[".repeat(half),
        "{a: ".repeat(half / 4),
        "- ".repeat(half),
        "? ".repeat(half),
        "a: ".repeat(half / 3),
        (0..700).fold(String::new(), |text, i| format!("{text}{}a:\n", " ".repeat(i))),
        format!("a: \"{}", "\\".repeat(half)),
        format!("{}: 1", "a".repeat(half)),
        format!("[{}", "[],".repeat(half / 3)),
        (0..20_000).fold(String::new(), |text, i| format!("{text}k{i}: 1\n")),
    ] {
        let started = Instant::now();
        let found = alone(&bomb);
        assert!(!found.is_empty());
        let took = started.elapsed();
        assert!(took < Duration::from_secs(20), "{took:?} for {}…", &bomb[..20]);
    }
}

#[test]
fn a_finding_names_the_last_file_that_says_the_key_and_its_line() {
    let found = errors("# over\nevaluation:\n  interval: 10s\n  blind_after: 3\n");
    assert_eq!(found, ["1.yaml:4: evaluation.blind_after: 3 is no duration; write it with a unit, like 90s or 5m"]);
    // What is missing is said where it should have been.
    let found = errors("receivers:\n  more:\n    webhook: {}\n");
    assert_eq!(found, ["1.yaml:3: receivers.more.webhook: needs url, or url_file where the address is a secret"]);
    // What is missing at the top belongs to no file where there are several.
    let found = load_texts(&["links: {}", "http: {}"], &[], LoadOptions::default()).expect_err("nothing there");
    assert_eq!(
        lines(&found),
        "prometheus: needs url, like url: http://prometheus.monitoring.svc:9090\nneeds guards, at least one, like guards: {terminal: {match: {…}}}"
    );
}
