//! What a page says, in Chinese. The terms are those of `README.zh-CN.md`; what one types, names, and what others said stay as they are.

use std::collections::BTreeMap;

use super::super::assessment::Assessment;
use super::super::drift::{Difference, Drift, Held};
use super::super::settings::Measure;
use super::super::words;
use super::numbers;
use super::{Cause, Gone, Measured, Movement, NAMED, NAMED_PROBLEMS, Said, TooOld, Unseen, some};

/// One line that says all that matters.
pub(super) fn summary(said: &Said, guard: &str) -> String {
    match said {
        Said::RollbackStarted { cause: why, way } => format!("{guard}：{}，正在回滚{}", cause(why), movement(*way)),
        Said::WouldHaveRolledBack { way } => format!("{guard}：若非 dry run，已经回滚{}；未做任何改动", movement(*way)),
        Said::RolledBack { way, took } => {
            format!("{guard}：已回滚{}，用时 {}；正在验证是否见效", movement(*way), numbers::duration(*took))
        }
        Said::FoundThere { to } => {
            format!("{guard}：各步骤已经在 {to} %，可能是之前的尝试或其他人改的；正在验证是否见效")
        }
        Said::WasThere { to } => format!("{guard}：各步骤原本就在 {to} %；未做任何改动"),
        Said::RollbackFails { way, accepted, error } => {
            let what = if *accepted { "的改动已被接受，但滚动更新失败" } else { "失败" };
            format!("{guard}：回滚{}{what}：{error}；正在重试", spaced(&movement(*way)))
        }
        Said::RollbackAbandoned { way } => {
            format!("{guard}：该守护已从配置中删除，回滚{}中途放弃", spaced(&movement(*way)))
        }
        Said::Helped { at } => format!("{guard}：回滚见效：切到 {at} % 之后，触发器已恢复正常"),
        Said::ClearThoughUndone { at, share } => {
            let share = share.map_or_else(String::new, |share| format!("，目前比例为 {share} %"));
            format!("{guard}：触发器已恢复正常，但无法判断回滚是否见效：回滚到 {at} % 之后又被撤销{share}")
        }
        Said::CannotSee { at, within, unseen } => format!(
            "{guard}：已回滚到 {at} %，但 {}内无法确认是否见效：{}",
            numbers::duration(*within),
            not_seen(unseen)
        ),
        Said::DidNotHelp { at, within, bad, next } => {
            let outlook = match next {
                Some(next) => format!("继续回滚到 {next} %"),
                None => "Ripcord 已无能为力，需要人工处理".to_owned(),
            };
            let (within, bad) = (numbers::duration(*within), all(bad, against_limit));
            format!("{guard}：回滚到 {at} % 后，{within}内没有见效：{bad}；{outlook}")
        }
        Said::Undone { to, share, drift } => {
            let risen = share.map(|share| format!("比例又变成 {share} %，而不是 {to} %"));
            let what: Vec<String> = risen.into_iter().chain(drift.iter().map(undone)).collect();
            words::bounded(&format!("{guard}：回滚被撤销：{}", what.join("；")))
        }
        Said::Firing(measured) => format!("{guard}：{}", held(measured)),
        Said::FiringWhileLatched(firing) => {
            format!("{guard}：{}，但不会回滚：该守护自上次回滚后一直处于锁定状态", all(firing, held))
        }
        Said::FiringAtTarget { firing, share } => {
            let at = share.map_or_else(|| "目标比例".to_owned(), |share| format!(" {share} %"));
            format!("{guard}：{}，但流量已经在{at}：没有可回滚的，未做任何改动", all(firing, held))
        }
        Said::Clear(measured) => {
            let Measured { settings, assessment, .. } = measured;
            let text = assessment.as_ref().map_or_else(String::new, |a| numbers::text(a, settings));
            format!("{guard}：{}已恢复正常：{text}", spaced(&numbers::label(settings)))
        }
        Said::ClearWhileLatched => format!("{guard}：已恢复正常；该守护仍处于锁定状态"),
        Said::ClearUnchanged => format!("{guard}：已恢复正常；未做任何改动"),
        Said::Superseded { by } => format!("{guard}：此事件到此结束，由 {by} 接替"),
        Said::DryRunOver => format!("{guard}：dry run 已结束，未做任何改动；现在开始真正守护"),
        Said::TriggerGone(gone) => {
            let what = match gone {
                Gone::Changed(settings) => {
                    format!("{}的设置已更改，重新计时", spaced(&numbers::label(settings)))
                }
                Gone::Removed(name) => format!("已不再观察{}", before(&numbers::name(name))),
            };
            format!("{guard}：{what}；是否已恢复正常，无从得知")
        }
        Said::GuardGone { verifying } => {
            let rest = if *verifying { "不再验证回滚是否见效" } else { "事件到此结束" };
            format!("{guard}：该守护已从配置中删除，{rest}")
        }
        Said::Blind { quiet, after, unseen } => {
            let after = numbers::duration(*after);
            let what = if *quiet {
                format!("流量太少，已有 {after}无法判断")
            } else {
                format!("Ripcord 已有 {after}取不到指标")
            };
            format!("{what}：{}", by_reason(unseen))
        }
        Said::Sees => "Ripcord 已能重新取到指标：之前未知的触发器都已有值".to_owned(),
        Said::NotReady { problems } => {
            let problems = problems.iter().map(|problem| format!("{}：{}", problem.step, problem.error));
            format!("{guard}：现在回滚会失败：{}", some(problems, NAMED_PROBLEMS, "；", more))
        }
        Said::Ready => format!("{guard}：回滚已恢复可用"),
        Said::NotTried => format!("{guard}：该守护已从配置中删除，不再检查回滚能否执行"),
        Said::BaselinesTooOld(old) => some(old.iter().map(too_old), NAMED, "；", more),
        Said::BaselinesFresh => "已没有过期的基线".to_owned(),
        Said::Rearmed => format!("{guard}：已重新启用"),
        Said::Paused { until, halts } => {
            let until = until.strftime("%Y-%m-%dT%H:%M:%SZ");
            let rest = if *halts { "进行到一半的回滚也已停下" } else { "在此之前不会回滚" };
            format!("{guard}：已暂停到 {until}；{rest}")
        }
        Said::Acknowledged { gives_up: true } => format!("{guard}：已确认；失败的回滚不再重试"),
        Said::Acknowledged { gives_up: false } => format!("{guard}：已确认"),
    }
}

