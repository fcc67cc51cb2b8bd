//! Parses Multipass's command line as its own parser (Qt's) does, and the values that it accepts.

/// The arguments that a command accepts.
#[derive(Debug, Clone, Copy)]
pub struct Grammar {
    /// Its name.
    pub name: &'static str,
    /// Options that take a value; each with its long and short names.
    pub valued: &'static [&'static [&'static str]],
    /// Options that take no value.
    pub flags: &'static [&'static [&'static str]],
    /// The minimum and maximum number of other arguments.
    pub arity: (usize, usize),
    /// Whether options after `NAME` need `--`, as for `exec`. In other commands, they may follow other arguments.
    pub guest_command: bool,
}

/// A parsed command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    values: Vec<(&'static str, String)>,
    /// The arguments that are not options.
    pub positional: Vec<String>,
}

/// Why a command line is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// `--help` was given, which is not an error.
    Help,
    /// The text to print on standard error.
    Usage(String),
}

impl Parsed {
    /// Whether the option is given; `name` is its first name.
    pub fn has(&self, name: &str) -> bool {
        self.values.iter().any(|(found, _)| *found == name)
    }

    /// The option's last value; `name` is its first name.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut found = self.values.iter().rev();
        found
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value.as_str())
    }
}

impl Grammar {
    /// Parses the arguments after the command's name.
    ///
    /// # Errors
    /// The real parser's messages.
    pub fn parse(&self, args: &[String]) -> Result<Parsed, Refusal> {
        let mut parsed = Parsed::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if arg == "--" {
                parsed.positional.extend(args.by_ref().cloned());
            } else if arg == "-" || !arg.starts_with('-') {
                parsed.positional.push(arg.clone());
            } else {
                self.option(arg, &mut args, &mut parsed)?;
            }
        }
        let count = parsed.positional.len();
        if count < self.arity.0 || count > self.arity.1 {
            return Err(self.wrong_number(count));
        }
        Ok(parsed)
    }

    fn option<'a>(
        &self,
        arg: &str,
        rest: &mut impl Iterator<Item = &'a String>,
        parsed: &mut Parsed,
    ) -> Result<(), Refusal> {
        let (name, mut inline) = split(arg);
        if matches!(name, "help" | "h" | "help-all") {
            return Err(Refusal::Help);
        }
        if !name.is_empty() && name.chars().all(|letter| letter == 'v') || name == "verbose" {
            return Ok(());
        }
        if let Some(option) = find(self.flags, name) {
            parsed.values.push((option, String::new()));
            return Ok(());
        }
        let option = match find(self.valued, name) {
            Some(option) => option,
            // `-c4`: the value of a short option may follow it directly.
            None => {
                let short = name.get(..1).filter(|_| !arg.starts_with("--"));
                let option = short.and_then(|short| find(self.valued, short));
                inline = name.get(1..).map(str::to_owned);
                option.ok_or_else(|| self.unknown(name, parsed))?
            }
        };
        let value = match inline {
            Some(value) => value,
            None => rest
                .next()
                .cloned()
                .ok_or_else(|| Refusal::Usage(format!("Missing value after '{arg}'.\n")))?,
        };
        parsed.values.push((option, value));
        Ok(())
    }

    fn unknown(&self, name: &str, parsed: &Parsed) -> Refusal {
        let mut text = format!("Unknown option '{name}'.\n");
        if self.guest_command && parsed.positional.len() > 1 {
            text.push_str(
                "\nOptions to the inner command should come after \"--\", like this:\n\
                 multipass exec <instance> -- <command> <arguments>\n",
            );
        }
        Refusal::Usage(text)
    }

    fn wrong_number(&self, count: usize) -> Refusal {
        let text = match (self.name, count) {
            ("launch", _) => "Too many arguments supplied\n",
            ("list" | "version", _) => "This command takes no arguments\n",
            ("exec", _) => "Wrong number of arguments\n",
            ("transfer", _) => "Not enough arguments given\n",
            _ => "Name argument or --all is required\n",
        };
        Refusal::Usage(text.to_owned())
    }
}

/// The name of an option without its dashes, and the text after `=`.
fn split(arg: &str) -> (&str, Option<String>) {
    let bare = arg.trim_start_matches('-');
    match bare.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (bare, None),
    }
}

fn find(options: &[&'static [&'static str]], name: &str) -> Option<&'static str> {
    options
        .iter()
        .find(|names| names.contains(&name))
        .and_then(|names| names.first().copied())
}

/// Whether this is a valid name of an instance: `[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?`, at most 70 characters.
pub fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    name.len() <= 70
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(inner)
}

/// Parses a size such as `8G`, `1.5GiB`, `512MB` or `1073741824`; returns bytes.
pub fn size(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    let (whole, fraction) = match number.split_once('.') {
        // Fractions of a byte are dropped.
        Some((_, "")) => return None,
        Some(_) if factor == 1 => return None,
        Some(parts) => parts,
        None => (number, ""),
    };
    if fraction.contains('.') || fraction.len() > 9 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let part: u64 = match fraction {
        "" => 0,
        digits => digits.parse().ok()?,
    };
    whole
        .checked_mul(factor)?
        .checked_add(part * factor / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_host_names() {
        let longest = "a".repeat(70);
        for good in ["polis", "a", "A1", "my-vm-2", &longest] {
            assert!(is_name(good), "{good}");
        }
        assert!(!is_name(&"a".repeat(71)));
        for bad in ["", "1a", "-a", "a-", "a_b", "a.b", "ä"] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn sizes_are_powers_of_two() {
        assert_eq!(size("8G"), Some(8 << 30));
        assert_eq!(size("1.5GiB"), Some(3 << 29));
        assert_eq!(size("512MB"), Some(512 << 20));
        assert_eq!(size("64k"), Some(64 << 10));
        assert_eq!(size("1073741824"), Some(1 << 30));
        for bad in [
            "", "G", "8T", "1.5", "1.G", ".5G", "-1G", "8 G", "1.2.3G", "8GG",
        ] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
