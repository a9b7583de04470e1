//! One line of an import: from its bytes to the write it asks for, or the reason why it asks for none.
//!
//! Two forms. With a template the whole line is the value and its members make the key. Without one the line is of the
//! export format, `{"path","data","uuid"?,"timestamp"?,"expires_at"?,"ttl"?}`. In both the value's bytes are kept as
//! they stand in the line.
//!
//! **Invariant:** what is not understood is refused: an unknown member, a member of the key that comes twice, a value
//! that a node would not accept.

use std::borrow::Cow;
use std::fmt;

use kvs_config::duration::parse_ttl;
use kvs_core::path::Path;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json;
use crate::template::Template;

/// Where the keys of an import come from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// Every line is one JSON object; its members make the key.
    Template(Template),
    /// Every line names its path: the format that an export writes.
    Lines,
}

/// How long a written value lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ttl {
    /// The node's `default_ttl` applies.
    Default,
    /// This duration, such as `1h` or a number of seconds; `0` is never.
    Text(String),
}

/// The write that a line asks for.
#[derive(Debug)]
pub(crate) struct Put<'a> {
    /// The key.
    pub(crate) path: Path,
    /// The value, exactly as in the line.
    pub(crate) data: &'a str,
    /// Its lifetime.
    pub(crate) ttl: Ttl,
    /// Fields of the key in which a character was escaped.
    pub(crate) escaped_fields: u64,
    /// Fields of the key that were empty.
    pub(crate) empty_fields: u64,
}

/// What a line is.
#[derive(Debug)]
pub(crate) enum Parsed<'a> {
    /// Nothing but spaces.
    Blank,
    /// A value whose time was over before it could be written.
    Expired,
    /// A value to write.
    Put(Put<'a>),
}

/// Reads one line. `now_ms` is the wall clock, for the remaining lifetime of an exported value.
///
/// # Errors
///
/// The reason in one sentence.
pub(crate) fn parse<'a>(line: &'a [u8], keys: &KeySource, now_ms: u64) -> Result<Parsed<'a>, String> {
    let text = std::str::from_utf8(line).map_err(|error| format!("not UTF-8: {error}"))?;
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    if text.is_empty() {
        return Ok(Parsed::Blank);
    }
    match keys {
        KeySource::Template(template) => parse_object(text, template),
        KeySource::Lines => parse_export(text, now_ms),
    }
}

/// A line of the export format.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportLine<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
    uuid: Option<IgnoredAny>,
    #[serde(rename = "timestamp")]
    _timestamp: Option<IgnoredAny>,
    expires_at: Option<u64>,
    #[serde(borrow)]
    ttl: Option<&'a RawValue>,
}

fn parse_export(text: &str, now_ms: u64) -> Result<Parsed<'_>, String> {
    let line: ExportLine<'_> =
        serde_json::from_str(text).map_err(|error| format!("not a line of the export format: {error}"))?;
    let path = Path::parse(&line.path).map_err(|error| format!("{:?}: {error}", line.path))?;
    json::check(line.data.get()).map_err(|error| format!("the value is not acceptable JSON: {error}"))?;
    let ttl = match (line.expires_at, line.ttl) {
        (Some(_), Some(_)) => return Err("it has both `expires_at` and `ttl`".to_owned()),
        (Some(at_ms), None) => match at_ms.checked_sub(now_ms) {
            None | Some(0) => return Ok(Parsed::Expired),
            // Lifetimes are whole seconds; rounded up, because 0 would mean never.
            Some(left_ms) => Ttl::Text(left_ms.div_ceil(1000).to_string()),
        },
        (None, Some(ttl)) => {
            let text = field_text("ttl", ttl)?.unwrap_or_default();
            parse_ttl(&text).map_err(|error| format!("`ttl`: {error}"))?;
            Ttl::Text(text.into_owned())
        }
        // An exported value without an end had none: the importing node's default must not give it one.
        (None, None) if line.uuid.is_some() => Ttl::Text("0".to_owned()),
        (None, None) => Ttl::Default,
    };
    Ok(Parsed::Put(Put { path, data: line.data.get(), ttl, escaped_fields: 0, empty_fields: 0 }))
}

