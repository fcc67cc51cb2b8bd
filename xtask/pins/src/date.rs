//! Calendar dates: waivers end on one. No clock, no time zone but UTC.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: u32,
    month: u32,
    day: u32,
}

impl Date {
    /// Today in UTC.
    pub fn today() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self::after_epoch(since.unwrap_or_default().as_secs() / 86_400)
    }

    /// The date `days` after 1970-01-01.
    fn after_epoch(mut days: u64) -> Self {
        let mut date = Self {
            year: 1970,
            month: 1,
            day: 1,
        };
        while days >= u64::from(date.days_in_month()) {
            days -= u64::from(date.days_in_month());
            (date.year, date.month) = match date.month {
                12 => (date.year + 1, 1),
                month => (date.year, month + 1),
            };
        }
        date.day += u32::try_from(days).unwrap_or_default();
        date
    }

    fn days_in_month(self) -> u32 {
        let leap = self.year.is_multiple_of(4)
            && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        match self.month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}

/// Parses `YYYY-MM-DD`.
impl FromStr for Date {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Vec<&str> = text.split('-').collect();
        let digits = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
        let [year, month, day] = parts[..] else {
            return Err(());
        };
        if [year.len(), month.len(), day.len()] != [4, 2, 2] || !parts.iter().all(digits) {
            return Err(());
        }
        let number = |part: &str| part.parse().map_err(drop);
        let date = Self {
            year: number(year)?,
            month: number(month)?,
            day: number(day)?,
        };
        let valid =
            (1..=12).contains(&date.month) && (1..=date.days_in_month()).contains(&date.day);
        valid.then_some(date).ok_or(())
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        for (days, date) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_514, "2026-03-02"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(Date::after_epoch(days).to_string(), date);
            assert_eq!(date.parse(), Ok(Date::after_epoch(days)));
        }
        assert!(Date::today() > Date::after_epoch(20_000));
    }

    #[test]
    fn only_dates_of_the_calendar_are_parsed() {
        for text in [
            "2026-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-04-31",
            "2026-1-01",
            "+026-01-01",
            "2026-01-01-01",
            "",
        ] {
            assert_eq!(text.parse::<Date>(), Err(()), "{text}");
        }
    }
}
