//! What a text means for the kind of a key, and the words for what is wrong with it.
//!
//! YAML guesses types from the look of a text; here the key decides, and a text that looks like another type than the
//! key takes is refused with a hint about quotes. So `node_id: 5` and `port: "8080"` are both told what to change.

use std::net::IpAddr;
use std::time::Duration;

use crate::document::Raw;
use crate::duration::parse_ttl;
use crate::error::echo;
use crate::keys::Kind;
use crate::limits::{LIST_VALUES_MAX, NODE_ID_BYTES_MAX, PATH_BYTES_MAX, SCHEDULE_BYTES_MAX, SECRET_BYTES};
use crate::network::Network;
use crate::peer::is_peer;

/// A value that is valid for the kind of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Switch(bool),
    Whole(u64),
    Word(&'static str),
    /// Also of the optional kinds, where an empty text is none.
    Text(String),
    Ip(IpAddr),
    Peers(Vec<String>),
    Networks(Vec<Network>),
    /// `None` is never.
    Span(Option<Duration>),
}

/// What stands where something else was expected. `line` is set when it is not the line of the key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) got: String,
    pub(crate) line: Option<usize>,
}

/// What a text without quotes looks like to YAML (core schema).
#[derive(PartialEq, Eq)]
enum Look {
    Nothing,
    Switch(bool),
    Number,
    Text,
}

/// Reads `raw` as a value of `kind`.
pub(crate) fn read(kind: &Kind, raw: &Raw) -> Result<Value, Wrong> {
    match kind {
        Kind::Switch => switch(raw).map(Value::Switch),
        Kind::Whole { min, max, .. } => whole(raw, *min, *max).map(Value::Whole),
        Kind::Word(words) => word(words, raw).map(Value::Word),
        Kind::Name => text(raw, |name| (1..=NODE_ID_BYTES_MAX).contains(&name.len())).map(Value::Text),
        Kind::Ip => ip(raw).map(Value::Ip),
        Kind::Path => text(raw, |path| (1..=PATH_BYTES_MAX).contains(&path.len())).map(Value::Text),
        Kind::OptionalPath => optional(raw, |path| path.len() <= PATH_BYTES_MAX).map(Value::Text),
        Kind::OptionalPeer => optional(raw, is_peer).map(Value::Text),
        Kind::OptionalSecret => optional(raw, |secret| SECRET_BYTES.contains(&secret.len()))
            .map(Value::Text)
            .map_err(|wrong| Wrong { got: veiled(raw), ..wrong }),
        Kind::Peers => list(raw, |text| is_peer(text).then(|| text.to_owned())).map(Value::Peers),
        Kind::Networks => list(raw, |text| text.parse().ok()).map(Value::Networks),
        Kind::Ttl => span(raw).map(Value::Span),
        Kind::Window { min_s, max_s } => span(raw)?
            .filter(|span| (*min_s..=*max_s).contains(&span.as_secs()))
            .map(|span| Value::Span(Some(span)))
            .ok_or_else(|| wrong(raw)),
        Kind::Schedule => {
            text(raw, |cron| !cron.trim().is_empty() && cron.len() <= SCHEDULE_BYTES_MAX).map(Value::Text)
        }
    }
}

fn switch(raw: &Raw) -> Result<bool, Wrong> {
    match raw {
        Raw::Plain(text) => match look(text) {
            Look::Switch(on) => Ok(on),
            _ => Err(wrong(raw)),
        },
        Raw::Variable(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Raw::Variable(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Raw::Quoted(text) if matches!(look(text), Look::Switch(_)) => {
            Err(wrong_with(raw, "remove the quotes"))
        }
        _ => Err(wrong(raw)),
    }
}

fn whole(raw: &Raw, min: u64, max: u64) -> Result<u64, Wrong> {
    let (Raw::Plain(text) | Raw::Variable(text) | Raw::Quoted(text)) = raw else { return Err(wrong(raw)) };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && matches!(raw, Raw::Quoted(_)) {
        return Err(wrong_with(raw, "remove the quotes"));
    }
    // A number too large for the type is out of the range too.
    let number = if digits { text.parse().ok() } else { None };
    number.filter(|number| (min..=max).contains(number)).ok_or_else(|| wrong(raw))
}

fn word(words: &'static [&'static str], raw: &Raw) -> Result<&'static str, Wrong> {
    let (Raw::Plain(text) | Raw::Variable(text) | Raw::Quoted(text)) = raw else { return Err(wrong(raw)) };
    words.iter().find(|word| *word == text).copied().ok_or_else(|| wrong(raw))
}

