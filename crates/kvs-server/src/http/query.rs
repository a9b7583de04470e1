//! The query of a request: names and values, decoded once, each known and given once.
//!
//! A parameter that nobody reads is most often a typo, and a typo that is silently ignored lists or deletes the wrong
//! keys; so unknown and doubled ones are refused by name. `+` stands for a space, as in HTML forms.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::problem::{Code, Problem};

/// Most parameters in one query; every route knows fewer.
const PARAMETERS_MAX: usize = 16;

/// The parameters of one request.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    parameters: Vec<(&'a str, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    /// Reads `query` (without `?`), whose parameters must be among `known`.
    ///
    /// # Errors
    ///
    /// [`Code::BadQuery`] naming the known ones.
    pub(crate) fn read(query: Option<&'a str>, known: &'static [&'static str]) -> Result<Self, Problem> {
        let mut parameters: Vec<(&'static str, Cow<'a, str>)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            let Some(name) = known.iter().copied().find(|known| **known == *name) else {
                return Err(unknown(&name, known));
            };
            if parameters.iter().any(|(seen, _)| *seen == name) {
                return Err(Problem::new(Code::BadQuery, format!("{name} is given twice")));
            }
            if parameters.len() == PARAMETERS_MAX {
                return Err(Problem::new(Code::BadQuery, "too many parameters"));
            }
            parameters.push((name, decode(value)?));
        }
        Ok(Self { parameters })
    }

    /// The value of a parameter; `None` when it is not given.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_ref())
    }

    /// The value of a switch: `true` or `false`; the name alone is `true`, no mention is `false`.
    ///
    /// # Errors
    ///
    /// [`Code::BadQuery`] for another value.
    pub(crate) fn switch(&self, name: &str) -> Result<bool, Problem> {
        match self.value(name) {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(_) => Err(Problem::new(Code::BadQuery, format!("{name} takes true or false"))),
        }
    }
}

fn unknown(name: &str, known: &[&str]) -> Problem {
    let known = if known.is_empty() {
        "takes no parameters".to_owned()
    } else {
        format!("takes {}", known.join(", "))
    };
    Problem::new(Code::BadQuery, format!("unknown parameter {}; this resource {known}", shown(name)))
}

/// Characters of an unknown name that an error repeats.
const SHOWN_CHARS_MAX: usize = 40;

fn shown(name: &str) -> String {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect();
    format!("'{shown}'")
}

fn decode(text: &str) -> Result<Cow<'_, str>, Problem> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    if has_bad_escape(text.as_bytes()) {
        return Err(Problem::new(Code::BadQuery, "a '%' without two hexadecimal digits behind it"));
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode(spaced.as_bytes())
        .decode_utf8()
        .map_err(|_| Problem::new(Code::BadQuery, "a parameter is not valid UTF-8"))?;
    Ok(Cow::Owned(decoded.into_owned()))
}

/// The decoder lets a lone `%` through as itself.
fn has_bad_escape(text: &[u8]) -> bool {
    text.iter().enumerate().any(|(place, byte)| {
        let digits = text.get(place + 1..place + 3);
        *byte == b'%' && !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::Query;
    use crate::problem::Code;

    const KNOWN: &[&str] = &["prefix", "limit", "reverse"];

    fn refusal(query: &str) -> Code {
        Query::read(Some(query), KNOWN).unwrap_err().code
    }

    #[test]
    fn values_are_decoded_once() {
        let query = Query::read(Some("prefix=a%2Fb+c%2Bd%2525&limit=5"), KNOWN).unwrap();
        assert_eq!(query.value("prefix"), Some("a/b c+d%25"));
        assert_eq!(query.value("limit"), Some("5"));
        assert_eq!(query.value("reverse"), None);
    }

    #[test]
    fn a_switch_is_on_by_its_name_alone() {
        for (query, on) in [("reverse", true), ("reverse=true", true), ("reverse=false", false), ("", false)]
        {
            assert_eq!(Query::read(Some(query), KNOWN).unwrap().switch("reverse"), Ok(on), "{query}");
        }
        assert!(Query::read(Some("reverse=1"), KNOWN).unwrap().switch("reverse").is_err());
    }

    #[test]
    fn typos_and_doubled_names_are_refused() {
        assert_eq!(refusal("prefx=a"), Code::BadQuery);
        assert_eq!(refusal("limit=1&limit=2"), Code::BadQuery);
        assert_eq!(refusal("prefix=%zz"), Code::BadQuery);
        assert_eq!(refusal("prefix=%"), Code::BadQuery);
        assert_eq!(refusal("prefix=%ff"), Code::BadQuery);
        let detail = Query::read(Some("prefx=a"), KNOWN).unwrap_err().detail;
        assert_eq!(detail, "unknown parameter 'prefx'; this resource takes prefix, limit, reverse");
    }
}
