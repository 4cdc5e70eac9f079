//! What a program writes, bounded.

use std::collections::VecDeque;

/// How much of the beginning is kept: what a program says first is often what it is about to do.
const HEAD: usize = 1024;

/// How much of the end is kept: what it says last is why it failed. Together with the head 4 KiB, which a page can carry and a journal
/// keep for every attempt of a night.
const TAIL: usize = 3 * 1024;

/// The head and the tail of what was written.
#[derive(Debug, Default)]
pub(super) struct Output {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    /// How many bytes between the two are not kept.
    left_out: u64,
}

impl Output {
    /// Adds what comes next.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
        self.head.extend(head);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..over);
        self.left_out += over as u64;
    }

    /// All that is kept, as text that does nothing to a terminal.
    pub(super) fn text(&self) -> String {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        if self.left_out > 0 {
            let left_out = format!("\n… {} bytes are left out …\n", self.left_out);
            return format!("{}{left_out}{}", tame(&self.head).trim_start(), tame(&tail).trim_end());
        }
        tame(&[self.head.as_slice(), &tail].concat()).trim().to_owned()
    }
}

/// Text without the signs that steer a terminal.
fn tame(bytes: &[u8]) -> String {
    let keep = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    String::from_utf8_lossy(bytes).chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[&[u8]]) -> Output {
        let mut output = Output::default();
        parts.iter().for_each(|part| output.push(part));
        output
    }

    #[test]
    fn little_is_kept_as_it_is() {
        assert_eq!(of(&[]).text(), "");
        assert_eq!(of(&[b"one\n", b"two\n"]).text(), "one\ntwo");
        assert_eq!(of(&[b"\x1b[31mred\x1b[0m\r\n\x07"]).text(), "[31mred[0m");
        assert_eq!(of(&[&[0xff, b'a']]).text(), "\u{fffd}a");
        let all = of(&[&[b'x'; HEAD + TAIL]]);
        assert_eq!((all.text().len(), all.left_out), (HEAD + TAIL, 0));
    }

    #[test]
    fn of_much_the_head_and_the_tail_are_kept_however_it_comes() {
        let all: Vec<u8> = (0..100_000u32).flat_map(|n| format!("{n}\n").into_bytes()).collect();
        for size in [1, 7, 4096, all.len()] {
            let output = of(&all.chunks(size).collect::<Vec<_>>());
            assert_eq!((output.head.len(), output.tail.len()), (HEAD, TAIL));
            let text = output.text();
            assert!(text.starts_with("0\n1\n") && text.ends_with("99998\n99999"), "{text}");
            assert!(text.contains(&format!("… {} bytes are left out …", all.len() - HEAD - TAIL)), "{text}");
        }
    }
}
