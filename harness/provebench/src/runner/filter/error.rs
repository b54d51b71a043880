//! What is wrong with a filter expression, and where.

use miette::{Diagnostic, SourceSpan};
use thiserror::Error;

/// An expression that can't be read, or that means nothing here.
#[derive(Debug, Error, Diagnostic)]
#[error("the filter can't be used: {problem}")]
#[diagnostic(code(filter))]
pub struct ExpressionError {
    pub(super) problem: String,
    #[source_code]
    pub(super) text: String,
    #[label("here")]
    pub(super) at: SourceSpan,
    #[help]
    pub(super) help: Option<String>,
}
