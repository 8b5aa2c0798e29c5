//! What serde takes and the wire does not: positional arrays for objects,
//! numbers that JavaScript cannot hold. For `#[serde(deserialize_with)]`.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, Visitor};

use crate::limits::WHOLE_NUMBER_MAX;

/// A `seq`, `epoch` or count: 0 to 2⁵³ − 1. Floats without a fraction are
/// taken as the integers they mean.
pub(crate) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_u64(Whole)
}

/// The same, absent or null for none.
pub(crate) fn whole_if_any<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    struct Given(#[serde(deserialize_with = "whole")] u64);
    Ok(Option::<Given>::deserialize(deserializer)?.map(|Given(number)| number))
}

/// Objects only, no positional arrays.
pub(crate) fn object_if_any<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|Object(value)| value))
}

/// A list of objects, no positional arrays.
pub(crate) fn objects<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let objects = Vec::<Object<T>>::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|Object(value)| value).collect())
}

/// One of a set of names: a string, and no object with the name as its key,
/// which serde takes for it in JSON.
pub(crate) fn word<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    struct Word<T>(PhantomData<T>);
    impl<T: DeserializeOwned> Visitor<'_> for Word<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_str<E: de::Error>(self, word: &str) -> Result<T, E> {
            T::deserialize(StrDeserializer::new(word))
        }
    }
    deserializer.deserialize_str(Word(PhantomData))
}

/// The same, absent or null for none.
pub(crate) fn word_if_any<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    #[derive(Deserialize)]
    #[serde(bound = "T: DeserializeOwned")]
    struct Given<T>(#[serde(deserialize_with = "word")] T);
    Ok(Option::<Given<T>>::deserialize(deserializer)?.map(|Given(word)| word))
}

struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct Whole;

impl Visitor<'_> for Whole {
    type Value = u64;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 0 to {WHOLE_NUMBER_MAX}")
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<u64, E> {
        if number > WHOLE_NUMBER_MAX {
            return Err(E::invalid_value(de::Unexpected::Unsigned(number), &self));
        }
        Ok(number)
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<u64, E> {
        u64::try_from(number)
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
            .and_then(|number| self.visit_u64(number))
    }
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<u64, E> {
        let fits = number.fract() == 0.0 && (0.0..=WHOLE_NUMBER_MAX as f64).contains(&number);
        if !fits {
            return Err(E::invalid_value(de::Unexpected::Float(number), &self));
        }
        self.visit_u64(number as u64)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Both {
        #[serde(deserialize_with = "super::whole")]
        a: u64,
        #[serde(default, deserialize_with = "super::whole_if_any")]
        b: Option<u64>,
    }

    fn read(text: &str) -> Option<(u64, Option<u64>)> {
        let both: Option<Both> = serde_json::from_str(text).ok();
        both.map(|Both { a, b }| (a, b))
    }

    #[test]
    fn whole_numbers_are_those_that_javascript_holds() {
        assert_eq!(read(r#"{"a":0}"#), Some((0, None)));
        assert_eq!(read(r#"{"a":41.0,"b":4.1e1}"#), Some((41, Some(41))));
        assert_eq!(read(r#"{"a":1,"b":null}"#), Some((1, None)));
        assert_eq!(
            read(r#"{"a":9007199254740991}"#),
            Some((9_007_199_254_740_991, None))
        );
        for bad in [
            "9007199254740992",
            "9007199254740992.0",
            "-1",
            "-1.0",
            "1.5",
            "1e300",
            "\"1\"",
            "null",
            "[1]",
            "true",
        ] {
            assert_eq!(read(&format!(r#"{{"a":{bad}}}"#)), None, "{bad}");
            let b = read(&format!(r#"{{"a":1,"b":{bad}}}"#));
            assert_eq!(b, (bad == "null").then_some((1, None)), "{bad}");
        }
    }
}
