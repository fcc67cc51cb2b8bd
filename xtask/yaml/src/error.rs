//! Errors of the YAML parser.

use std::ops::Range;

/// Why a text is not a valid YAML document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// `yaml-tab` or `yaml-syntax`.
    pub rule: &'static str,
    /// The byte range at fault.
    pub span: Range<usize>,
    /// The problem.
    pub message: String,
    /// The next step.
    pub help: Option<&'static str>,
}

impl ParseError {
    pub(crate) fn syntax(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            rule: "yaml-syntax",
            span,
            message: message.into(),
            help: None,
        }
    }
}
