//! Pure validation of what clients send: sizes, alphabets, combinations.
//! Every refusal names the field. What needs a store or a role to decide is
//! not here (see [`crate::authorize`] and the room).

mod account;
mod content;
mod conversation;
mod list;
#[cfg(test)]
mod tests;

pub use account::{
    Profile, Registration, bio, display_name, email, login, password, profile, registration,
    username,
};
pub use content::{emoji, message_text};
pub use conversation::{additions, creation, fields, slug};
pub use list::{cursor_count, page_rows};

use fanfare_protocol::Refusal;

/// One line of text for people: trimmed, 1 to `chars_max` characters, no
/// control characters.
fn line(field: &str, text: &str, chars_max: usize) -> Result<String, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Refusal::field(field, "must not be empty"));
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::field(field, "must not hold control characters"));
    }
    not_longer(field, text, chars_max)?;
    Ok(text.to_owned())
}

/// Text of several lines, at most `chars_max` characters; empty stays empty.
fn paragraph(field: &str, text: &str, chars_max: usize) -> Result<String, Refusal> {
    let text = text.trim();
    if text
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        return Err(Refusal::field(field, "must not hold control characters"));
    }
    not_longer(field, text, chars_max)?;
    Ok(text.to_owned())
}

fn not_longer(field: &str, text: &str, chars_max: usize) -> Result<(), Refusal> {
    // Bytes first: nobody counts the characters of a megabyte.
    if text.len() > chars_max.saturating_mul(4) || text.chars().count() > chars_max {
        return Err(Refusal::field(
            field,
            format!("longer than {chars_max} characters"),
        ));
    }
    Ok(())
}
