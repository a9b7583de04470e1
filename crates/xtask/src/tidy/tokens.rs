//! The words and marks of a Rust file: no comments, no literals, no test code.
//!
//! Just enough of the language to find paths in it. An item under `#[cfg(test)]` ends with its `;` or its closing brace.

/// A word, a `::` or one other mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// As it is written.
    pub(crate) text: &'a str,
    /// The line it stands on, counted from 1.
    pub(crate) line: usize,
}

/// What a file says outside its tests.
#[derive(Debug, Default)]
pub(crate) struct Code<'a> {
    /// All that is not test code, in order.
    pub(crate) tokens: Vec<Token<'a>>,
    /// The modules in other files that are declared for tests only.
    pub(crate) test_modules: Vec<&'a str>,
}

/// Reads a file.
pub(crate) fn code(text: &str) -> Code<'_> {
    let all = tokens(text);
    let mut code = Code::default();
    let mut rest = all.as_slice();
    while let Some((first, after)) = rest.split_first() {
        if text_at(rest, 0) == "#" && text_at(rest, 1) == "!" && is_for_tests(after) {
            return Code::default();
        }
        if first.text == "#" && is_for_tests(rest) {
            let (item, after) = rest.split_at(item_length(rest));
            code.test_modules.extend(declared_module(item));
            rest = after;
        } else {
            code.tokens.push(*first);
            rest = after;
        }
    }
    code
}

/// The text of a token, or nothing past the end.
pub(crate) fn text_at<'a>(tokens: &[Token<'a>], place: usize) -> &'a str {
    tokens.get(place).map_or("", |token| token.text)
}

/// Whether a token is a name or a keyword.
pub(crate) fn is_word(text: &str) -> bool {
    text.starts_with(is_word_character)
}

fn is_word_character(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while !rest.is_empty() {
        let (length, is_code) = piece(rest);
        let (piece, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if is_code {
            tokens.push(Token { text: piece, line });
        }
        line += piece.matches('\n').count();
        rest = after;
    }
    tokens
}

/// How many bytes the first piece of the text has, and whether it is a token.
fn piece(text: &str) -> (usize, bool) {
    let word = text.find(|c| !is_word_character(c)).unwrap_or(text.len());
    let (prefix, after) = text.split_at_checked(word).unwrap_or((text, ""));
    if matches!(prefix, "r" | "br" | "cr") {
        let hashes = after.len() - after.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        if let Some(inside) = after.trim_start_matches('#').strip_prefix('"') {
            let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
            return (text.len() - inside.len() + length, false);
        }
    }
    if matches!(prefix, "" | "b" | "c") {
        if let Some(inside) = after.strip_prefix('"') {
            return (word + 1 + quoted(inside, '"'), false);
        }
        if let Some(inside) = after.strip_prefix('\'')
            && (inside.starts_with('\\') || inside.chars().nth(1) == Some('\''))
        {
            return (word + 1 + quoted(inside, '\''), false);
        }
    }
    if word > 0 {
        return (word, true);
    }
    if text.starts_with("//") {
        return (text.find('\n').unwrap_or(text.len()), false);
    }
    if text.starts_with("/*") {
        return (block_comment(text), false);
    }
    if text.starts_with("::") {
        return (2, true);
    }
    let first = text.chars().next().unwrap_or_default();
    (first.len_utf8(), !first.is_whitespace())
}

/// The length of a literal after its opening quote, with the closing one.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == quote && !escaped {
            return at + c.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

/// The length of a comment that may hold comments.
fn block_comment(text: &str) -> usize {
    let (mut length, mut depth) = (0, 0_usize);
    while let Some(rest) = text.get(length..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            length += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            length += 2;
            if depth == 0 {
                return length;
            }
        } else {
            length += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Whether the attribute that begins here, with `#[` or (without its `#`) with `![`, is a `cfg` for tests.
fn is_for_tests(tokens: &[Token<'_>]) -> bool {
    let attribute = attribute_length(tokens);
    let inside: Vec<&str> = tokens.iter().take(attribute).skip(2).map(|token| token.text).collect();
    inside.starts_with(&["cfg", "("]) && inside.contains(&"test") && !inside.contains(&"not")
}

/// The number of tokens of the attribute that begins here.
fn attribute_length(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0_usize;
    for (place, token) in tokens.iter().enumerate().skip(1) {
        match token.text {
            "[" => depth += 1,
            "]" if depth <= 1 => return place + 1,
            "]" => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The number of tokens of the item that begins here with an attribute.
fn item_length(tokens: &[Token<'_>]) -> usize {
    let mut start = 0;
    while text_at(tokens, start) == "#" {
        start += attribute_length(tokens.get(start..).unwrap_or_default());
    }
    let mut depth = 0_usize;
    for (place, token) in tokens.iter().enumerate().skip(start) {
        match token.text {
            ";" if depth == 0 => return place + 1,
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 0 => return place,
            "}" if depth == 1 => return place + 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The name in an item that ends with `mod name;`.
fn declared_module<'a>(item: &[Token<'a>]) -> Option<&'a str> {
    match item {
        [.., word, name, end] if word.text == "mod" && end.text == ";" => Some(name.text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        code(text).tokens.iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_literals_are_left_out() {
        let text = "//! crate::a\nuse b::c; /* d /* e */ f */ g(\"h \\\" i\", r#\"j \" k\"#, 'l', '\\'', b'm', b\"n\");";
        assert_eq!(words(text).join(" "), "use b :: c ; g ( , , , , , ) ;");
        assert_eq!(words("fn f<'a>(x: &'a str)").join(" "), "fn f < ' a > ( x : & ' a str )");
    }

    #[test]
    fn a_token_knows_its_line() {
        let read = code("a\n\"x\ny\"\nb");
        assert_eq!(read.tokens, [Token { text: "a", line: 1 }, Token { text: "b", line: 4 }]);
    }

    #[test]
    fn test_code_is_left_out() {
        let text = "a;\n#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests;\nb;\n#[cfg(test)]\nmod t { fn f() { c } }\n\
                    #[cfg(not(test))]\nd;\n#[cfg(test)]\nfn g(x: [u8; 2]) { e }\nh;";
        let read = code(text);
        assert_eq!(read.test_modules, ["tests"]);
        assert_eq!(words(text).join(" "), "a ; b ; # [ cfg ( not ( test ) ) ] d ; h ;");
        assert!(words("#![cfg(test)]\na;").is_empty());
    }
}