/// What the reader should do now.
pub(super) fn advice(said: &Said, guard: &str) -> String {
    match said {
        Said::RollbackStarted { .. } => {
            "暂时不用处理：Ripcord 正在把流量切回，有进展会通知。请做好介入的准备，以防回滚失败或没有见效。".to_owned()
        }
        Said::WouldHaveRolledBack { .. } => "无需处理：这是 dry run，不做任何改动。".to_owned(),
        Said::RolledBack { .. } | Said::FoundThere { .. } | Said::WasThere { .. } => {
            "请等待验证结果：届时会通知服务是否恢复正常。".to_owned()
        }
        Said::RollbackFails { accepted: true, .. } => format!(
            "请马上查看 Pod：改动已提交，但 Pod 没有就绪。Ripcord 会一直等到 Pod 就绪，或有人确认（ripcord ack {guard}）。"
        ),
        Said::RollbackFails { accepted: false, .. } => format!(
            "请立即处理：流量还没有全部切回。请按报错排除故障，或自行修改对象（kubectl）。Ripcord 会一直重试，直到成功，或有人确认（ripcord ack {guard}）。"
        ),
        Said::RollbackAbandoned { .. } => format!(
            "请立即处理：查看当前比例，手动切换流量；或者把该守护加回配置，再回滚（ripcord rollback --component {guard} --reason \"原因\"）。"
        ),
        Said::Helped { .. } => {
            format!(
                "不紧急：流量已切回，服务已恢复。请查明原因，重新启用（ripcord rearm {guard}）之后再继续切流量；在此之前不会自动回滚。"
            )
        }
        Said::ClearThoughUndone { .. } => format!(
            "目前不会自动回滚：该守护处于锁定状态。请查明是谁改动了流量。如果当前比例是有意的，请重新启用（ripcord rearm {guard}）；否则执行：ripcord \
             rollback --component {guard} --reason \"原因\""
        ),
        Said::CannotSee { .. } => {
            format!("请用其他办法确认用户访问正常，再重新启用（ripcord rearm {guard}）。")
        }
        Said::DidNotHelp { next: Some(_), .. } => "请开始排查：这一档没有见效，Ripcord 正在执行下一档。".to_owned(),
        Said::DidNotHelp { next: None, .. } => {
            format!(
                "请立即处理：流量已切回，服务仍不正常，说明原因在别处。找到原因后再重新启用（ripcord rearm {guard}）。"
            )
        }
        Said::Undone { .. } => format!(
            "请立即处理：查出是谁改回去的（GitOps、operator 或人），从源头制止。Ripcord 不会与之争抢，该守护保持锁定。需要再次回滚时执行：ripcord \
             rollback --component {guard} --reason \"原因\""
        ),
        Said::Firing(_) => "请查看该服务：这个触发器只负责通知，Ripcord 不会做任何改动。".to_owned(),
        Said::FiringWhileLatched(_) => format!(
            "请立即处理：如果切回流量有帮助，请手动执行（ripcord rollback --component {guard} --reason \"原因\"）。重新启用（ripcord rearm \
             {guard}）之后才会再自动回滚。"
        ),
        Said::FiringAtTarget { .. } => "请检查服务本身：故障不是正在切换的流量引起的。".to_owned(),
        Said::ClearWhileLatched => format!("继续切流量之前，请先重新启用（ripcord rearm {guard}）。"),
        Said::Superseded { .. } => "此事件无需再处理：Ripcord 接下来做什么，会在新事件中通知。".to_owned(),
        Said::TriggerGone(_) => "请确认之前通知的问题是否已经解决：告警只是因为配置变更而结束。".to_owned(),
        Said::GuardGone { .. } => "如果是有意删除，无需处理：该守护不再观察，也不会再回滚。".to_owned(),
        Said::Blind { quiet: true, .. } => {
            "无需处理：流量太少，无从判断。流量增多后 Ripcord 会自动恢复判断。".to_owned()
        }
        Said::Blind { quiet: false, .. } => {
            "请检查 Prometheus 和它的抓取目标：恢复之前，上面列出的都不会自动回滚。".to_owned()
        }
        Said::NotReady { .. } => {
            "请赶在需要回滚之前按报错修好：在此之前，该守护起不到保护作用。修好后执行 ripcord preflight 可立即重试。"
                .to_owned()
        }
        Said::BaselinesTooOld(_) => {
            "请在服务正常时重新记录：ripcord baseline record。在此之前仍与旧基线比较。".to_owned()
        }
        Said::Paused { halts: false, .. } => format!("无需处理。要提前恢复：ripcord resume {guard}"),
        Said::Paused { halts: true, .. } => {
            format!("请查看流量比例：已提交的改动不会撤回，其余的没有执行。要提前继续回滚：ripcord resume {guard}")
        }
        Said::Acknowledged { gives_up: true } => format!(
            "请自行切换流量：Ripcord 不再重试。要它再试：ripcord rollback --component {guard} --reason \"原因\"。一切正常后执行 ripcord rearm \
             {guard}。"
        ),
        Said::Acknowledged { gives_up: false }
        | Said::Clear(_)
        | Said::ClearUnchanged
        | Said::DryRunOver
        | Said::Sees
        | Said::Ready
        | Said::NotTried
        | Said::BaselinesFresh
        | Said::Rearmed => "无需处理。".to_owned(),
    }
}

