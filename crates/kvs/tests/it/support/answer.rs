//! One HTTP answer, and what every answer of a node must fulfil.

use serde::de::Deserialize as _;
use serde_json::Value;

/// Reads JSON of any depth: an answer is a little deeper than the value in it, which may use up the parser's own limit.
pub(crate) fn parse(text: &[u8]) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    reader.disable_recursion_limit();
    let value = Value::deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// An answer as it came, chunks put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The header fields in their order, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// Whether the request was a `HEAD`, so that there is no body whatever the header says.
    pub(crate) head_only: bool,
}

impl Answer {
    /// The value of a header field, which must not come twice. `name` is in lower case.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values =
            self.headers.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str());
        let first = values.next();
        assert_eq!(values.next(), None, "{name} comes twice: {self:?}");
        first
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        parse(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.shown()))
    }

    /// The body as text.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// A member of the JSON body that is a text.
    #[track_caller]
    pub(crate) fn word(&self, member: &str) -> String {
        let json = self.json();
        json[member].as_str().unwrap_or_else(|| panic!("no text {member}: {}", self.shown())).to_owned()
    }

    /// The version in the body of the answer to a read or a write.
    #[track_caller]
    pub(crate) fn uuid(&self) -> String {
        self.word("uuid")
    }

    /// The stable code of an error; empty for an answer that is none.
    pub(crate) fn code(&self) -> String {
        let json: Option<Value> = serde_json::from_slice(&self.body).ok();
        json.and_then(|json| json["code"].as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// The same, after checking the status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.shown());
        self
    }

    /// The same, after checking that it is the error `code` with this status.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{}", self.shown());
        self
    }

    /// Checks what the contract promises for every answer: an id, and errors as problem documents.
    #[track_caller]
    pub(crate) fn check(&self) {
        if self.status < 200 {
            return;
        }
        assert!(
            self.header("x-request-id").is_some_and(|id| !id.is_empty()),
            "no X-Request-Id: {}",
            self.shown()
        );
        if self.status < 400 {
            return;
        }
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.shown());
        if self.head_only {
            assert!(self.body.is_empty());
            return;
        }
        let problem = self.json();
        for member in ["type", "title", "detail", "code"] {
            assert!(problem[member].is_string(), "no text {member}: {}", self.shown());
        }
        assert_eq!(problem["status"], self.status, "{}", self.shown());
        let code = self.code();
        assert!(
            !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{code:?} is no lower-case word"
        );
    }

    /// The answer in readable form, shortened.
    pub(crate) fn shown(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        let short: String = body.chars().take(600).collect();
        format!("{} {:?}\n{short}", self.status, self.headers)
    }
}