fn ip(raw: &Raw) -> Result<IpAddr, Wrong> {
    let (Raw::Plain(text) | Raw::Variable(text) | Raw::Quoted(text)) = raw else { return Err(wrong(raw)) };
    text.parse().map_err(|_| wrong(raw))
}

fn span(raw: &Raw) -> Result<Option<Duration>, Wrong> {
    // A bare number of seconds is a duration too, so the look does not matter here.
    let (Raw::Plain(text) | Raw::Variable(text) | Raw::Quoted(text)) = raw else { return Err(wrong(raw)) };
    parse_ttl(text).map_err(|_| wrong(raw))
}

/// A text that `fits`, written as one.
fn text(raw: &Raw, fits: impl Fn(&str) -> bool) -> Result<String, Wrong> {
    let text = match raw {
        Raw::Quoted(text) | Raw::Variable(text) => text,
        Raw::Plain(text) => match look(text) {
            Look::Text => text,
            Look::Nothing => return Err(wrong(raw)),
            Look::Switch(_) | Look::Number => return Err(wrong_with(raw, "write it in quotes")),
        },
        Raw::List(_) | Raw::LongList | Raw::Nested => return Err(wrong(raw)),
    };
    let clean = !text.chars().any(char::is_control);
    if clean && fits(text) { Ok(text.clone()) } else { Err(wrong(raw)) }
}

/// The same, or nothing at all.
fn optional(raw: &Raw, fits: impl Fn(&str) -> bool) -> Result<String, Wrong> {
    match raw {
        Raw::Plain(text) if look(text) == Look::Nothing => Ok(String::new()),
        _ => text(raw, |text| text.is_empty() || fits(text)),
    }
}

/// A list of texts that each `parse`; a variable divides them with commas.
fn list<T>(raw: &Raw, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Wrong> {
    match raw {
        Raw::List(values) => values
            .iter()
            .map(|(value, line)| {
                let at_line = |wrong| Wrong { line: Some(*line), ..wrong };
                let text = text(value, |_| true).map_err(at_line)?;
                parse(&text).ok_or_else(|| at_line(wrong(value)))
            })
            .collect(),
        Raw::Plain(text) if look(text) == Look::Nothing => Ok(Vec::new()),
        Raw::Variable(text) if text.trim().is_empty() => Ok(Vec::new()),
        Raw::Variable(text) => {
            if text.split(',').nth(LIST_VALUES_MAX).is_some() {
                return Err(wrong(&Raw::LongList));
            }
            let part = |part: &str| parse(part.trim()).ok_or_else(|| wrong(&Raw::Variable(part.to_owned())));
            text.split(',').map(part).collect()
        }
        Raw::Plain(_) | Raw::Quoted(_) => Err(wrong_with(raw, "write it as [value, ...]")),
        Raw::LongList | Raw::Nested => Err(wrong(raw)),
    }
}

/// How YAML 1.2 (core schema, section 10.3.2) resolves a text without quotes.
fn look(text: &str) -> Look {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Look::Nothing,
        "true" | "True" | "TRUE" => Look::Switch(true),
        "false" | "False" | "FALSE" => Look::Switch(false),
        ".nan" | ".NaN" | ".NAN" => Look::Number,
        _ => {
            let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
            let infinite = matches!(unsigned, ".inf" | ".Inf" | ".INF");
            // The standard parser takes words such as `infinity`, which YAML does not.
            let decimal = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
                && unsigned.parse::<f64>().is_ok();
            let hex = text.strip_prefix("0x").is_some_and(|digits| is_number_of(digits, 16));
            let octal = text.strip_prefix("0o").is_some_and(|digits| is_number_of(digits, 8));
            if infinite || decimal || hex || octal { Look::Number } else { Look::Text }
        }
    }
}

