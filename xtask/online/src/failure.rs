//! Combines several failures: a verb tries everything it can and then fails once.

use xtask_host::error::Error;

/// All `errors` as one, with the most severe outcome and each message as a cause.
pub(crate) fn all(message: String, errors: Vec<Error>) -> Option<Error> {
    let worst = errors.iter().map(|error| error.outcome).max()?;
    let mut whole = Error::new(worst, message);
    let mut hints: Vec<String> = Vec::new();
    for error in errors {
        whole.findings.extend(error.findings);
        whole = whole.because([vec![error.message], error.causes].concat().join("\n"));
        hints.extend(error.hints);
    }
    hints.dedup();
    Some(hints.into_iter().fold(whole, Error::hint))
}
