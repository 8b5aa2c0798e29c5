//! What messages and reactions hold.

use fanfare_protocol::limits::EMOJI_BYTES_MAX;
use fanfare_protocol::{Code, Limits, Refusal};
use unicode_segmentation::UnicodeSegmentation;

/// Checks a message's text: not empty, at most `message_text_bytes_max`
/// bytes. It is kept byte for byte, control characters included.
///
/// # Errors
/// `invalid_request` or `too_large`, naming `text`.
pub fn message_text(text: &str, limits: &Limits) -> Result<(), Refusal> {
    if text.is_empty() {
        return Err(Refusal::field("text", "must not be empty"));
    }
    let most = limits.message_text_bytes_max;
    if text.len() > most {
        let reason = format!("longer than {most} bytes");
        let mut refusal = Refusal::new(Code::TooLarge, format!("text: {reason}"));
        refusal.details.insert("text".into(), reason);
        return Err(refusal);
    }
    Ok(())
}

/// Checks a reaction: one grapheme cluster (Unicode annex 29) of at most
/// `EMOJI_BYTES_MAX` bytes that begins with neither ASCII letter, digit nor
/// sign, save for keycaps, and holds no whitespace or control character.
///
/// # Errors
/// `invalid_request` naming `emoji`.
pub fn emoji(emoji: &str) -> Result<(), Refusal> {
    let one = emoji.len() <= EMOJI_BYTES_MAX && emoji.graphemes(true).count() == 1;
    let visible = !emoji.chars().any(|c| c.is_control() || c.is_whitespace());
    // A keycap is a digit, '#' or '*' that U+20E3 follows.
    let plain = emoji.starts_with(|c: char| c.is_ascii()) && !emoji.ends_with('\u{20E3}');
    if one && visible && !plain && !emoji.starts_with(is_invisible) {
        Ok(())
    } else {
        Err(Refusal::field("emoji", "must be one emoji"))
    }
}

/// Joiners, marks of direction and selectors that show nothing alone.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
        | '\u{E0000}'..='\u{E0FFF}')
}
