//! What a console says, and whether that is text.

use std::time::Duration;

use tokio::time::Instant;

use provebench_bench::{Console, ConsoleError};
use provebench_record::text::{one_line, printable_bytes};

/// Whoever has been silent for so long has said what he had to say.
const SILENCE: Duration = Duration::from_millis(300);
/// Whoever talks on is not listened to for longer.
const LONGEST: Duration = Duration::from_secs(2);
/// A plug that is pulled, or a line that wakes, makes a byte or two of noise.
const NOISE: usize = 4;
/// Percent of what is no text from which on it is taken for another speed.
const GARBLED: usize = 30;
/// Letters of a line that says something.
const WORD: usize = 4;

/// What was heard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing but noise.
    Nothing,
    /// Text: its first line.
    Text(String),
    /// Mostly no text: how many bytes of how many.
    Garbled { bad: usize, all: usize },
}

/// Listens for `wait` until something is said, and then to its end.
///
/// # Errors
/// The console's own, its silence excepted.
pub(super) async fn listen(
    console: &Console,
    mark: u64,
    wait: Duration,
) -> Result<Heard, ConsoleError> {
    let deadline = Instant::now() + wait;
    let mut heard = mark;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let said = console.output(heard, left).await?;
        if said.bytes.is_empty() {
            break;
        }
        heard = said.end;
        let end = Instant::now() + LONGEST;
        while Instant::now() < end {
            let said = console.output(heard, SILENCE).await?;
            if said.bytes.is_empty() {
                break;
            }
            heard = said.end;
        }
        if judge(&console.since(mark)?) != Heard::Nothing {
            break;
        }
    }
    Ok(judge(&console.since(mark)?))
}

fn judge(said: &[u8]) -> Heard {
    let bad = unprintable(said);
    let all = said.len();
    if all - bad == 0 && all < NOISE {
        return Heard::Nothing;
    }
    if bad * 100 > all * GARBLED {
        return Heard::Garbled { bad, all };
    }
    let text = printable_bytes(said);
    let is_said = |line: &&str| line.chars().any(|c| !c.is_whitespace());
    let is_word = |line: &&str| line.chars().filter(|c| c.is_alphanumeric()).count() >= WORD;
    let mut lines = text.lines().filter(is_said);
    // Noise of the start, and a prompt, say less than the first line with words.
    let first = lines.clone().find(is_word).or_else(|| lines.next());
    first.map_or(Heard::Nothing, |line| Heard::Text(one_line(line, 80)))
}

/// How many bytes are neither text nor what terminals are told by.
fn unprintable(said: &[u8]) -> usize {
    const BELL_TO_RETURN: std::ops::RangeInclusive<char> = '\u{7}'..='\r';
    said.utf8_chunks()
        .map(|chunk| {
            let controls = chunk
                .valid()
                .chars()
                .filter(|c| c.is_control() && !BELL_TO_RETURN.contains(c) && *c != '\u{1b}');
            chunk.invalid().len() + controls.map(char::len_utf8).sum::<usize>()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing(b"", Heard::Nothing)]
    #[case::noise(b"\0\xff", Heard::Nothing)]
    #[case::line_ends(b"\r\n\r\n", Heard::Nothing)]
    #[case::prompt(b"> ", Heard::Text(">".into()))]
    #[case::text("\0\r\nKüche bereit\r\n> ".as_bytes(), Heard::Text("Küche bereit".into()))]
    #[case::colours(b"\x1b[1mboot\x1b[0m ok\r\n", Heard::Text("\\x1b[1mboot\\x1b[0m ok".into()))]
    #[case::other_speed(b"\x80\x80\x00\xf8\x00\x80\x78\x00\x80\xf8", Heard::Garbled { bad: 9, all: 10 })]
    #[case::zeros(&[0; 40], Heard::Garbled { bad: 40, all: 40 })]
    fn what_is_said_is_judged(#[case] said: &[u8], #[case] heard: Heard) {
        assert_eq!(judge(said), heard);
    }
}