fn parse_object<'a>(text: &'a str, template: &Template) -> Result<Parsed<'a>, String> {
    if !text.starts_with('{') {
        return Err("not a JSON object".to_owned());
    }
    json::check(text).map_err(|error| format!("not acceptable JSON: {error}"))?;
    let members = read_members(text, template.fields())?;
    let texts = template
        .fields()
        .iter()
        .zip(&members)
        .map(|(name, value)| value.map_or(Ok(None), |value| field_text(name, value)))
        .collect::<Result<Vec<_>, _>>()?;
    let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
    let rendered = template.render(&texts).map_err(|error| format!("its key would be no path: {error}"))?;
    Ok(Parsed::Put(Put {
        path: rendered.path,
        data: text,
        ttl: Ttl::Default,
        escaped_fields: rendered.escaped_fields,
        empty_fields: rendered.empty_fields,
    }))
}

/// The text of a member as a part of a key: strings as they are, numbers and booleans as written, `null` as empty.
fn field_text<'a>(name: &str, value: &'a RawValue) -> Result<Option<Cow<'a, str>>, String> {
    match value.get().as_bytes().first() {
        Some(b'"') => {
            let text: BorrowedText<'_> =
                serde_json::from_str(value.get()).map_err(|error| format!("`{name}`: {error}"))?;
            Ok(Some(text.0))
        }
        Some(b'n') => Ok(None),
        Some(b'{' | b'[') | None => Err(format!("`{name}` is a list or an object, not a text or a number")),
        Some(_) => Ok(Some(Cow::Borrowed(value.get()))),
    }
}

/// A string that is borrowed when it holds no escapes.
#[derive(Deserialize)]
struct BorrowedText<'a>(#[serde(borrow)] Cow<'a, str>);

