//! A strict reader of MessagePack, for serde: what JSON has too, and no more.
//!
//! Borrows what it reads and allocates nothing by a length that was only
//! claimed. Byte strings and extensions fit nowhere, keys are strings,
//! structs are maps. Skipping does not recurse, so that no depth hurts it.

use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

/// Reads one value after the other.
pub(crate) struct Reader<'de> {
    rest: &'de [u8],
}

/// What is wrong with the bytes.
#[derive(Debug)]
pub(crate) enum Error {
    /// They are no MessagePack, or hold what the wire has no place for.
    Broken(&'static str),
    /// They do not fit what is expected, in serde's words.
    Misfit(String),
}

enum Token<'de> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    /// Not yet known to be UTF-8.
    Text(&'de [u8]),
    /// A byte string or an extension.
    Opaque,
    /// So many values follow.
    Array(u64),
    /// So many pairs follow.
    Map(u64),
}

const ENDS_EARLY: Error = Error::Broken("it ends too early");

impl<'de> Reader<'de> {
    pub(crate) fn new(bytes: &'de [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes of the next value, whatever it is.
    pub(crate) fn raw(&mut self) -> Result<&'de [u8], Error> {
        let start = self.rest;
        let mut values: u64 = 1;
        while values > 0 {
            values -= 1;
            match self.token()? {
                Token::Array(items) => values += items,
                Token::Map(pairs) => values += 2 * pairs,
                _ => {}
            }
            // Every value has a byte at least.
            if values > self.rest.len() as u64 {
                return Err(ENDS_EARLY);
            }
        }
        Ok(&start[..start.len() - self.rest.len()])
    }

    /// Opens a map and says how many pairs follow; `None` for another value.
    pub(crate) fn open_map(&mut self) -> Result<Option<u64>, Error> {
        Ok(match self.token()? {
            Token::Map(pairs) => Some(pairs),
            _ => None,
        })
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<(), Error> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Error::Broken("bytes behind the end"))
        }
    }

    fn token(&mut self) -> Result<Token<'de>, Error> {
        let marker = self.take(1)?[0];
        Ok(match marker {
            0x00..=0x7f => Token::Unsigned(marker.into()),
            0x80..=0x8f => Token::Map((marker & 0x0f).into()),
            0x90..=0x9f => Token::Array((marker & 0x0f).into()),
            0xa0..=0xbf => Token::Text(self.take((marker & 0x1f).into())?),
            0xc0 => Token::Nil,
            0xc1 => return Err(Error::Broken("0xc1 is no marker")),
            0xc2 | 0xc3 => Token::Bool(marker == 0xc3),
            0xc4..=0xc6 => {
                let length = self.number(1 << (marker - 0xc4))?;
                self.opaque(length)?
            }
            0xc7..=0xc9 => {
                let length = self.number(1 << (marker - 0xc7))?;
                self.opaque(length + 1)?
            }
            0xca => Token::Float(f32::from_bits(self.number(4)? as u32).into()),
            0xcb => Token::Float(f64::from_bits(self.number(8)?)),
            0xcc..=0xcf => Token::Unsigned(self.number(1 << (marker - 0xcc))?),
            0xd0..=0xd3 => signed(self.number(1 << (marker - 0xd0))?, 1 << (marker - 0xd0)),
            0xd4..=0xd8 => self.opaque((1 << (marker - 0xd4)) + 1)?,
            0xd9..=0xdb => {
                let length = self.number(1 << (marker - 0xd9))?;
                Token::Text(self.take(length)?)
            }
            0xdc | 0xdd => Token::Array(self.number(2 << (marker - 0xdc))?),
            0xde | 0xdf => Token::Map(self.number(2 << (marker - 0xde))?),
            0xe0..=0xff => signed(marker.into(), 1),
        })
    }

    fn take(&mut self, length: u64) -> Result<&'de [u8], Error> {
        let length = usize::try_from(length).map_err(|_| ENDS_EARLY)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(ENDS_EARLY)?;
        self.rest = rest;
        Ok(taken)
    }

    fn opaque(&mut self, length: u64) -> Result<Token<'de>, Error> {
        self.take(length)?;
        Ok(Token::Opaque)
    }

    /// An unsigned number of 1 to 8 bytes, the highest first.
    fn number(&mut self, bytes: u64) -> Result<u64, Error> {
        let bytes = self.take(bytes)?;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn next_is_nil(&self) -> bool {
        self.rest.first() == Some(&0xc0)
    }

    fn next_is_text(&self) -> bool {
        matches!(self.rest.first(), Some(0xa0..=0xbf | 0xd9..=0xdb))
    }
}

fn signed<'de>(number: u64, bytes: u32) -> Token<'de> {
    let unused = 64 - 8 * bytes;
    Token::Signed((number << unused).cast_signed() >> unused)
}

fn utf8(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|_| Error::Broken("a string is not UTF-8"))
}

impl<'de> Token<'de> {
    /// The refusal of a value that stands where something else is expected.
    fn misfit(&self, expected: &dyn de::Expected) -> Error {
        let unexpected = match self {
            Self::Nil => Unexpected::Unit,
            Self::Bool(is) => Unexpected::Bool(*is),
            Self::Unsigned(number) => Unexpected::Unsigned(*number),
            Self::Signed(number) => Unexpected::Signed(*number),
            Self::Float(number) => Unexpected::Float(*number),
            Self::Text(_) => Unexpected::Other("a string"),
            Self::Opaque => Unexpected::Other("bytes"),
            Self::Array(_) => Unexpected::Seq,
            Self::Map(_) => Unexpected::Map,
        };
        de::Error::invalid_type(unexpected, expected)
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.token()? {
            Token::Nil => visitor.visit_unit(),
            Token::Bool(is) => visitor.visit_bool(is),
            Token::Unsigned(number) => visitor.visit_u64(number),
            Token::Signed(number) => visitor.visit_i64(number),
            Token::Float(number) => visitor.visit_f64(number),
            Token::Text(bytes) => visitor.visit_borrowed_str(utf8(bytes)?),
            token @ Token::Opaque => Err(token.misfit(&visitor)),
            Token::Array(left) => visitor.visit_seq(Values { reader: self, left }),
            Token::Map(left) => visitor.visit_map(Values { reader: self, left }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.next_is_nil() {
            self.token()?;
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.token()? {
            Token::Map(left) => visitor.visit_map(Values { reader: self, left }),
            token => Err(token.misfit(&"an object")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.token()? {
            Token::Text(bytes) => {
                visitor.visit_enum(BorrowedStrDeserializer::<Error>::new(utf8(bytes)?))
            }
            token => Err(token.misfit(&"a string")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.raw()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string
        bytes byte_buf unit unit_struct seq tuple tuple_struct map identifier
    }
}

/// What an array or a map holds; how much is left is only claimed.
struct Values<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: u64,
}

impl<'de> SeqAccess<'de> for Values<'_, 'de> {
    type Error = Error;
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

impl<'de> MapAccess<'de> for Values<'_, 'de> {
    type Error = Error;
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        if !self.reader.next_is_text() {
            return Err(Error::Broken("a key is not a string"));
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(why) => f.write_str(why),
            Self::Misfit(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self::Misfit(why.to_string())
    }
}
