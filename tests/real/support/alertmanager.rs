//! A real Alertmanager, Debian's.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;

use super::child::Child;
use super::{World, eventually, ports};

/// How long it may take to answer. Only a failing test waits that long.
const START: Duration = Duration::from_secs(60);

/// One that runs until it is dropped.
pub struct Alertmanager {
    address: SocketAddr,
    http: reqwest::Client,
    _child: Child,
}

impl Alertmanager {
    /// Starts it with this configuration, and waits until it answers.
    pub async fn start(world: &World, config: &Value) -> anyhow::Result<Self> {
        let address = ports::free_address();
        let file = world.write("alertmanager.yml", &config.to_string())?;
        let mut command = Command::new(&world.binaries.alertmanager);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", world.new_dir("alertmanager")?.display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=");
        let child = world.spawn("alertmanager", &mut command)?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let alertmanager = Self { address, http, _child: child };
        eventually(START, "Alertmanager answers", async || alertmanager.alerts().await.map(|_| ())).await?;
        Ok(alertmanager)
    }

    /// Where it takes alerts.
    pub fn url(&self) -> String {
        format!("http://{}/api/v2/alerts", self.address)
    }

    /// Gives it alerts.
    pub async fn post(&self, alerts: &Value) -> anyhow::Result<()> {
        let answer = self.http.post(self.url()).json(alerts).send().await?;
        ensure!(answer.status().is_success(), "{}", answer.status());
        Ok(())
    }

    /// The alerts that fire.
    pub async fn alerts(&self) -> anyhow::Result<Vec<Value>> {
        Ok(self.http.get(self.url()).send().await?.error_for_status()?.json().await?)
    }
}
