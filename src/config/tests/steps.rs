//! The steps `virtual_service` and `command`.

use std::time::Duration;

use super::{check_errors, check_warnings, errors, settings};
use crate::config::template::Template;
use crate::config::{Command, Step, VirtualService};

/// A guard of its own beside the good one, with these steps.
fn traffic(steps: &str) -> String {
    format!(
        "guards: {{other: {{match: {{a: b}}, vars: {{name: x, ten: '10', ninety: '90'}}, triggers: {{e: {{signal: error_rate, above: 1%}}}}, \
         traffic: {steps}}}}}"
    )
}

fn weights(weights: &str) -> String {
    traffic(&format!("[{{virtual_service: {{namespace: n, name: x, weights: {weights}}}}}]"))
}

/// A command after a step from which the share can be read.
fn command(keys: &str) -> String {
    traffic(&format!(
        "[{{config_map: {{namespace: n, name: x, data: {{s: \"${{percentage}}\"}}}}}}, {{command: {{{keys}}}}}]"
    ))
}

/// The last step of the guard `other`.
fn last_step(over: &str) -> Step {
    settings(over).guards[0].steps.last().expect("a step").clone()
}

fn template(text: &str) -> Template {
    Template::parse(text).expect("a template")
}

#[test]
fn a_virtual_service_is_read() {
    let written = "[{virtual_service: {namespace: n, name: '${name}-routes', routes: ['${guard}', b], \
        weights: {'${name}.n.svc.cluster.local': '${percentage}', old: '${rest}'}}}]";
    let wanted = VirtualService {
        namespace: "n".to_owned(),
        name: "x-routes".to_owned(),
        weights: [("x.n.svc.cluster.local", "${percentage}"), ("old", "${rest}")]
            .map(|(key, text)| (key.to_owned(), template(text)))
            .into(),
        routes: vec!["other".to_owned(), "b".to_owned()],
    };
    assert_eq!(last_step(&traffic(written)), Step::VirtualService(wanted));
    assert_eq!(last_step(&traffic(written)).name(), "virtual_service n/x-routes");
    let Step::VirtualService(plain) = last_step(&weights("{a: '${percentage}', b: '${rest}'}")) else {
        panic!("another step");
    };
    assert!(plain.routes.is_empty());
    // Any texts that add up, and one route's name in the place of a list.
    settings(&weights("{a: '${percentage}', b: '${rest}', c: '0'}"));
    let fixed = "[{virtual_service: {namespace: n, name: x, routes: r, weights: {a: '${ten}', b: '${ninety}'}}}, \
        {config_map: {namespace: n, name: x, data: {s: '${percentage}'}}}]";
    settings(&traffic(fixed));
}

#[test]
fn virtual_services_that_cannot_be() {
    let with = |keys: &str| {
        traffic(&format!(
            "[{{virtual_service: {{namespace: n, weights: {{a: '${{percentage}}', b: '${{rest}}'}}, {keys}}}}}]"
        ))
    };
    check_errors(&[
        (&traffic("[{virtual_service: {namespace: n, name: x}}]"), "virtual_service: needs weights, what each"),
        (&weights("{}"), "weights: has no entries; write one for each destination"),
        (&weights("{a: '${percentage}'}"), "weights: has one entry, which would always get everything"),
        (
            &weights("{a: '${percentage}', b: '${percentage}'}"),
            "weights: at 0 % the weights are 0 + 0, which adds up to 0 and not to 100; write ${percentage} for one destination",
        ),
        (
            &weights("{a: '${percentage}', b: '${rest}', c: '1'}"),
            "at 0 % the weights are 0 + 100 + 1, which adds up to 101",
        ),
        (&weights("{a: '${percentage}0', b: '${rest}'}"), "weights.a: is \"370\" at 37 %; a weight is a whole number"),
        (&weights("{a: '${percentage}%', b: '${rest}'}"), "weights.a: is \"0%\" at 0 %; a weight is a whole number"),
        (&weights("{a: '-${percentage}', b: '${rest}'}"), "weights.a: is \"-0\" at 0 %"),
        (&weights("{a: '', b: '${rest}'}"), "weights.a: is \"\" at 0 %; a weight is a whole number from 0 to 100"),
        (&weights("{a: '${mode}', b: '${rest}'}"), "weights.a: ${mode} makes no weight; use ${percentage}, ${rest}"),
        (&weights("{a: '${time}', b: '${rest}'}"), "weights.a: ${time} makes no weight"),
        (&weights("{a: '${percentag}', b: '${rest}'}"), "weights.a: unknown variable ${percentag}; did you mean"),
        (&weights("{a: '${percentage}', b: 50}"), "weights.b: 50 is a number where text is needed"),
        (&weights("{'a b': '${percentage}', b: '${rest}'}"), "\"a b\" is no destination; write a host or a subset"),
        (&weights("{'${name}': '${percentage}', x: '${rest}'}"), "weights.x: is x like another entry; keep one"),
        (
            &weights("{'${percentage}': '${percentage}', x: '${rest}'}"),
            "${percentage} cannot stand in \"${percentage}\": its value differs",
        ),
        (&with("name: X"), "virtual_service.name: \"X\" is no valid name"),
        (&with("name: x, routes: []"), "virtual_service.routes: is empty; name the http routes that are meant"),
        (&with("name: x, routes: [a, a]"), "virtual_service.routes[1]: \"a\" is there twice; keep one"),
        (&with("name: x, routes: ['${time}']"), "virtual_service.routes[0]: ${time} cannot stand in"),
        (&with("name: x, subset: a"), "virtual_service.subset: unknown key \"subset\""),
        (&weights("{a: '${ten}', b: '${ninety}'}"), "guards.other.traffic: has no field that is exactly ${percentage}"),
    ]);
}

