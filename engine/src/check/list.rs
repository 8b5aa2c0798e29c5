//! Sizes of lists and pages.

use fanfare_protocol::{Limits, Refusal};

/// Rows of a page: what was asked for, else `page_default`.
///
/// # Errors
/// `invalid_request` naming `limit` when it is 0 or above `page_max`.
pub fn page_rows(asked: Option<usize>, limits: &Limits) -> Result<usize, Refusal> {
    match asked {
        None => Ok(limits.page_default),
        Some(rows) if (1..=limits.page_max).contains(&rows) => Ok(rows),
        Some(_) => Err(Refusal::field(
            "limit",
            format!("must be 1 to {}", limits.page_max),
        )),
    }
}

/// Number of cursors in one hello, resume, subscribe or unsubscribe, in the
/// given field.
///
/// # Errors
/// `invalid_request` naming the field above `cursors_max`.
pub fn cursor_count(field: &str, count: usize, limits: &Limits) -> Result<(), Refusal> {
    if count > limits.cursors_max {
        return Err(Refusal::field(
            field,
            format!("more than {}", limits.cursors_max),
        ));
    }
    Ok(())
}