/// The values of the members called `names`, in their order.
fn read_members<'a>(text: &'a str, names: &[String]) -> Result<Vec<Option<&'a RawValue>>, String> {
    struct Members<'n>(&'n [String]);

    impl<'de> Visitor<'de> for Members<'_> {
        type Value = Vec<Option<&'de RawValue>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
            let mut values = vec![None; self.0.len()];
            while let Some(BorrowedText(name)) = members.next_key()? {
                let slot = self.0.iter().position(|wanted| *wanted == name);
                match slot.and_then(|slot| values.get_mut(slot)) {
                    None => {
                        members.next_value::<IgnoredAny>()?;
                    }
                    Some(Some(_)) => {
                        return Err(A::Error::custom(format_args!(
                            "`{name}` comes twice, so its key is not clear"
                        )));
                    }
                    Some(empty) => *empty = Some(members.next_value::<&'de RawValue>()?),
                }
            }
            Ok(values)
        }
    }

    let mut reader = serde_json::Deserializer::from_str(text);
    // The text was checked in full, its depth included.
    reader.disable_recursion_limit();
    reader.deserialize_map(Members(names)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::{KeySource, Parsed, Put, Ttl, parse};
    use crate::template::Template;

    const NOW_MS: u64 = 1_000_000;

    fn put<'a>(line: &'a str, keys: &KeySource) -> Put<'a> {
        match parse(line.as_bytes(), keys, NOW_MS) {
            Ok(Parsed::Put(put)) => put,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn refusal(line: &str, keys: &KeySource) -> String {
        parse(line.as_bytes(), keys, NOW_MS).expect_err(line)
    }

    fn template(text: &str) -> KeySource {
        KeySource::Template(Template::parse(text, "-").expect("a usable template"))
    }

    #[test]
    fn members_make_the_key_and_the_line_is_the_value_byte_for_byte() {
        let line = " {\"n\": 1.50, \"b\":true,\"s\":\"\\u00fc/\" , \"e\":\"\"}\r";
        let put = put(line, &template("{s}/{n}/{b}/{e}/{missing}"));
        assert_eq!(put.path.as_str(), "ü%2F/1.50/true/-/-");
        assert_eq!(put.data, line.trim());
        assert_eq!((put.escaped_fields, put.empty_fields, put.ttl), (1, 2, Ttl::Default));
    }

    #[test]
    fn a_null_member_counts_as_empty() {
        assert_eq!(put("{\"a\":null}", &template("{a}")).path.as_str(), "-");
    }

    #[test]
    fn a_member_that_cannot_be_part_of_a_key_is_refused() {
        let keys = template("{a}");
        assert!(refusal("{\"a\":[1]}", &keys).contains("`a` is a list"));
        assert!(refusal("{\"a\":1,\"a\":2}", &keys).contains("comes twice"));
        assert!(refusal("{\"a\":\"..\"}", &keys).contains("'.' or '..'"));
        assert!(refusal("{\"a\":\"x\\u0000\"}", &keys).contains("control character"));
    }

    #[test]
    fn a_repeated_member_outside_the_key_is_kept_as_sent() {
        let line = "{\"a\":1,\"b\":2,\"b\":3}";
        assert_eq!(put(line, &template("{a}")).data, line);
    }

    #[test]
    fn lines_that_are_no_acceptable_objects_are_refused() {
        let keys = template("{a}");
        assert!(refusal("[1]", &keys).contains("not a JSON object"));
        assert!(refusal("{\"a\":1", &keys).contains("not acceptable JSON"));
        assert!(refusal("{\"a\":1,\"b\":1e999}", &keys).contains("not acceptable JSON"));
        assert!(parse(b"{\"a\":\"\xff\"}", &keys, NOW_MS).expect_err("bad UTF-8").contains("not UTF-8"));
    }

    #[test]
    fn spaces_alone_are_a_blank_line() {
        assert!(matches!(parse(b" \t\r", &KeySource::Lines, NOW_MS), Ok(Parsed::Blank)));
    }

    #[test]
    fn an_exported_line_keeps_its_bytes_and_its_remaining_lifetime_rounded_up() {
        let line = "{\"path\":\"a/b\",\"data\":{ \"x\" : 1.0 },\"uuid\":\"u\",\"timestamp\":1,\"expires_at\":1001001}";
        let put = put(line, &KeySource::Lines);
        assert_eq!((put.path.as_str(), put.data), ("a/b", "{ \"x\" : 1.0 }"));
        assert_eq!(put.ttl, Ttl::Text("2".to_owned()));
    }

    #[test]
    fn an_exported_line_without_an_end_lives_for_ever_and_a_written_one_follows_the_node() {
        let exported = "{\"path\":\"a\",\"data\":1,\"uuid\":\"u\",\"timestamp\":1}";
        assert_eq!(put(exported, &KeySource::Lines).ttl, Ttl::Text("0".to_owned()));
        assert_eq!(put("{\"path\":\"a\",\"data\":1}", &KeySource::Lines).ttl, Ttl::Default);
        let own = "{\"path\":\"a\",\"data\":1,\"ttl\":\"1h\"}";
        assert_eq!(put(own, &KeySource::Lines).ttl, Ttl::Text("1h".to_owned()));
    }

    #[test]
    fn an_exported_line_whose_time_is_over_is_expired() {
        for at_ms in [0, NOW_MS - 1, NOW_MS] {
            let line = format!("{{\"path\":\"a\",\"data\":1,\"expires_at\":{at_ms}}}");
            assert!(
                matches!(parse(line.as_bytes(), &KeySource::Lines, NOW_MS), Ok(Parsed::Expired)),
                "{line}"
            );
        }
    }

    #[test]
    fn an_unknown_or_contradicting_member_of_an_exported_line_is_refused() {
        assert!(refusal("{\"path\":\"a\",\"data\":1,\"mode\":7}", &KeySource::Lines).contains("mode"));
        assert!(refusal("{\"path\":\"a\"}", &KeySource::Lines).contains("data"));
        assert!(refusal("{\"path\":\"a//b\",\"data\":1}", &KeySource::Lines).contains("empty segment"));
        assert!(refusal("{\"path\":\"a\",\"data\":1,\"ttl\":\"soon\"}", &KeySource::Lines).contains("`ttl`"));
        let both = "{\"path\":\"a\",\"data\":1,\"ttl\":1,\"expires_at\":5000000}";
        assert!(refusal(both, &KeySource::Lines).contains("both"));
    }
}