#[test]
fn everything_wrong_with_weights_is_said_at_once() {
    let found = errors(&traffic(
        "[{virtual_service: {name: X, weights: {a: '${mode}', 'b c': '${rest}'}, routes: []}}, {command: {argv: [], timeout: 0s}}]",
    ));
    for expected in [
        "virtual_service: needs namespace",
        "virtual_service.name: \"X\" is no valid name",
        "weights.a: ${mode} makes no weight",
        "\"b c\" is no destination",
        "routes: is empty",
        "command.argv: is empty",
        "command.timeout: 0s is too short",
    ] {
        assert!(found.iter().any(|e| e.contains(expected)), "{expected}\n{found:#?}");
    }
    assert_eq!(found.len(), 7, "{found:#?}");
}

#[test]
fn a_virtual_service_belongs_to_one_step() {
    let step = "{virtual_service: {namespace: n, name: x, weights: {a: '${percentage}', b: '${rest}'}}}";
    let other = "{virtual_service: {namespace: n, name: x, routes: [r], weights: {c: '${percentage}', d: '${rest}'}}}";
    check_errors(&[(
        &traffic(&format!("[{step}, {other}]")),
        "guards.other.traffic[1]: guard other changes VirtualService n/x in two steps; make them one",
    )]);
    // Of another kind, an object of the same name is another one.
    settings(&traffic(&format!("[{step}, {{config_map: {{namespace: n, name: x, data: {{s: '${{percentage}}'}}}}}}]")));
}

#[test]
fn a_command_is_read() {
    let wanted = Command {
        argv: vec![
            Template::literal("/opt/x/move"),
            template("--share=${percentage}"),
            template(""),
            template("${reason}"),
        ],
        timeout: Duration::from_secs(90),
    };
    let step =
        last_step(&command("argv: ['/opt/${name}/move', '--share=${percentage}', '', '${reason}'], timeout: 90s"));
    assert_eq!(step, Step::Command(wanted));
    assert_eq!(step.name(), "command move");
    let Step::Command(plain) = last_step(&command("argv: [move]")) else { panic!("another step") };
    assert_eq!(plain.timeout, Duration::from_secs(240));
}

#[test]
fn commands_that_cannot_be() {
    check_errors(&[
        (&command(""), "command: needs argv, the program and its arguments"),
        (&command("argv: []"), "command.argv: is empty; write the program and its arguments"),
        (&command("argv: move"), "command.argv: must be a list, not a text"),
        (&command("argv: ['']"), "command.argv[0]: \"\" is no program"),
        (&command("argv: ['/opt/']"), "command.argv[0]: \"/opt/\" is no program; write its path"),
        (&command("argv: ['move-${time}']"), "command.argv[0]: ${time} cannot stand in \"move-${time}\""),
        (&command("argv: ['move-${percentage}']"), "command.argv[0]: ${percentage} cannot stand in"),
        (&command("argv: [move, '${percentag}']"), "command.argv[1]: unknown variable ${percentag}"),
        (&command("argv: [move, 5]"), "command.argv[1]: 5 is a number where text is needed"),
        (&command("argv: [move, \"a\\0b\"]"), "command.argv[1]: holds a NUL sign"),
        (&command("argv: [move], timeout: 0s"), "command.timeout: 0s is too short"),
        (&command("argv: [move], timeout: 31m"), "command.timeout: 31m is too long; the most is 30m"),
        (&command("argv: [move], shell: true"), "command.shell: unknown key \"shell\""),
        (
            &traffic("[{command: {argv: [move, '${percentage}']}}]"),
            "guards.other.traffic: has no field that is exactly ${percentage}",
        ),
        (
            &traffic(
                "[{config_map: {namespace: n, name: x, data: {s: '${percentage}'}}}, {command: {argv: [/a/move]}}, {command: {argv: [/b/move, x]}}]",
            ),
            "guards.other.traffic: has command move twice, and a page could not tell them apart; make them one script",
        ),
    ]);
    check_warnings(&[(
        &traffic(
            "[{config_map: {namespace: n, name: x, optional: true, data: {s: '${percentage}'}}}, {command: {argv: [move, '${percentage}']}}]",
        ),
        "only an optional ConfigMap holds ${percentage}",
    )]);
}
