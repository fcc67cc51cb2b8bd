//! Multipass's output as a terminal would show it. Its spinners overwrite themselves with `\b`, `\r` and `ESC[2K` even when
//! there is no terminal.

use anstyle_parse::{DefaultCharAccumulator, Params, Parser, Perform};

/// `text` as a terminal would finally show it: without control sequences and without overwritten or erased text.
pub(crate) fn plain(text: &str) -> String {
    let mut screen = Screen::read(text);
    screen.lines.push(screen.line.iter().collect());
    screen.lines.join("\n")
}

/// The stages that a spinner has shown so far, oldest first. Multipass draws each on one line and erases it before the
/// next one; complete lines are not stages.
pub(crate) fn stages(text: &str) -> Vec<String> {
    let mut screen = Screen::read(text);
    // The newest stage may be incomplete, unless its spinner or percentage follows.
    if screen
        .line
        .last()
        .is_some_and(|c| SPINNER.contains(c) || *c == '%')
    {
        screen.erase();
    }
    screen.stages.dedup();
    screen.stages
}

/// The characters of a spinner, after the blanks that follow its stage.
const SPINNER: [char; 5] = ['|', '/', '-', '\\', ' '];

#[derive(Default)]
struct Screen {
    lines: Vec<String>,
    line: Vec<char>,
    /// The column of the next character.
    at: usize,
    /// After a carriage return: the next character replaces the line.
    returned: bool,
    stages: Vec<String>,
}

impl Screen {
    fn read(text: &str) -> Self {
        let mut screen = Self::default();
        let mut parser = Parser::<DefaultCharAccumulator>::new();
        for byte in text.bytes() {
            parser.advance(&mut screen, byte);
        }
        screen
    }

    /// Clears the line, which ends its stage.
    fn erase(&mut self) {
        let line: String = self.line.drain(..).collect();
        let stage = line.trim_end_matches(SPINNER).trim_start();
        if !stage.is_empty() {
            self.stages.push(stage.to_owned());
        }
        self.at = 0;
    }
}

impl Perform for Screen {
    fn print(&mut self, c: char) {
        if std::mem::take(&mut self.returned) {
            self.erase();
        }
        match self.line.get_mut(self.at) {
            Some(place) => *place = c,
            None => self.line.push(c),
        }
        self.at += 1;
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                self.lines.push(self.line.drain(..).collect());
                (self.at, self.returned) = (0, false);
            }
            b'\r' => self.returned = true,
            b'\t' => self.print('\t'),
            0x08 => self.at = self.at.saturating_sub(1),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, _: &[u8], _: bool, action: u8) {
        let kind = params.iter().next().and_then(|param| param.first());
        match (action, kind) {
            (b'K', Some(2)) => self.erase(),
            (b'K', None | Some(0)) => self.line.truncate(self.at),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Multipass 1.16 prints before each stage.
    const CLEAR: &str = "\x1b[2K\x1b[0A\x1b[0E";

    #[test]
    fn a_spinner_leaves_its_newest_stage() {
        let launch = format!(
            "{CLEAR}Creating polis  \u{8}|\u{8}/\u{8}-{CLEAR}\rRetrieving image: 9%\rRetrieving image: 10%\
             {CLEAR}Starting polis  \u{8}\\\u{8}|"
        );
        let stages = stages(&launch);
        assert_eq!(
            stages,
            [
                "Creating polis",
                "Retrieving image: 9%",
                "Retrieving image: 10%",
                "Starting polis"
            ]
        );
        assert_eq!(plain(&launch), "Starting polis |");
        let ended = format!("{launch}{CLEAR}Launched: polis\n");
        assert_eq!(plain(&ended), "Launched: polis\n");
        assert_eq!(super::stages(&ended), stages);
    }

    #[test]
    fn an_incomplete_stage_is_ignored() {
        assert_eq!(stages("Wait"), [""; 0]);
        assert_eq!(stages("Waiting for x  "), ["Waiting for x"]);
        assert_eq!(stages(""), [""; 0]);
    }

    #[test]
    fn overwritten_and_erased_text_is_removed() {
        assert_eq!(plain("a\x1b[31mb\x1b[0m\r\nlonger\rtwo\n"), "ab\ntwo\n");
        assert_eq!(plain("50%\u{8}\u{8}\u{8}60%"), "60%");
        assert_eq!(plain("ä\tb\x07"), "ä\tb");
    }
}
