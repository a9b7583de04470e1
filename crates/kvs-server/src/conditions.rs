//! `If-Match` and `If-None-Match`: from header fields to the conditions that a read or a commit decides.
//!
//! An entity tag of this server is a version's uuid in quotes, lower case. Other tags are well-formed and match
//! nothing. A weak tag (`W/"..."`) never matches in `If-Match`, which compares strongly; in `If-None-Match` it counts
//! like the strong one. Source: RFC 9110 sections 8.8.3, 13.1.1 and 13.1.2.

use http::HeaderMap;
use http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use kvs_core::limits::ENTITY_TAGS_MAX;
use kvs_core::precondition::{Precondition, Tags};
use uuid::Uuid;

use crate::problem::{Code, Problem};

/// How two tags are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Reads the conditions of a request.
///
/// # Errors
///
/// [`Code::BadCondition`] for a field that is not well-formed or has more than [`ENTITY_TAGS_MAX`] tags, and for
/// `If-Unmodified-Since` (a second is too coarse to protect a write, and ignoring it would pretend to).
pub(crate) fn read(headers: &HeaderMap) -> Result<Precondition, Problem> {
    if headers.contains_key(IF_UNMODIFIED_SINCE) {
        return Err(bad(
            "If-Unmodified-Since is not supported: use If-Match with the value of ETag".to_owned()
        ));
    }
    Ok(Precondition {
        if_match: tags(headers, &IF_MATCH, Comparison::Strong)?,
        if_none_match: tags(headers, &IF_NONE_MATCH, Comparison::Weak)?,
    })
}

/// Reads a tag given as bare text, as in the operations of a batch: `*` or a uuid.
pub(crate) fn tags_of_text(text: &str) -> Option<Tags> {
    if text == "*" { Some(Tags::Any) } else { uuid_of(text.as_bytes()).map(|uuid| Tags::OneOf(vec![uuid])) }
}

/// A version's uuid in its one written form: lower case with hyphens.
pub(crate) fn uuid_of(text: &[u8]) -> Option<Uuid> {
    let uuid = Uuid::try_parse_ascii(text).ok()?;
    (uuid.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes() == text).then_some(uuid)
}

fn tags(headers: &HeaderMap, name: &HeaderName, comparison: Comparison) -> Result<Option<Tags>, Problem> {
    let mut fields = headers.get_all(name).iter().peekable();
    if fields.peek().is_none() {
        return Ok(None);
    }
    let mut uuids = Vec::new();
    let mut count = 0;
    let mut any = 0;
    for field in fields {
        let mut rest = trim(field.as_bytes());
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix(b",") {
                rest = trim(after);
                continue;
            }
            let after = if let Some(after) = rest.strip_prefix(b"*") {
                any += 1;
                after
            } else {
                let (tag, after) = entity_tag(rest).ok_or_else(|| malformed(name))?;
                if (!tag.weak || comparison == Comparison::Weak)
                    && let Some(uuid) = uuid_of(tag.opaque)
                {
                    uuids.push(uuid);
                }
                after
            };
            count += 1;
            if count > ENTITY_TAGS_MAX {
                return Err(bad(format!("{name} has more than {ENTITY_TAGS_MAX} tags")));
            }
            rest = trim(after);
            if !rest.is_empty() && !rest.starts_with(b",") {
                return Err(malformed(name));
            }
        }
    }
    match (any, count) {
        (1, 1) => Ok(Some(Tags::Any)),
        (0, 1..) => Ok(Some(Tags::OneOf(uuids))),
        _ => Err(malformed(name)),
    }
}

struct EntityTag<'a> {
    weak: bool,
    opaque: &'a [u8],
}

/// Reads one tag at the start of `text`; returns what is behind it.
fn entity_tag(text: &[u8]) -> Option<(EntityTag<'_>, &[u8])> {
    let (weak, quoted) = match text.strip_prefix(b"W/") {
        Some(quoted) => (true, quoted),
        None => (false, text),
    };
    let inner = quoted.strip_prefix(b"\"")?;
    let end = inner.iter().position(|byte| *byte == b'"')?;
    let (opaque, after) = inner.split_at_checked(end)?;
    let valid = opaque.iter().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..));
    valid.then_some((EntityTag { weak, opaque }, after.get(1..)?))
}

fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

fn malformed(name: &HeaderName) -> Problem {
    bad(format!("{name} takes * or a list of entity tags in double quotes, such as \"UUID\""))
}

fn bad(detail: String) -> Problem {
    Problem::new(Code::BadCondition, detail)
}

#[cfg(test)]
mod tests {
    use super::{read, tags_of_text};
    use crate::problem::Code;
    use http::{HeaderMap, HeaderName, HeaderValue};
    use kvs_core::precondition::{Precondition, Tags};
    use uuid::Uuid;

    const ONE: &str = "11111111-1111-4111-8111-111111111111";
    const TWO: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";

    fn conditions(fields: &[(&'static str, &str)]) -> Result<Precondition, Code> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        read(&headers).map_err(|problem| problem.code)
    }

    fn if_match(value: &str) -> Result<Option<Tags>, Code> {
        conditions(&[("if-match", value)]).map(|read| read.if_match)
    }

    fn uuid(text: &str) -> Uuid {
        Uuid::parse_str(text).unwrap()
    }

    #[test]
    fn lists_of_tags_in_one_field_or_several_are_one_list() {
        let both = Ok(Some(Tags::OneOf(vec![uuid(ONE), uuid(TWO)])));
        assert_eq!(if_match(&format!("\"{ONE}\", \"{TWO}\"")), both);
        assert_eq!(if_match(&format!(",\"{ONE}\",,\t\"{TWO}\" ,")), both);
        let fields = [("if-match", format!("\"{ONE}\"")), ("if-match", format!("\"{TWO}\""))];
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(conditions(&fields).map(|read| read.if_match), both);
    }

    #[test]
    fn a_star_stands_alone() {
        assert_eq!(if_match("*"), Ok(Some(Tags::Any)));
        assert_eq!(if_match(" * "), Ok(Some(Tags::Any)));
        assert_eq!(if_match(&format!("*, \"{ONE}\"")), Err(Code::BadCondition));
        assert_eq!(if_match("*, *"), Err(Code::BadCondition));
    }

    #[test]
    fn a_weak_tag_matches_weakly_only() {
        let weak = format!("W/\"{ONE}\"");
        assert_eq!(if_match(&weak), Ok(Some(Tags::OneOf(vec![]))));
        let read = conditions(&[("if-none-match", &weak)]).unwrap();
        assert_eq!(read.if_none_match, Some(Tags::OneOf(vec![uuid(ONE)])));
    }

    #[test]
    fn a_foreign_tag_is_well_formed_and_matches_nothing() {
        for foreign in ["\"\"", "\"v1,2\"", &format!("\"{}\"", TWO.to_uppercase()), "\"\u{e9}\""] {
            assert_eq!(if_match(foreign), Ok(Some(Tags::OneOf(vec![]))), "{foreign}");
        }
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        for text in ["", ",", ONE, "\"a", "\"a\" \"b\"", "w/\"a\"", "W/ \"a\"", "\"a b\"", "'a'"] {
            assert_eq!(if_match(text), Err(Code::BadCondition), "{text:?}");
        }
        let many = vec!["\"a\""; 17].join(",");
        assert_eq!(if_match(&many), Err(Code::BadCondition));
    }

    #[test]
    fn a_date_is_no_condition_for_a_write() {
        let date = "Thu, 01 Jan 2026 00:00:00 GMT";
        assert_eq!(conditions(&[("if-unmodified-since", date)]), Err(Code::BadCondition));
        assert_eq!(conditions(&[("if-modified-since", date)]), Ok(Precondition::default()));
    }

    #[test]
    fn bare_texts_are_a_star_or_a_uuid() {
        assert_eq!(tags_of_text("*"), Some(Tags::Any));
        assert_eq!(tags_of_text(ONE), Some(Tags::OneOf(vec![uuid(ONE)])));
        assert_eq!(tags_of_text("v1"), None);
        assert_eq!(tags_of_text(&TWO.to_uppercase()), None);
    }
}