fn cause(cause: &Cause) -> String {
    match cause {
        Cause::Triggers(firing) => all(firing, held),
        Cause::ByHand(reason) => format!("手动触发：{reason}"),
    }
}

/// The move, to stand after 回滚: ` 25 % -> 0 %`.
fn movement(way: Movement) -> String {
    let Movement { from, to } = way;
    match from {
        Some(from) => format!(" {from} % -> {to} %"),
        None => format!("到 {to} %（当前比例未知）"),
    }
}

/// `错误率 3.1 %（阈值 1 %）`.
fn against_limit(measured: &Measured) -> String {
    let Measured { settings, assessment, .. } = measured;
    let label = numbers::label(settings);
    let Some(a) = assessment else { return format!("{label} 没有取到值") };
    let limit = numbers::threshold(settings, a.threshold);
    match (a.value, settings.measure) {
        (Some(value), Measure::FailureRatio | Measure::Availability) => {
            format!("{label} {}（阈值 {limit}）", words::percent(value))
        }
        _ => with_limit(&label, a, measured, &limit),
    }
}

fn with_limit(label: &str, assessment: &Assessment, measured: &Measured, limit: &str) -> String {
    let text = numbers::text(assessment, &measured.settings);
    match text.strip_suffix('）') {
        Some(open) => format!("{label} {open}，阈值 {limit}）"),
        None => format!("{label} {text}（阈值 {limit}）"),
    }
}

