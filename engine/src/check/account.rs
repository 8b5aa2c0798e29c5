//! Names, addresses and passwords of accounts.

use fanfare_protocol::Refusal;
use fanfare_protocol::limits::{
    DESCRIPTION_CHARS_MAX, EMAIL_BYTES_MAX, EMAIL_LOCAL_BYTES_MAX, HOST_LABEL_BYTES_MAX,
    NAME_CHARS_MAX, PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, USERNAME_CHARS_MAX, USERNAME_CHARS_MIN,
};
use fanfare_protocol::rest::{Login, Register, UpdateMe};

use super::{line, paragraph};
use crate::mention::{EVERYBODY, is_name_char};

/// Passwords of at least eight characters that lead every list of leaked
/// ones: whoever guesses tries these first.
const COMMON_PASSWORDS: [&str; 40] = [
    "00000000",
    "11111111",
    "11223344",
    "12121212",
    "12341234",
    "123123123",
    "12345678",
    "123456789",
    "1234567890",
    "123qweasd",
    "1q2w3e4r",
    "1q2w3e4r5t",
    "1qaz2wsx",
    "87654321",
    "88888888",
    "987654321",
    "abcd1234",
    "abcdefgh",
    "admin123",
    "administrator",
    "asdfghjkl",
    "baseball",
    "changeme",
    "computer",
    "football",
    "iloveyou",
    "internet",
    "letmein1",
    "passw0rd",
    "password",
    "password1",
    "password123",
    "princess",
    "q1w2e3r4",
    "qwerty123",
    "qwertyuiop",
    "starwars",
    "sunshine",
    "trustno1",
    "welcome1",
];

/// A registration that passed. The password stays where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// As written: what people see.
    pub username: String,
    /// Lowercase: what is claimed.
    pub username_claim: String,
    /// Lowercase: what is stored and claimed.
    pub email: String,
    /// Default: the username.
    pub display_name: String,
}

/// What a profile change sets; `None` stays, an empty bio is removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profile {
    /// New display name, trimmed.
    pub display_name: Option<String>,
    /// New bio, trimmed.
    pub bio: Option<String>,
}

/// Checks a registration.
///
/// # Errors
/// `invalid_request` naming `username`, `email`, `password` or `displayName`.
pub fn registration(ask: &Register) -> Result<Registration, Refusal> {
    let username_claim = username(&ask.username)?;
    let email = email(&ask.email)?;
    password(&ask.password, &username_claim, &email)?;
    let shown = ask.display_name.as_deref().unwrap_or(&ask.username);
    Ok(Registration {
        username: ask.username.clone(),
        username_claim,
        email,
        display_name: display_name(shown)?,
    })
}

/// Checks a log-in and gives the name or address to look for, lowercase.
/// Only sizes: whether it fits is for the password to say.
///
/// # Errors
/// `invalid_request` naming `login` or `password`.
pub fn login(ask: &Login) -> Result<String, Refusal> {
    if ask.login.is_empty() || ask.login.len() > EMAIL_BYTES_MAX {
        return Err(Refusal::field("login", "is no username and no address"));
    }
    let long = ask.password.chars().count() > PASSWORD_CHARS_MAX;
    if ask.password.is_empty() || long {
        return Err(Refusal::field(
            "password",
            format!("must have 1 to {PASSWORD_CHARS_MAX} characters"),
        ));
    }
    Ok(ask.login.to_ascii_lowercase())
}

/// Checks a username and gives its claim: the same in lowercase. 2 to 32 of
/// `A–Z a–z 0–9 . _ -`, the first a letter or digit, the last no full stop
/// (it could not be mentioned), and no name that means everybody.
///
/// # Errors
/// `invalid_request` naming `username`.
pub fn username(name: &str) -> Result<String, Refusal> {
    let refuse = |reason: String| Err(Refusal::field("username", reason));
    if !(USERNAME_CHARS_MIN..=USERNAME_CHARS_MAX).contains(&name.len()) {
        return refuse(format!(
            "must have {USERNAME_CHARS_MIN} to {USERNAME_CHARS_MAX} characters"
        ));
    }
    if !name.chars().all(is_name_char) {
        return refuse("may hold letters a-z, digits, '.', '_' and '-' only".into());
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return refuse("must start with a letter or a digit".into());
    }
    if name.ends_with('.') {
        return refuse("must not end with '.'".into());
    }
    let claim = name.to_ascii_lowercase();
    if EVERYBODY.contains(&claim.as_str()) {
        return refuse("means everybody: choose another".into());
    }
    Ok(claim)
}

/// Checks the form of an e-mail address and gives it in lowercase: a local
/// part of dot-separated atoms (RFC 5321, 4.1.2; quoted ones are refused)
/// and a domain of host labels. Whether it receives mail shows by sending.
///
/// # Errors
/// `invalid_request` naming `email`.
pub fn email(address: &str) -> Result<String, Refusal> {
    let fits = address.len() <= EMAIL_BYTES_MAX
        && address.split_once('@').is_some_and(|(local, domain)| {
            local.len() <= EMAIL_LOCAL_BYTES_MAX
                && local.split('.').all(is_atom)
                && domain.split('.').all(is_label)
        });
    if fits {
        Ok(address.to_ascii_lowercase())
    } else {
        Err(Refusal::field("email", "is no e-mail address"))
    }
}

/// Checks a new password: 8 to 128 characters of any kind, not the name or
/// the address of its user, none that everybody tries first.
///
/// # Errors
/// `invalid_request` naming `password`; the password is never repeated.
pub fn password(password: &str, username: &str, email: &str) -> Result<(), Refusal> {
    let chars = password.chars().count();
    if !(PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&chars) {
        return Err(Refusal::field(
            "password",
            format!("must have {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters"),
        ));
    }
    let local = email.split('@').next().unwrap_or_default();
    let own = [username, email, local];
    if own.iter().any(|own| own.eq_ignore_ascii_case(password)) {
        return Err(Refusal::field(
            "password",
            "must not be the username or the e-mail address",
        ));
    }
    if COMMON_PASSWORDS.contains(&password.to_ascii_lowercase().as_str()) {
        return Err(Refusal::field(
            "password",
            "is one that everybody tries first",
        ));
    }
    Ok(())
}

/// Checks a display name and gives it trimmed: 1 to 64 characters, no
/// control characters.
///
/// # Errors
/// `invalid_request` naming `displayName`.
pub fn display_name(name: &str) -> Result<String, Refusal> {
    line("displayName", name, NAME_CHARS_MAX)
}

/// Checks a text about oneself and gives it trimmed: at most 500 characters;
/// empty removes it.
///
/// # Errors
/// `invalid_request` naming `bio`.
pub fn bio(text: &str) -> Result<String, Refusal> {
    paragraph("bio", text, DESCRIPTION_CHARS_MAX)
}

/// Checks `PATCH /users/me`.
///
/// # Errors
/// `invalid_request` naming the field.
pub fn profile(ask: &UpdateMe) -> Result<Profile, Refusal> {
    Ok(Profile {
        display_name: ask.display_name.as_deref().map(display_name).transpose()?,
        bio: ask.bio.as_deref().map(bio).transpose()?,
    })
}

/// `atext` of RFC 5322, 3.2.3, at least one.
fn is_atom(atom: &str) -> bool {
    !atom.is_empty()
        && atom
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c))
}

/// A host label: letters, digits and inner hyphens.
fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= HOST_LABEL_BYTES_MAX
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}
