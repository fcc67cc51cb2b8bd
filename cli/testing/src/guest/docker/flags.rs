//! Flags as Docker's command line reads them.

/// What a command accepts, without the dashes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flags {
    pub(super) valued: &'static [&'static str],
    pub(super) bare: &'static [&'static str],
    /// Whether the first word ends the flags.
    pub(super) stops: bool,
}

/// A command line that was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    values: Vec<(String, String)>,
    pub(super) words: Vec<String>,
}

impl Parsed {
    pub(super) fn has(&self, names: &[&str]) -> bool {
        self.values
            .iter()
            .any(|(found, value)| names.contains(&found.as_str()) && value != "false")
    }

    pub(super) fn all<'a>(&'a self, names: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
        let values = self.values.iter();
        values
            .filter(move |(found, _)| names.contains(&found.as_str()))
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn value<'a>(&'a self, names: &'a [&'a str]) -> Option<&'a str> {
        self.all(names).last()
    }
}

impl Flags {
    /// Reads the arguments after the command.
    ///
    /// # Errors
    /// What Docker says.
    pub(super) fn parse(&self, args: &[String]) -> Result<Parsed, String> {
        let mut parsed = Parsed::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if arg == "--" {
                parsed.words.extend(args.by_ref().cloned());
            } else if !arg.starts_with('-') || arg == "-" {
                parsed.words.push(arg.clone());
                if self.stops {
                    parsed.words.extend(args.by_ref().cloned());
                }
            } else if let Some(long) = arg.strip_prefix("--") {
                let (name, inline) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (long, None),
                };
                let value = if self.bare.contains(&name) {
                    inline.unwrap_or_default()
                } else if self.valued.contains(&name) {
                    let value = inline.or_else(|| args.next().cloned());
                    value.ok_or_else(|| format!("flag needs an argument: --{name}\n"))?
                } else {
                    return Err(format!("unknown flag: --{name}\n"));
                };
                parsed.values.push((name.to_owned(), value));
            } else {
                self.short(arg, &mut args, &mut parsed)?;
            }
        }
        Ok(parsed)
    }

    /// `-aq`, `-f FILE`, `-fFILE`.
    fn short<'a>(
        &self,
        arg: &str,
        args: &mut impl Iterator<Item = &'a String>,
        parsed: &mut Parsed,
    ) -> Result<(), String> {
        let letters = &arg[1..];
        for (at, letter) in letters.char_indices() {
            let name = letter.to_string();
            if self.bare.contains(&name.as_str()) {
                parsed.values.push((name, String::new()));
            } else if self.valued.contains(&name.as_str()) {
                let rest = &letters[at + letter.len_utf8()..];
                let value = match rest.trim_start_matches('=') {
                    "" => args.next().cloned(),
                    rest => Some(rest.to_owned()),
                };
                let value = value
                    .ok_or_else(|| format!("flag needs an argument: '{letter}' in {arg}\n"))?;
                parsed.values.push((name, value));
                return Ok(());
            } else {
                return Err(format!("unknown shorthand flag: '{letter}' in {arg}\n"));
            }
        }
        Ok(())
    }
}
