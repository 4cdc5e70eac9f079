//! What a confirmation of the page rests on, and what is said of what came of it.

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect;

use super::{Bench, TOKEN};
use crate::engine::tests::scenario::{self, Scenario};
use crate::engine::{Command, GuardStatus};
use crate::http::Queue;
use crate::http::limits::Limits;

/// A guard with a trigger that rolls back and one that only pages, after this.
pub(super) fn after(script: &str) -> Vec<GuardStatus> {
    let triggers = vec![scenario::error_rate(), scenario::memory()];
    let mut scenario = Scenario::new(scenario::settings(vec![scenario::guard("terminal", triggers)]));
    scenario.run(script);
    scenario.engine.status()
}

/// Somebody who has signed in.
pub(super) struct Reader<'a> {
    bench: &'a Bench,
    http: reqwest::Client,
    cookie: String,
}

impl<'a> Reader<'a> {
    pub(super) async fn of(bench: &'a Bench) -> Self {
        Self::with(bench, TOKEN).await
    }

    /// One who signs in with this token.
    pub(super) async fn with(bench: &'a Bench, token: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap();
        let answer = http.post(bench.url("/sign-in")).form(&[("token", token)]).send().await.unwrap();
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
        Self { bench, http, cookie }
    }

    /// What is shown at this path.
    async fn look(&self, path: &str) -> String {
        let answer = self.http.get(self.bench.url(path)).header(COOKIE, &self.cookie).send().await.unwrap();
        answer.text().await.unwrap()
    }

