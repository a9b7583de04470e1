//! The paths of a file that lead to other files of its crate.
//!
//! Read are `crate::`, `super::` and `self::` in `use` lines and in code, and names of modules that a `use` or a `mod`
//! line brought in. A name of another crate is no such path, and neither is a method: it does not say where it is from.

use std::collections::BTreeMap;

use crate::tidy::tokens::{Token, is_word, text_at};

/// A module as the names that lead to it from the root of its crate.
pub(crate) type Module = Vec<String>;

/// A path that was found in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The names from the root of the crate; a module first, then perhaps an item in it.
    pub(crate) path: Vec<String>,
    /// The line that names it, counted from 1.
    pub(crate) line: usize,
}

/// Every path in the file of `module`; `is_module` knows the modules of the crate.
pub(crate) fn paths(
    tokens: &[Token<'_>],
    module: &[String],
    is_module: impl Fn(&[String]) -> bool,
) -> Vec<Found> {
    let mut found = Vec::new();
    let mut known = BTreeMap::from([("crate".to_owned(), Vec::new()), ("self".to_owned(), module.to_vec())]);
    if let Some((_, parent)) = module.split_last() {
        known.insert("super".to_owned(), parent.to_vec());
    }
    for place in 0..tokens.len() {
        if text_at(tokens, place) == "mod" && text_at(tokens, place + 2) == ";" {
            let name = text_at(tokens, place + 1).to_owned();
            known.insert(name.clone(), [module, &[name]].concat());
        }
    }
    let imported = follow(tokens, &known, &mut found);
    found.clear();
    known.extend(imported.into_iter().filter(|(_, path)| is_module(path)));
    follow(tokens, &known, &mut found);
    found
}

/// Follows every path that begins with a known name; gives the names that end one, with what they stand for.
fn follow(
    tokens: &[Token<'_>],
    known: &BTreeMap<String, Module>,
    found: &mut Vec<Found>,
) -> Vec<(String, Vec<String>)> {
    let mut names = Vec::new();
    let mut place = 0;
    while let Some(token) = tokens.get(place) {
        let before = place.checked_sub(1).map_or("", |before| text_at(tokens, before));
        let start = known.get(token.text).filter(|_| !matches!(before, "::" | "." | "mod"));
        place += 1;
        if let Some(start) = start
            && text_at(tokens, place) == "::"
        {
            place = tree(tokens, place + 1, start.clone(), found, &mut names);
        }
    }
    names
}

/// Follows one path, or the paths in a group, from after a `::`; gives the place behind it.
fn tree(
    tokens: &[Token<'_>],
    place: usize,
    mut path: Vec<String>,
    found: &mut Vec<Found>,
    names: &mut Vec<(String, Vec<String>)>,
) -> usize {
    let Some(token) = tokens.get(place) else { return place };
    if token.text == "{" {
        let mut place = place + 1;
        while place < tokens.len() && text_at(tokens, place) != "}" {
            place = match text_at(tokens, place) {
                "," => place + 1,
                _ => tree(tokens, place, path.clone(), found, names).max(place + 1),
            };
        }
        return place + 1;
    }
    match token.text {
        "super" => drop(path.pop()),
        "self" => {}
        word if is_word(word) => path.push(word.to_owned()),
        // A `*`, or the `<` of a type: what was named ends here.
        _ => {
            found.push(Found { path, line: token.line });
            return if token.text == "*" { place + 1 } else { place };
        }
    }
    if text_at(tokens, place + 1) == "::" {
        return tree(tokens, place + 2, path, found, names);
    }
    let (name, behind) = match text_at(tokens, place + 1) {
        "as" => (text_at(tokens, place + 2).to_owned(), place + 3),
        // After `{self}` it is the module's own name.
        _ => (path.last().cloned().unwrap_or_default(), place + 1),
    };
    names.push((name, path.clone()));
    found.push(Found { path, line: token.line });
    behind
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tokens::code;

    fn found(text: &str) -> Vec<String> {
        let module = ["a".to_owned(), "b".to_owned()];
        let is_module = |path: &[String]| matches!(path.join("::").as_str(), "a" | "c" | "c::d");
        let paths = paths(&code(text).tokens, &module, is_module);
        paths.iter().map(|found| format!("{} {}", found.line, found.path.join("::"))).collect()
    }

    #[test]
    fn paths_of_use_lines_are_read_with_their_groups() {
        assert_eq!(found("use crate::c::D;"), ["1 c::D"]);
        assert_eq!(found("use super::e::{self, F as G};\nuse std::fmt;"), ["1 a::e", "1 a::e::F"]);
        assert_eq!(
            found("use crate::{\n    c::{D, d::*},\n    f,\n};\nuse crate::g::H;"),
            ["2 c::D", "2 c::d", "3 f", "5 g::H"]
        );
    }

    #[test]
    fn paths_in_code_are_read() {
        assert_eq!(found("fn f() -> crate::c::D { super::e::<u8>() }"), ["1 c::D", "1 a::e"]);
        assert_eq!(found("let x = map(crate::c::D::new, y);"), ["1 c::D::new"]);
        assert_eq!(found("let x = other::crate_name::D; self.c();"), Vec::<String>::new());
    }

    #[test]
    fn a_module_that_was_brought_in_leads_further() {
        assert_eq!(found("use crate::c;\nfn f() { c::d::e() }"), ["1 c", "2 c::d::e"]);
        assert_eq!(found("use crate::c::{self};\nfn f() { c::d::e() }"), ["1 c", "2 c::d::e"]);
        assert_eq!(found("use crate::c as z;\nfn f() { z::d::e() }"), ["1 c", "2 c::d::e"]);
        assert_eq!(found("mod g;\nfn f() { g::e() }"), ["2 a::b::g::e"]);
        assert_eq!(found("use crate::c::D;\nfn f() { D::new() }"), ["1 c::D"], "a type is no module");
    }
}
