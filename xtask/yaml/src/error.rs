//! Why a text is not a YAML document.

use std::ops::Range;

/// Why a text cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// `yaml-tab` or `yaml-syntax`.
    pub rule: &'static str,
    /// The bytes that are at fault.
    pub span: Range<usize>,
    /// What is wrong.
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