    /// What the form of an action carries.
    pub(super) async fn form(&self, action: &str) -> String {
        let page = self.look(&format!("/guards/terminal/{action}")).await;
        page.split("name=\"form\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect(&page).to_owned()
    }

    /// Confirms an action: the status, and where it leads or what is shown.
    pub(super) async fn confirm(&self, action: &str, form: &str) -> (u16, String) {
        let fields = [("form", form), ("reason", "<users> complain"), ("minutes", "240")];
        let request = self.http.post(self.bench.url(&format!("/guards/terminal/{action}"))).form(&fields);
        let answer = request.header(COOKIE, &self.cookie).send().await.unwrap();
        let (status, leads_to) = (answer.status().as_u16(), answer.headers().get(LOCATION).cloned());
        match leads_to {
            Some(path) => (status, path.to_str().unwrap().to_owned()),
            None => (status, answer.text().await.unwrap()),
        }
    }
}

fn without_markup(page: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for letter in page.chars() {
        match letter {
            '<' => inside = true,
            '>' => inside = false,
            letter if !inside => text.push(letter),
            _ => {}
        }
    }
    text
}

async fn with(script: &str) -> Bench {
    let bench = Bench::start(Limits::default()).await;
    bench.snapshot.send_modify(|snapshot| snapshot.guards = after(script));
    bench
}

/// Each row: how it is when the form is shown, how it is when it comes, and what may still be asked with the old form.
#[tokio::test]
async fn a_confirmation_is_good_for_what_was_shown_and_nothing_else() {
    let rolled_back = "5m10s 5 %\n changed\n accepted\n completed\n 11m 0 %\n";
    let table = [
        ("1m 0 %", "2m 0 %", "rollback pause resume rearm ack"),
        // Numbers go up and down all the time.
        ("1m 0 %", "1m 5 %", "rollback pause resume rearm ack"),
        ("pause 1h", "pause 1h\n 1m 0 %", "rollback pause resume rearm ack"),
        // Another pause, although the state has the same name.
        ("pause 1h", "1m 0 %\n pause 1h", ""),
        ("pause 1h", "1m 0 %\n pause 1h\n resume", ""),
        // Another incident, latched as the one before was.
        (rolled_back, &format!("{rolled_back} rearm\n share 25\n {rolled_back}"), ""),
        ("1m 0 %", "5m10s 5 %", ""),
        // It begins to fail: an acknowledgement is more now than it was.
        ("5m10s 5 %", "5m10s 5 %\n failed", "rollback pause resume rearm"),
        ("5m10s 5 %\n failed", "5m10s 5 %\n failed\n pause 1h", ""),
        // A page fires besides, or is another one.
        ("1m value 1", "6m value 130", "rollback pause resume rearm"),
        ("6m value 130", "7m value 130", "rollback pause resume rearm ack"),
        ("6m value 130", "6m value 130\n 2m value 1\n 6m value 130", "rollback pause resume rearm"),
        ("6m value 130", "6m value 130\n ack", "rollback pause resume rearm"),
    ];
    for (shown, then, good) in table {
        let bench = with(shown).await;
        let reader = Reader::of(&bench).await;
        let actions = ["rollback", "pause", "resume", "rearm", "ack"];
        let mut forms = Vec::new();
        for action in actions {
            forms.push(reader.form(action).await);
        }
        bench.snapshot.send_modify(|snapshot| snapshot.guards = after(then));
        for (action, form) in actions.into_iter().zip(forms) {
            let (status, page) = reader.confirm(action, &form).await;
            let wanted = if good.split(' ').any(|name| name == action) { 303 } else { 409 };
            assert_eq!(status, wanted, "{action}: {shown:?}, then {then:?}: {page}");
            if status == 409 {
                assert!(page.contains("terminal has changed since you were asked: nothing was done"), "{page}");
                // What was typed is still there, and the form that comes with it is good.
                assert!(action != "rollback" || page.contains("value=\"&lt;users&gt; complain\""), "{page}");
                assert!(action != "pause" || page.contains("value=\"240\" selected"), "{page}");
                let anew = page.split("name=\"form\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
                assert_eq!(reader.confirm(action, &anew).await.0, 303, "{action}");
            }
        }
    }
}

#[tokio::test]
async fn a_confirmation_says_what_is_acknowledged_and_what_that_ends() {
    let gives_up = "The rollback that fails is given up: it is not tried again";
    let page = "the page of memory 130, limit 128";
    let table: [(&str, bool, &[&str], &[&str]); 7] = [
        ("1m 0 %", false, &["There is nothing to acknowledge."], &["the incident", gives_up]),
        ("6m value 130", true, &[page], &["the incident", gives_up]),
        ("6m value 130\n ack", false, &["There is nothing to acknowledge."], &[page]),
        ("5m10s 5 %", true, &["the incident: error rate 5 %"], &[gives_up]),
        ("5m10s 5 %\n failed", true, &["the incident: error rate 5 %", gives_up], &["after the pause"]),
        ("5m10s 5 %\n failed\n pause 1h", true, &[gives_up, ", also not after the pause."], &[]),
        ("5m10s 5 %\n failed\n pause 1h\n ack", false, &["There is nothing to acknowledge."], &[gives_up]),
    ];
    for (script, offered, says, says_not) in table {
        let bench = with(script).await;
        let reader = Reader::of(&bench).await;
        let button = reader.look("/").await.contains("href=\"/guards/terminal/ack\"");
        assert_eq!(button, offered, "{script:?}");
        let text = without_markup(&reader.look("/guards/terminal/ack").await);
        for part in says {
            assert!(text.contains(part), "{script:?}: {part:?} is not in {text}");
        }
        for part in says_not {
            assert!(!text.contains(part), "{script:?}: {part:?} is in {text}");
        }
    }
}

/// A page that fires after the incident was acknowledged is news.
#[tokio::test]
async fn a_page_beside_an_acknowledged_incident_can_be_acknowledged() {
    let bench = with("1m 0 %").await;
    let reader = Reader::of(&bench).await;
    let mut guards = after("5m10s 5 %\n changed\n ack");
    guards[0].triggers[1] = after("6m value 130").remove(0).triggers.remove(1);
    bench.snapshot.send_modify(|snapshot| snapshot.guards = guards);
    let text = without_markup(&reader.look("/guards/terminal/ack").await);
    assert!(text.contains("the page of memory") && !text.contains("the incident:"), "{text}");
    let (status, path) = reader.confirm("ack", &reader.form("ack").await).await;
    assert_eq!(status, 303);
    let said = without_markup(&reader.look(&path).await);
    assert!(said.contains("terminal: acknowledged: the page of memory"), "{said}");
}

#[tokio::test]
async fn what_is_asked_is_what_was_confirmed() {
    let (asked, mut commands) = tokio::sync::mpsc::unbounded_channel();
    let bench = Bench::start_with(Limits::default(), move |command| {
        asked.send(command.clone()).unwrap();
        Ok(None)
    })
    .await;
    bench.snapshot.send_modify(|snapshot| snapshot.guards = after("6m value 130"));
    let reader = Reader::of(&bench).await;
    let form = reader.form("ack").await;
    assert_eq!(reader.confirm("ack", &form).await.0, 303);
    assert_eq!(commands.recv().await, Some(Command::Acknowledge));
    // What it carries cannot be put together by who has not seen it.
    for forged in [form.split_once('.').unwrap().1.to_owned(), format!("x{form}"), String::new()] {
        assert_eq!(reader.confirm("ack", &forged).await.0, 403, "{forged}");
    }
    assert!(commands.try_recv().is_err());
}

/// It may be carried out still: to call that refused would be wrong.
#[tokio::test]
async fn what_nobody_answers_is_not_called_refused() {
    let bench = Bench::start_asked(Limits::default(), drop).await;
    bench.snapshot.send_modify(|snapshot| snapshot.guards = after("6m value 130"));
    let reader = Reader::of(&bench).await;
    let (status, path) = reader.confirm("ack", &reader.form("ack").await).await;
    assert_eq!(status, 303);
    let said = without_markup(&reader.look(&path).await);
    assert!(said.contains("Not known whether it is done: terminal: Ripcord did not answer"), "{said}");
    assert!(!said.contains("Not done"), "{said}");
    let problem: serde_json::Value =
        bench.post("/api/v1/guards/terminal/ack", &serde_json::json!({})).send().await.unwrap().json().await.unwrap();
    assert_eq!(problem["type"], "/problems/no-answer");
}

/// What waits is known by who leads; what was lost is in the document.
#[tokio::test]
async fn a_standby_does_not_say_that_nothing_waits() {
    let bench = with("1m 0 %").await;
    let queue = |waiting| Queue { receiver: "oncall".to_owned(), waiting, oldest_seconds: 3.0 };
    for (leads, waiting, said) in [
        (true, 0, "oncall nothing waits"),
        (false, 0, "oncall what waits is known by who leads"),
        // What it tells of itself.
        (false, 2, "oncall 2 waiting"),
    ] {
        bench.snapshot.send_modify(|s| (s.leads, s.receivers) = (leads, vec![queue(waiting)]));
        let page = without_markup(&bench.get("/").send().await.unwrap().text().await.unwrap());
        assert!(page.contains(said), "{said}: {page}");
    }
}
