//! A real Chromium without a window, driven by the WebDriver protocol (<https://www.w3.org/TR/webdriver2/>), with what only its makers have
//! (`goog/cdp/execute`). What is asked of it is a dozen JSON requests, so there is no client crate.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::child::Child;
use super::{World, eventually, ports};

/// How long one request to the driver may take: a page on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Where this is set, pictures of the pages are written into that folder.
const SCREENSHOTS: &str = "RIPCORD_SCREENSHOTS";

/// The tallest picture, in pixels.
const TALLEST: f64 = 3000.0;

/// The key of an element in the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys that write nothing, as the protocol has them.
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";

/// A browser with one window. Dropping it kills it and everything that it started.
pub struct Browser {
    http: reqwest::Client,
    session: String,
    axe: String,
    _driver: Child,
}

impl Browser {
    /// Starts it with a profile of its own.
    pub async fn start(world: &World) -> anyhow::Result<Self> {
        let address = ports::free_address();
        // Beside the stories' folders and not in one: the browser makes a socket below, whose whole name has room for 107 letters.
        let dir = world.run_dir.join(format!("b{}", address.port()));
        std::fs::create_dir(&dir)?;
        let mut command = Command::new(&world.binaries.chromedriver);
        command.arg(format!("--port={}", address.port())).env_clear().env("HOME", &dir).env("TMPDIR", &dir);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        // The browser is in its driver's process group, and ends with it.
        let driver = world.spawn("chromedriver", &mut command)?;
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        let base = format!("http://{address}");
        eventually(TIMEOUT, "the driver of the browser is ready", async || {
            let status: Value = http.get(format!("{base}/status")).send().await?.json().await?;
            ensure!(status["value"]["ready"] == true, "{status}");
            anyhow::Ok(())
        })
        .await?;
        let profile = format!("--user-data-dir={}", dir.join("profile").display());
        let args = [
            "--headless=new",
            // The tests may run as root, where it has no sandbox.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--disable-breakpad",
            "--no-first-run",
            "--no-proxy-server",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            // Nothing of the outside has an address, whatever it wants there.
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
            &profile,
        ];
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": {"binary": world.binaries.chromium, "args": args},
        }}});
        let answer: Value = http.post(format!("{base}/session")).json(&capabilities).send().await?.json().await?;
        let id = answer["value"]["sessionId"].as_str().with_context(|| format!("no session: {answer}"))?;
        let axe = std::fs::read_to_string(&world.binaries.axe).context("reading axe-core")?;
        let session = format!("{base}/session/{id}");
        let browser = Self { http, session, axe, _driver: driver };
        browser.go("about:blank").await?;
        browser.requests().await?;
        browser.console().await?;
        Ok(browser)
    }

    async fn call(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer: Value = self.http.post(format!("{}/{path}", self.session)).json(body).send().await?.json().await?;
        let value = answer["value"].clone();
        if let Some(error) = value["error"].as_str() {
            bail!(
                "{path}: {error}: {}",
                value["message"].as_str().unwrap_or_default().lines().next().unwrap_or_default()
            );
        }
        Ok(value)
    }

    /// Opens an address and waits until it is there.
    pub async fn go(&self, url: &str) -> anyhow::Result<()> {
        self.call("url", &json!({"url": url})).await?;
        Ok(())
    }

    /// Evaluates the body of a function in the page, whatever the page's own policy says.
    pub async fn run(&self, script: &str) -> anyhow::Result<Value> {
        self.call("execute/sync", &json!({"script": script, "args": []})).await
    }

    /// One command of the developer tools' protocol.
    pub async fn tools(&self, command: &str, parameters: Value) -> anyhow::Result<Value> {
        self.call("goog/cdp/execute", &json!({"cmd": command, "params": parameters})).await
    }

    /// The window's width; its height is that of a screen.
    pub async fn width(&self, width: u32) -> anyhow::Result<()> {
        // They take room of their own on some machines and none on others.
        self.tools("Emulation.setScrollbarsHidden", json!({"hidden": true})).await?;
        let metrics = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false});
        self.tools("Emulation.setDeviceMetricsOverride", metrics).await?;
        Ok(())
    }

    /// The reader's colours: `light` or `dark`.
    pub async fn colours(&self, scheme: &str) -> anyhow::Result<()> {
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.tools("Emulation.setEmulatedMedia", media).await?;
        Ok(())
    }

    /// Whether pages may run scripts.
    pub async fn javascript(&self, on: bool) -> anyhow::Result<()> {
        self.tools("Emulation.setScriptExecutionDisabled", json!({"value": !on})).await?;
        Ok(())
    }

    async fn element(&self, selector: &str) -> anyhow::Result<String> {
        let found = self.call("element", &json!({"using": "css selector", "value": selector})).await?;
        Ok(found[ELEMENT].as_str().with_context(|| format!("no {selector}"))?.to_owned())
    }

    /// Clicks what a selector finds first.
    pub async fn click(&self, selector: &str) -> anyhow::Result<()> {
        let element = self.element(selector).await?;
        self.call(&format!("element/{element}/click"), &json!({})).await?;
        Ok(())
    }

    /// Types into what a selector finds first.
    pub async fn type_into(&self, selector: &str, text: &str) -> anyhow::Result<()> {
        let element = self.element(selector).await?;
        self.call(&format!("element/{element}/value"), &json!({"text": text})).await?;
        Ok(())
    }

    /// Presses keys one after the other, wherever the focus is.
    pub async fn press(&self, keys: &str) -> anyhow::Result<()> {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})])
            .collect();
        self.call("actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": strokes}]})).await?;
        Ok(())
    }

    /// The text of what a selector finds first, as it is seen.
    pub async fn text(&self, selector: &str) -> anyhow::Result<String> {
        let script =
            format!("const found = document.querySelector({}); return found && found.innerText", json!(selector));
        // Spaces at which no line is broken are spaces.
        Ok(self.run(&script).await?.as_str().with_context(|| format!("no {selector}"))?.replace('\u{a0}', " "))
    }

    /// How many elements a selector finds.
    pub async fn count(&self, selector: &str) -> anyhow::Result<u64> {
        let script = format!("return document.querySelectorAll({}).length", json!(selector));
        self.run(&script).await?.as_u64().context("a number")
    }

    /// Waits until what a selector finds holds a text.
    pub async fn until_text(&self, selector: &str, wanted: &str, timeout: Duration) -> anyhow::Result<()> {
        eventually(timeout, &format!("{selector} says {wanted:?}"), async || match self.text(selector).await {
            Ok(text) if text.contains(wanted) => Ok(()),
            Ok(text) => Err(text),
            Err(error) => Err(error.to_string()),
        })
        .await
    }

    async fn log(&self, kind: &str) -> anyhow::Result<Vec<Value>> {
        let entries = self.call("se/log", &json!({"type": kind})).await?;
        Ok(entries.as_array().cloned().unwrap_or_default())
    }

    /// What the console says since the last look: errors and warnings, refusals by the page's policy among them.
    pub async fn console(&self) -> anyhow::Result<Vec<String>> {
        let entries =
            self.log("browser").await?.into_iter().filter(|e| e["level"] == "SEVERE" || e["level"] == "WARNING");
        Ok(entries.map(|e| e["message"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// The addresses that were asked for since the last look, whatever came of it.
    pub async fn requests(&self) -> anyhow::Result<Vec<String>> {
        let messages = self.log("performance").await?;
        let events = messages.iter().filter_map(|m| serde_json::from_str::<Value>(m["message"].as_str()?).ok());
        let sent = events.filter(|e| e["message"]["method"] == "Network.requestWillBeSent");
        Ok(sent.map(|e| e["message"]["params"]["request"]["url"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// What axe-core finds wrong with the page, each with the element and how to mend it.
    pub async fn axe(&self) -> anyhow::Result<Vec<String>> {
        self.run(&format!("{}; return true", self.axe)).await?;
        let script = "const done = arguments[arguments.length - 1]; \
                      axe.run(document, {resultTypes: ['violations']}).then(r => done(r.violations), e => done([{id: String(e), nodes: []}]))";
        let found = self.call("execute/async", &json!({"script": script, "args": []})).await?;
        let in_words = |violation: &Value| {
            let nodes = violation["nodes"].as_array().into_iter().flatten().take(3);
            let nodes = nodes.map(|n| format!("{}: {}", n["html"].as_str().unwrap_or("?"), n["failureSummary"]));
            format!("{}: {}", violation["id"], nodes.collect::<Vec<_>>().join(" | "))
        };
        Ok(found.as_array().context("a list")?.iter().map(in_words).collect())
    }

    /// How far the page is wider than the window, in pixels.
    pub async fn overflow(&self) -> anyhow::Result<i64> {
        let script = "const page = document.documentElement; return page.scrollWidth - Math.min(window.innerWidth, page.clientWidth)";
        self.run(script).await?.as_i64().context("a number")
    }

    /// Everything that must hold of a page at either width and in either colours: nothing said in the console, nothing asked for
    /// elsewhere than at `own`, nothing that axe-core finds, and no scrolling sideways. Where pictures are wanted they are taken.
    pub async fn judge(&self, name: &str, own: &str) -> anyhow::Result<()> {
        let mut wrong = Vec::new();
        for (scheme, width) in [("light", 1280), ("light", 360), ("dark", 1280), ("dark", 360)] {
            self.colours(scheme).await?;
            self.width(width).await?;
            let here = |text: String| format!("{name}, {scheme}, {width} px: {text}");
            wrong.extend(self.axe().await?.into_iter().map(here));
            let overflow = self.overflow().await?;
            if overflow > 0 {
                wrong.push(here(format!("{overflow} px too wide")));
            }
            self.picture(&format!("{name}-{scheme}-{width}")).await?;
        }
        wrong.extend(self.console().await?.into_iter().map(|text| format!("{name}: the console says {text}")));
        let elsewhere =
            self.requests().await?.into_iter().filter(|url| !url.starts_with(own) && !url.starts_with("data:"));
        wrong.extend(elsewhere.map(|url| format!("{name}: asks for {url}")));
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    }

    /// Takes a picture of the whole page, where pictures are wanted, and keeps the markup beside it.
    pub async fn picture(&self, name: &str) -> anyhow::Result<()> {
        let Some(dir) = std::env::var_os(SCREENSHOTS).filter(|dir| !dir.is_empty()).map(PathBuf::from) else {
            return Ok(());
        };
        std::fs::create_dir_all(&dir)?;
        let size = self.tools("Page.getLayoutMetrics", json!({})).await?["cssContentSize"].clone();
        let height = size["height"].as_f64().unwrap_or(TALLEST).min(TALLEST);
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1});
        let shot = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let data = self.tools("Page.captureScreenshot", shot).await?;
        std::fs::write(dir.join(format!("{name}.png")), STANDARD.decode(data["data"].as_str().context("a picture")?)?)?;
        let markup = self.run("return document.documentElement.outerHTML").await?;
        std::fs::write(dir.join(format!("{name}.html")), markup.as_str().unwrap_or_default())?;
        Ok(())
    }
}
