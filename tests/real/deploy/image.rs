//! The image: the steps of the Dockerfile, where nothing is but what it copies.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use tokio::process::Command;

use crate::stories;
use crate::support::{Story, World};

pub fn trials() -> Vec<Story> {
    stories![the_image_is_built_of_what_is_copied]
}

/// What the Dockerfile builds with, and what stands for it here: it reads the manifest as a build does, and compiles nothing. That it
/// compiles is seen by everything else.
const BUILD: &str = "cargo build --release --locked";
const READ: &str = "cargo fetch --locked --offline --target ";

/// The instructions of the stage that compiles, each in one line.
fn steps(dockerfile: &str) -> Vec<String> {
    let text = dockerfile.replace("\\\n", " ");
    let from = |line: &&str| line.starts_with("FROM ");
    let after = text.lines().skip_while(|line| !from(line)).skip(1);
    after.take_while(|line| !from(line)).filter(|l| !l.is_empty() && !l.starts_with('#')).map(str::to_owned).collect()
}

async fn host() -> anyhow::Result<String> {
    let said = Command::new("rustc").arg("-vV").output().await.context("rustc -vV")?;
    let said = String::from_utf8(said.stdout)?;
    Ok(said.lines().find_map(|line| line.strip_prefix("host: ")).context(said.clone())?.to_owned())
}

async fn sh(folder: &Path, script: &str) -> anyhow::Result<()> {
    let said = Command::new("sh").args(["-ec", script]).current_dir(folder).output().await.context("sh")?;
    ensure!(said.status.success(), "{script}: {}", String::from_utf8_lossy(&said.stderr));
    Ok(())
}

async fn the_image_is_built_of_what_is_copied(world: World) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ignored = fs::read_to_string(root.join(".dockerignore"))?;
    let folder = world.new_dir("image")?;
    let read = format!("{READ}{}", host().await?);
    let mut built = 0;
    for step in steps(&fs::read_to_string(root.join("Dockerfile"))?) {
        match step.split_once(' ').context(step.clone())? {
            ("COPY", names) => {
                let (sources, _) = names.rsplit_once(' ').context(step.clone())?;
                for source in sources.split(' ') {
                    ensure!(!ignored.lines().any(|line| line == source), "{step}: .dockerignore leaves {source} out");
                    sh(&folder, &format!("cp -r '{}' .", root.join(source).display())).await?;
                }
            }
            ("RUN", script) => {
                built += script.matches(BUILD).count();
                sh(&folder, &script.replace(BUILD, &read)).await?;
            }
            ("WORKDIR", _) => {}
            _ => anyhow::bail!("this story does not know {step:?}"),
        }
    }
    ensure!(built == 2, "{built} times {BUILD}");
    // What the compiler reads into the program is there too.
    let included = regex::Regex::new(r#"include_(?:str|bytes)!\("([^"]+)"\)"#)?;
    let mut found = 0;
    let mut folders = vec![folder.join("src")];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                for name in included.captures_iter(&fs::read_to_string(&path)?) {
                    ensure!(
                        next.join(&name[1]).is_file(),
                        "{} includes {}, which is not copied",
                        path.display(),
                        &name[1]
                    );
                    found += 1;
                }
            }
        }
    }
    ensure!(found > 0, "nothing is included");
    Ok(())
}
