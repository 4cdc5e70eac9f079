//! The step `command`: a program, without a shell.
//!
//! - `program`: which file a name means
//! - `process`: a process group with an end
//! - `output`: what it writes, bounded

mod output;
mod process;
mod program;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;

use crate::config::Command;
use crate::engine::StepResult;

use super::change::How;
use super::step::{Done, StepError};

use process::{End, Ended};

/// Carries the step out. A command is run each time: only itself knows whether it is done already.
pub(super) async fn carry_out(
    step: &Command,
    vars: &BTreeMap<String, String>,
    how: How<'_>,
) -> Result<Done, StepError> {
    let argv: Vec<String> = step.argv.iter().map(|template| template.render(vars)).collect();
    let Some((program, arguments)) = argv.split_first() else {
        return Err(StepError::Failed("the command has no program; write argv in the step".to_owned()));
    };
    let shown = in_words(&argv);
    let found = program::find(program).map_err(|why| StepError::Failed(format!("could not run {shown}: {why}")))?;
    if !how.gate.is_open() {
        return Err(StepError::HeldBack);
    }
    let done = |result, detail| Ok(Done { result, detail, rollout: None });
    if how.dry_run {
        return done(StepResult::WouldChange, Some(format!("would run {shown}")));
    }
    // Dropped, it is killed with its whole process group: what it would do later would meet what is done meanwhile.
    let ran = tokio::select! {
        ran = process::run(&found, program, arguments, step.timeout) => ran,
        () = how.gate.cancelled() => return Err(StepError::HeldBack),
    };
    let Ended { end, output } = ran
        .map_err(|e| StepError::Failed(format!("could not run {shown}: {e}; check the program, and what it is for")))?;
    let wrote = output.text();
    let failed = |how_it_ended: String| {
        let wrote = if wrote.is_empty() { "It wrote nothing".to_owned() } else { format!("It wrote: {wrote}") };
        Err(StepError::Failed(format!("{shown} {how_it_ended}. {wrote}")))
    };
    match end {
        End::Exited(status) if status.success() => done(StepResult::Changed, Some(wrote).filter(|w| !w.is_empty())),
        End::Exited(status) => match (status.code(), status.signal()) {
            (Some(code), _) => failed(format!("ended with exit code {code}; run it by hand to see why")),
            (None, signal) => failed(format!(
                "was killed by signal {}; see who did it, and whether it had memory enough",
                signal.unwrap_or_default()
            )),
        },
        End::TimedOut => failed(format!(
            "did not end within {:?} and was killed with its whole process group; what it had done by then stays. Look at what holds it \
             up, or raise timeout in the step",
            step.timeout
        )),
    }
}

/// A command line for a person: what holds a blank or nothing stands in quotes.
fn in_words(argv: &[String]) -> String {
    let word = |word: &String| {
        let plain = !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"');
        if plain { word.clone() } else { format!("{word:?}") }
    };
    argv.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_told_apart_into_its_arguments() {
        let argv = ["/bin/move", "--to", "", "error rate 3.1 %", "a\"b", "x\ny"].map(str::to_owned);
        assert_eq!(in_words(&argv), r#"/bin/move --to "" "error rate 3.1 %" "a\"b" "x\ny""#);
    }
}
