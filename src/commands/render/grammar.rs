//! Manual pages and shell completions, made from what the command line takes.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use clap_complete::Shell;

use crate::cli;

use super::super::{Failure, print, say};

/// Writes a manual page for the program and one for each command: `ripcord.1`, `ripcord-run.1`, …
pub fn man(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    clap_mangen::generate_to(cli::grammar(), folder)
        .with_context(|| format!("cannot write manual pages into {}", folder.display()))?;
    say(&format!("Manual pages are in {0}: man -l {0}/ripcord.1", folder.display()));
    Ok(())
}

/// Writes a shell's completions to stdout.
pub fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::grammar(), "ripcord", &mut script);
    print(&String::from_utf8(script).context("the completions are no text")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands with their own, as manual pages name them.
    fn pages(command: &clap::Command, name: &str, all: &mut Vec<String>) {
        all.push(name.to_owned());
        for below in command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help") {
            pages(below, &format!("{name}-{}", below.get_name()), all);
        }
    }

    #[test]
    fn each_command_has_its_page_with_its_options() {
        let folder = tempfile::tempdir().unwrap();
        man(folder.path()).unwrap();
        let mut all = Vec::new();
        pages(&cli::grammar(), "ripcord", &mut all);
        assert!(all.len() > 20, "{all:?}");
        for name in &all {
            let page = fs::read_to_string(folder.path().join(format!("{name}.1"))).unwrap();
            assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{name}: {page}");
        }
        let rollback = fs::read_to_string(folder.path().join("ripcord-rollback.1")).unwrap();
        assert!(rollback.contains(r"\-\-all\-components"), "{rollback}");
    }

    #[test]
    fn each_shell_completes_the_commands() {
        for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut cli::grammar(), "ripcord", &mut script);
            let script = String::from_utf8(script).unwrap();
            for part in ["rollback", "all-components", "preflight"] {
                assert!(script.contains(part), "{shell}: {part}");
            }
        }
    }
}
