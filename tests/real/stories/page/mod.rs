//! The status page, in a real browser.
//!
//! - here: what the stories share; `states`: every state that it shows; `hour`: the charts; `many`: many guards, a standby, a dry run
//! - `asking`: what is asked for on it, with and without JavaScript, with the keyboard alone; `foreign`: what others send
//! - `judges`: that what judges it can fail; the report of a replay, judged by the same
//!
//! With `RIPCORD_SCREENSHOTS` set to a folder, pictures of every state are written there.

mod asking;
mod foreign;
mod hour;
mod judges;
mod many;
mod states;

use std::time::Duration;

use serde_json::json;

use super::stage::{GUARD, LONG, Stage};
use crate::support::browser::Browser;
use crate::support::fixtures::Config;
use crate::support::ripcord::Ripcord;
use crate::support::{Story, World};

pub fn trials() -> Vec<Story> {
    let all = [states::trials(), hour::trials(), many::trials(), asking::trials(), foreign::trials(), judges::trials()];
    // A browser and a judgement at two widths and in two colours take their time where other stories run beside.
    all.into_iter().flatten().map(|story| story.within(Duration::from_secs(300))).collect()
}

/// What opens the buttons.
const TOKEN: &str = "open-sesame";

/// A text that would do something if it were not taken as a text.
const HOSTILE: &str =
    "<img src=x onerror=document.title='caught'><script>document.title='caught'</script>\"'`&amp;{{7*7}}";

/// A configuration whose page has buttons.
fn config(world: &World, stage: &Stage<'_>) -> anyhow::Result<Config> {
    Ok(stage.config().set("http.token_file", json!(world.write("token", &format!("{TOKEN}\n"))?)))
}

/// Opens the page and waits until its headline says so.
async fn open(browser: &Browser, ripcord: &Ripcord, headline: &str) -> anyhow::Result<()> {
    browser.go(&ripcord.url()).await?;
    browser.until_text("h1", headline, LONG).await
}

/// Types the token into the form that is shown.
async fn sign_in(browser: &Browser, ripcord: &Ripcord) -> anyhow::Result<()> {
    browser.go(&format!("{}/sign-in", ripcord.url())).await?;
    browser.type_into("#token", TOKEN).await?;
    browser.click("button[type=submit]").await?;
    browser.until_text(".signing", "Signed in", LONG).await
}

/// The address at which something is asked of the guard.
fn at(ripcord: &Ripcord, action: &str) -> String {
    format!("{}/guards/{GUARD}/{action}", ripcord.url())
}
