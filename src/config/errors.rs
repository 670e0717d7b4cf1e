//! What is wrong with a configuration: everything at once.
//!
//! In scope: how a problem is told, and that no secret is told with it. Not in scope: what is wrong.

use std::error::Error;
use std::fmt;

/// Stands for a value that is not shown.
const REDACTED: &str = "<redacted>";

/// More of a value than this does not help to find it.
const VALUE_LEN_MAX: usize = 120;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting as its user wrote it: a flag or a variable, and where it stood.
    pub name: String,
    /// Its value, quoted, or `<redacted>` where it is or may be a secret; `None` where it has none.
    pub value: Option<String>,
    /// What is wrong, or what was expected.
    pub what: String,
}

impl Problem {
    /// A problem with something that has no value to show.
    pub(super) fn new(name: impl Into<String>, what: impl Into<String>) -> Self {
        Self { name: name.into(), value: None, what: what.into() }
    }

    /// Adds a value that anyone may see. The password in a URL is taken out all the same.
    pub(super) fn with_value(mut self, value: &str) -> Self {
        let may_hold_password = value.contains('@');
        let head: String = value.chars().take(VALUE_LEN_MAX).collect();
        let dots = if head.len() < value.len() { "..." } else { "" };
        self.value = Some(if may_hold_password { REDACTED.to_owned() } else { format!("{head:?}{dots}") });
        self
    }

    /// Says that there is a value, but not which.
    pub(super) fn with_secret(mut self) -> Self {
        self.value = Some(REDACTED.to_owned());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Everything that is wrong with a configuration: one problem or more. Displays as a list, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<Problem>);

impl ConfigErrors {
    /// `Err` where there are problems.
    pub(super) fn check(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }

    /// The problems, in the order of the table of settings.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("bad configuration, 1 problem:")?,
            count => write!(f, "bad configuration, {count} problems:")?,
        }
        for problem in &self.0 {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl Error for ConfigErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(problem: &Problem, want: &str) {
        assert_eq!(problem.to_string(), want);
    }

    #[test]
    fn problems_in_words() {
        check(&Problem::new("PORT", "expected a port"), "PORT: expected a port");
        check(&Problem::new("PORT", "expected a port").with_value("x\n\u{1b}"), r#"PORT = "x\n\u{1b}": expected a port"#);
        check(&Problem::new("KEY", "expected a key").with_secret(), "KEY = <redacted>: expected a key");
        check(&Problem::new("URL", "no").with_value("http://user:hunter2@host"), "URL = <redacted>: no");
        check(&Problem::new("X", "no").with_value(&"é".repeat(121)), &format!("X = \"{}\"...: no", "é".repeat(120)));
        check(&Problem::new("X", "no").with_value(&"é".repeat(120)), &format!("X = \"{}\": no", "é".repeat(120)));
    }

    #[test]
    fn the_list_has_all_of_them() {
        assert_eq!(ConfigErrors::check(Vec::new()), Ok(()));
        let one = ConfigErrors::check(vec![Problem::new("A", "x")]).unwrap_err();
        assert_eq!(one.to_string(), "bad configuration, 1 problem:\n  A: x");
        let two = ConfigErrors::check(vec![Problem::new("A", "x"), Problem::new("B", "y")]).unwrap_err();
        assert_eq!(two.to_string(), "bad configuration, 2 problems:\n  A: x\n  B: y");
        assert_eq!(two.problems().len(), 2);
    }
}