fn is_number_of(digits: &str, radix: u32) -> bool {
    !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix))
}

fn wrong(raw: &Raw) -> Wrong {
    let got = match raw {
        Raw::Plain(text) => match look(text) {
            Look::Nothing => "nothing".to_owned(),
            Look::Number => format!("the number {}", echo(text)),
            Look::Switch(_) => echo(text),
            Look::Text => format!("\"{}\"", echo(text)),
        },
        Raw::Quoted(text) => format!("the text \"{}\"", echo(text)),
        Raw::Variable(text) => format!("\"{}\"", echo(text)),
        Raw::List(_) => "a list".to_owned(),
        Raw::LongList => format!("a list of more than {LIST_VALUES_MAX}"),
        Raw::Nested => "a nested list or mapping".to_owned(),
    };
    Wrong { got, line: None }
}

fn wrong_with(raw: &Raw, hint: &str) -> Wrong {
    let wrong = wrong(raw);
    Wrong { got: format!("{}; {hint}", wrong.got), ..wrong }
}

/// What may be said of a wrong secret.
fn veiled(raw: &Raw) -> String {
    match raw {
        Raw::Plain(text) if matches!(look(text), Look::Number | Look::Switch(_)) => {
            "a number or switch; write it in quotes".to_owned()
        }
        Raw::Plain(text) | Raw::Quoted(text) | Raw::Variable(text) if text.chars().any(char::is_control) => {
            "control characters in it".to_owned()
        }
        Raw::Plain(text) | Raw::Quoted(text) | Raw::Variable(text) => format!("{} bytes", text.len()),
        Raw::List(_) | Raw::LongList | Raw::Nested => wrong(raw).got,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: Kind = Kind::Whole { min: 1, max: 9999, unit: "" };

    fn plain(kind: &Kind, text: &str) -> Result<Value, String> {
        read(kind, &Raw::Plain(text.to_owned())).map_err(|wrong| wrong.got)
    }

    fn quoted(kind: &Kind, text: &str) -> Result<Value, String> {
        read(kind, &Raw::Quoted(text.to_owned())).map_err(|wrong| wrong.got)
    }

    fn variable(kind: &Kind, text: &str) -> Result<Value, String> {
        read(kind, &Raw::Variable(text.to_owned())).map_err(|wrong| wrong.got)
    }

    fn got<T>(got: &str) -> Result<T, String> {
        Err(got.to_owned())
    }

    #[test]
    fn a_number_is_digits_without_quotes_and_within_its_range() {
        assert_eq!(plain(&PORT, "8080"), Ok(Value::Whole(8080)));
        assert_eq!(variable(&PORT, "8080"), Ok(Value::Whole(8080)));
        assert_eq!(quoted(&PORT, "8080"), got("the text \"8080\"; remove the quotes"));
        for text in ["0", "10000", "-1", "+1", "1.0", "1e3", "0x10", "99999999999999999999999"] {
            assert_eq!(plain(&PORT, text), got(&format!("the number {text}")));
        }
        assert_eq!(plain(&PORT, "1_000"), got("\"1_000\""));
        assert_eq!(plain(&PORT, ""), got("nothing"));
        assert_eq!(variable(&PORT, "tcp://10.0.0.1:80"), got("\"tcp://10.0.0.1:80\""));
    }

    #[test]
    fn a_switch_is_true_or_false_without_quotes() {
        assert_eq!(plain(&Kind::Switch, "True"), Ok(Value::Switch(true)));
        assert_eq!(variable(&Kind::Switch, "FALSE"), Ok(Value::Switch(false)));
        assert_eq!(plain(&Kind::Switch, "yes"), got("\"yes\""));
        assert_eq!(plain(&Kind::Switch, "1"), got("the number 1"));
        assert_eq!(quoted(&Kind::Switch, "true"), got("the text \"true\"; remove the quotes"));
    }

    #[test]
    fn a_text_that_looks_like_something_else_needs_quotes() {
        assert_eq!(plain(&Kind::Name, "alpha"), Ok(Value::Text("alpha".to_owned())));
        assert_eq!(quoted(&Kind::Name, "5"), Ok(Value::Text("5".to_owned())));
        assert_eq!(variable(&Kind::Name, "5"), Ok(Value::Text("5".to_owned())));
        for text in ["5", "1e5", "-.inf", "0x1F", ".5"] {
            assert_eq!(plain(&Kind::Name, text), got(&format!("the number {text}; write it in quotes")));
        }
        assert_eq!(plain(&Kind::Name, "true"), got("true; write it in quotes"));
        assert_eq!(plain(&Kind::Name, "infinity"), Ok(Value::Text("infinity".to_owned())));
        assert_eq!(plain(&Kind::Name, "~"), got("nothing"));
        assert_eq!(quoted(&Kind::Name, "a\nb"), got("the text \"a\\nb\""));
        assert_eq!(quoted(&Kind::Name, ""), got("the text \"\""));
    }

    #[test]
    fn a_secret_is_never_repeated() {
        assert_eq!(plain(&Kind::OptionalSecret, "hunter2"), got("7 bytes"));
        assert_eq!(quoted(&Kind::OptionalSecret, "hunter\n22"), got("control characters in it"));
        assert_eq!(plain(&Kind::OptionalSecret, "12345678"), got("a number or switch; write it in quotes"));
        assert_eq!(variable(&Kind::OptionalSecret, ""), Ok(Value::Text(String::new())));
        assert_eq!(
            plain(&Kind::OptionalSecret, "correct horse"),
            Ok(Value::Text("correct horse".to_owned()))
        );
    }

    #[test]
    fn a_list_may_be_empty_and_names_the_line_of_a_wrong_value() {
        let peer = || Raw::Plain("a:1".to_owned());
        assert_eq!(plain(&Kind::Peers, ""), Ok(Value::Peers(Vec::new())));
        assert_eq!(variable(&Kind::Peers, " "), Ok(Value::Peers(Vec::new())));
        assert_eq!(
            variable(&Kind::Peers, "a:1, b:2"),
            Ok(Value::Peers(vec!["a:1".to_owned(), "b:2".to_owned()]))
        );
        assert_eq!(variable(&Kind::Peers, "a:1,,b:2"), got("\"\""));
        assert_eq!(variable(&Kind::Peers, &"a:1,".repeat(256)), got("a list of more than 256"));
        assert_eq!(plain(&Kind::Peers, "a:1"), got("\"a:1\"; write it as [value, ...]"));
        let list = Raw::List(vec![(peer(), 4), (Raw::Plain("b".to_owned()), 5)]);
        assert_eq!(read(&Kind::Peers, &list), Err(Wrong { got: "\"b\"".to_owned(), line: Some(5) }));
    }

    #[test]
    fn a_duration_is_a_text_or_a_number_of_seconds() {
        let window = Kind::Window { min_s: 1, max_s: 60 };
        assert_eq!(plain(&Kind::Ttl, "90"), Ok(Value::Span(Some(Duration::from_secs(90)))));
        assert_eq!(quoted(&Kind::Ttl, "0"), Ok(Value::Span(None)));
        assert_eq!(plain(&Kind::Ttl, "-1"), got("the number -1"));
        assert_eq!(plain(&window, "1m"), Ok(Value::Span(Some(Duration::from_secs(60)))));
        assert_eq!(plain(&window, "61s"), got("\"61s\""));
        assert_eq!(quoted(&window, "0"), got("the text \"0\""));
    }
}