/// The same with how long: `错误率 3.1 %（阈值 1 %），已持续 5 分钟`.
fn held(measured: &Measured) -> String {
    format!("{}，已持续 {}", against_limit(measured), numbers::duration(measured.held))
}

fn all(of: &[Measured], say: fn(&Measured) -> String) -> String {
    of.iter().map(say).collect::<Vec<_>>().join("；")
}

fn not_seen(unseen: &[Unseen]) -> String {
    if unseen.is_empty() {
        return "没有一个触发器取得到值".to_owned();
    }
    let texts = unseen.iter().map(|u| format!("{}：{}", numbers::label(&u.settings), numbers::unknown(&u.unknown)));
    texts.collect::<Vec<_>>().join("；")
}

fn by_reason(unseen: &[Unseen]) -> String {
    let mut reasons: BTreeMap<String, BTreeMap<&str, Vec<String>>> = BTreeMap::new();
    for Unseen { guard, settings, unknown } in unseen {
        let reason = numbers::unknown(unknown);
        reasons.entry(reason).or_default().entry(guard).or_default().push(numbers::label(settings));
    }
    let named = reasons.iter().map(|(reason, guards)| {
        let guards = guards.iter().map(|(guard, triggers)| format!("{guard}（{}）", triggers.join("、")));
        format!("{}：{reason}", some(guards, NAMED, "、", more))
    });
    some(named, NAMED, "；", more)
}

fn more(left: usize) -> String {
    format!("另有 {left} 项")
}

/// `terminal：P95 延迟的基线记录于 41 天前（上限 30 天）`.
fn too_old(old: &TooOld) -> String {
    let label = spaced(&numbers::label(&old.settings));
    let (age, most) = (numbers::period(old.age), numbers::period(old.max_age));
    format!("{}：{label}的基线记录于 {age}前（上限 {most}）", old.guard)
}

/// `deployment_env sealos-system/terminal-controller：ISTIO_PERCENTAGE 为 25（应为 0），由 kubectl 设置`.
fn undone(drift: &Drift) -> String {
    let what: Vec<String> = drift.what.0.iter().map(difference).collect();
    let what = what.join("、");
    match &drift.who {
        Some(who) => format!("{}：{what}，由 {who} 设置", drift.step),
        None => format!("{}：{what}", drift.step),
    }
}

fn difference(difference: &Difference) -> String {
    match difference {
        Difference::Is { field, is, not } => format!("{field} {}（应为 {not}）", holds(is)),
        Difference::Still { field, is } => format!("{field} 仍然{}（不该存在）", holds(is)),
        Difference::Deleted(object) => format!("{object} 已被删除"),
        Difference::Other(text) => text.clone(),
    }
}

fn holds(held: &Held) -> String {
    match held {
        Held::Unset => "未设置".to_owned(),
        Held::Empty => "为空".to_owned(),
        Held::Text(text) => format!("为 {text}"),
    }
}

/// A name to stand before Chinese characters: with a space after it where it ends with a letter.
fn spaced(name: &str) -> String {
    if name.ends_with(|c: char| c.is_ascii()) { format!("{name} ") } else { name.to_owned() }
}

/// The same to stand after them.
fn before(name: &str) -> String {
    if name.starts_with(|c: char| c.is_ascii()) { format!(" {name}") } else { name.to_owned() }
}
