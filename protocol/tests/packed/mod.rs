//! MessagePack from JSON text, written from the specification and in the
//! order of the text: a second opinion on what the crate reads and writes.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON text as MessagePack, every number and length in its shortest form.
pub fn packed(text: &str) -> Vec<u8> {
    serde_json::from_str::<Packed>(text).unwrap().0
}

struct Packed(Vec<u8>);

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PackedVisitor).map(Self)
    }
}

struct PackedVisitor;

impl<'de> Visitor<'de> for PackedVisitor {
    type Value = Vec<u8>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Vec<u8>, E> {
        Ok(vec![0xc0])
    }
    fn visit_bool<E>(self, is: bool) -> Result<Vec<u8>, E> {
        Ok(vec![if is { 0xc3 } else { 0xc2 }])
    }
    fn visit_u64<E>(self, number: u64) -> Result<Vec<u8>, E> {
        let bytes = number.to_be_bytes();
        Ok(match number {
            0..=0x7f => vec![bytes[7]],
            0x80..=0xff => [&[0xcc], &bytes[7..]].concat(),
            0x100..=0xffff => [&[0xcd], &bytes[6..]].concat(),
            0x1_0000..=0xffff_ffff => [&[0xce], &bytes[4..]].concat(),
            _ => [&[0xcf], &bytes[..]].concat(),
        })
    }
    fn visit_i64<E>(self, number: i64) -> Result<Vec<u8>, E> {
        let bytes = number.to_be_bytes();
        Ok(match number {
            -32.. => vec![bytes[7]],
            -0x80..=-33 => [&[0xd0], &bytes[7..]].concat(),
            -0x8000..=-0x81 => [&[0xd1], &bytes[6..]].concat(),
            -0x8000_0000..=-0x8001 => [&[0xd2], &bytes[4..]].concat(),
            _ => [&[0xd3], &bytes[..]].concat(),
        })
    }
    fn visit_f64<E>(self, number: f64) -> Result<Vec<u8>, E> {
        Ok([&[0xcb], &number.to_be_bytes()[..]].concat())
    }
    fn visit_str<E>(self, text: &str) -> Result<Vec<u8>, E> {
        let mut bytes = match u16::try_from(text.len()).unwrap() {
            length @ 0..=31 => vec![0xa0 | length as u8],
            length @ 32..=0xff => vec![0xd9, length as u8],
            length => [&[0xda], &length.to_be_bytes()[..]].concat(),
        };
        bytes.extend(text.bytes());
        Ok(bytes)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
        let (mut count, mut items) = (0, Vec::new());
        while let Some(Packed(item)) = seq.next_element()? {
            count += 1;
            items.extend(item);
        }
        Ok([head(0x90, 0xdc, count), items].concat())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<u8>, A::Error> {
        let (mut count, mut pairs) = (0, Vec::new());
        while let Some((Packed(key), Packed(value))) = map.next_entry()? {
            count += 1;
            pairs.extend(key);
            pairs.extend(value);
        }
        Ok([head(0x80, 0xde, count), pairs].concat())
    }
}

fn head(short: u8, long: u8, count: u16) -> Vec<u8> {
    match count {
        0..=15 => vec![short | count as u8],
        _ => [&[long], &count.to_be_bytes()[..]].concat(),
    }
}
