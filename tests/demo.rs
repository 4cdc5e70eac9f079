//! `ripcord demo` as a user runs it: the real binary, its output, and its status API while it runs.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The demo has a limit of its own. This one only keeps a test that hangs from hanging for ever.
const PATIENCE: Duration = Duration::from_secs(300);

/// The demo's process, which does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_demo_tells_the_whole_story() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_ripcord"))
        .arg("demo")
        // Neither a proxy nor a cluster of whoever runs the tests may make a difference.
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .env("http_proxy", "http://127.0.0.1:9")
        .env("KUBECONFIG", "/nowhere")
        .env("RIPCORD__EVALUATION__INTERVAL", "1h")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env_remove("RIPCORD_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let lines = lines_of(demo.stdout.take().expect("stdout is piped"));
    let mut stderr = demo.stderr.take().expect("stderr is piped");
    let mut demo = Running(demo);
    let until = Instant::now() + PATIENCE;
    let mut output: Vec<String> = Vec::new();
    let next = |output: &mut Vec<String>| {
        let line = lines.recv_timeout(until.saturating_duration_since(Instant::now()));
        if line == Err(mpsc::RecvTimeoutError::Timeout) {
            panic!("it did not end in time; so far:\n{}", output.join("\n"));
        }
        line.ok().inspect(|line| output.push(line.clone()))
    };

    let mut url = None;
    let mut during_hold = None;
    let mut while_verifying = None;
    while let Some(line) = next(&mut output) {
        if let Some((_, address)) = line.split_once("curl -s ") {
            url = Some(address.to_owned());
        }
        let read = || status(url.as_deref().expect("the address comes first"));
        if line.contains("held ") && line.contains(" of 5m0s  [") && during_hold.is_none() {
            during_hold = Some(read());
        }
        if line.contains("checking whether it helped") && while_verifying.is_none() {
            while_verifying = Some(read());
        }
    }
    let text = output.join("\n");
    let mut complaints = String::new();
    stderr.read_to_string(&mut complaints).expect("stderr is text");
    let status = demo.0.wait().expect("it ended");
    assert!(status.success(), "{status}: {complaints}\n{text}");
    assert_eq!(complaints, "", "the log is off");
    assert!(text.is_ascii() && !text.contains('\x1b'), "plain text, where stdout is no terminal:\n{text}");

    for wanted in [
        "of all its requests",
        "ripcord   deployment_env sealos-system/terminal-controller: changed (",
        "ISTIO_PERCENTAGE: 25 -> 0",
        "ripcord   config_map sealos-system/terminal-controller-config: changed (",
        "oncall    is paged: rollback.started",
        "oncall    is paged: rollback.succeeded",
        "oncall    is paged: rollback.verified",
        r#"      "event": "rollback.started","#,
        "    Subject: [CRITICAL] terminal: error rate",
        "terminal: the rollback helped",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is missing in:\n{text}");
    }
    let last = output.last().expect("it writes");
    for wanted in [
        "terminal was rolled back 25 % -> 0 %",
        "image and sidecar untouched",
        "db-adminer not touched",
        "recovery verified",
    ] {
        assert!(last.starts_with("Demo finished: ") && last.contains(wanted), "{wanted:?} is missing in: {last}");
    }

    let state = |status: &Value, name: &str| {
        let guard = status["guards"].as_array().and_then(|all| all.iter().find(|g| g["guard"] == name)).cloned();
        guard.expect("the guard is there")["state"].as_str().expect("it has a state").to_owned()
    };
    let during_hold = during_hold.expect("the hold is told");
    assert_eq!(
        (state(&during_hold, "terminal"), state(&during_hold, "db-adminer")),
        ("watching".into(), "watching".into())
    );
    let while_verifying = while_verifying.expect("the rollback is told");
    assert_ne!(state(&while_verifying, "terminal"), "watching");
    assert_eq!(state(&while_verifying, "db-adminer"), "watching");
}

#[test]
fn an_address_that_is_taken_is_a_failure_that_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address").to_string();
    let demo =
        Command::new(env!("CARGO_BIN_EXE_ripcord")).args(["demo", "--listen", &address]).output().expect("it runs");
    let complaints = String::from_utf8_lossy(&demo.stderr);
    assert_eq!(demo.status.code(), Some(1), "{complaints}");
    assert!(complaints.contains(&format!("cannot listen on {address}")), "{complaints}");
}

/// The lines as they come.
fn lines_of(stdout: std::process::ChildStdout) -> mpsc::Receiver<String> {
    let (to, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody listens any more once the test has failed.
            let _ = to.send(line);
        }
    });
    lines
}

fn status(url: &str) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        // An error means that there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = client.get(url).send().await.expect("the API answers").error_for_status().expect("with success");
        answer.json().await.expect("with JSON")
    })
}
