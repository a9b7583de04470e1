//! The rule for the files of a crate: no circle among them.
//!
//! A file uses another when its code outside the tests names something of it. Files that use each other in a circle are
//! one piece in several files: none can be read, or changed, without all others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::tidy::finding::Finding;
use crate::tidy::tokens::{Code, code};
use crate::tidy::uses::{Module, paths};

/// A source file of a crate: its path relative to the root of the workspace, and its text.
pub(crate) type SourceFile = (String, String);

/// For each file the files it uses, with the first line that does so.
type Arrows = Vec<BTreeMap<usize, usize>>;

/// The circles among the files of one crate, each with one chain that leads around.
pub(crate) fn findings(files: &[SourceFile]) -> Vec<Finding> {
    let arrows = arrows(files);
    let reached: Vec<BTreeSet<usize>> = (0..files.len()).map(|file| reached_from(&arrows, file)).collect();
    let ties = |one: usize, other: usize| reached.get(one).is_some_and(|set| set.contains(&other));
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for file in 0..files.len() {
        if ties(file, file) && !seen.contains(&file) {
            let circle: Vec<usize> =
                (0..files.len()).filter(|&other| ties(file, other) && ties(other, file)).collect();
            seen.extend(circle.iter().copied());
            found.extend(told(files, &arrows, &circle));
        }
    }
    found
}

fn arrows(files: &[SourceFile]) -> Arrows {
    let codes: Vec<Code<'_>> = files.iter().map(|(_, text)| code(text)).collect();
    let modules: Vec<Module> = files.iter().map(|(path, _)| module_of(path)).collect();
    let tests: BTreeSet<Module> = modules
        .iter()
        .zip(&codes)
        .flat_map(|(module, code)| code.test_modules.iter().map(move |name| below(module, name)))
        .collect();
    let is_test = |module: &Module| tests.iter().any(|test| module.starts_with(test));
    // Of a library and a program in one crate, the library is what `crate::` means to the files beside it.
    let by_module: BTreeMap<&[String], usize> =
        modules.iter().enumerate().rev().map(|(file, module)| (module.as_slice(), file)).collect();
    let holder = |path: &[String]| {
        (0..=path.len()).rev().find_map(|length| by_module.get(path.get(..length)?)).copied()
    };
    let one = |(file, (code, module)): (usize, (&Code<'_>, &Module))| {
        let mut uses = BTreeMap::new();
        let is_list = files.get(file).is_some_and(|(path, _)| is_list_of_modules(path));
        if !is_list && !is_test(module) {
            for found in paths(&code.tokens, module, |path| by_module.contains_key(path)) {
                if let Some(used) = holder(&found.path).filter(|used| *used != file) {
                    uses.entry(used).or_insert(found.line);
                }
            }
        }
        uses
    };
    codes.iter().zip(&modules).enumerate().map(one).collect()
}

/// A `lib.rs` or `mod.rs` declares its modules, and perhaps names them again; it uses none.
fn is_list_of_modules(path: &str) -> bool {
    path.ends_with("/lib.rs") || path.ends_with("/mod.rs")
}

fn module_of(path: &str) -> Module {
    let inside = path.split_once("/src/").map_or(path, |(_, inside)| inside);
    let mut names: Module =
        inside.strip_suffix(".rs").unwrap_or(inside).split('/').map(str::to_owned).collect();
    if names.last().is_some_and(|last| last == "mod") || matches!(inside, "lib.rs" | "main.rs") {
        names.pop();
    }
    names
}

fn below(module: &[String], name: &str) -> Module {
    [module, &[name.to_owned()]].concat()
}

fn used_by(arrows: &Arrows, file: usize) -> impl Iterator<Item = usize> {
    arrows.get(file).into_iter().flat_map(|uses| uses.keys().copied())
}

fn reached_from(arrows: &Arrows, file: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<usize> = used_by(arrows, file).collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(used_by(arrows, next));
        }
    }
    reached
}

/// The shortest way from a file back to itself.
fn way_around(arrows: &Arrows, file: usize) -> Option<Vec<usize>> {
    let mut open = VecDeque::from([vec![file]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = open.pop_front() {
        for next in used_by(arrows, *way.last()?) {
            if next == file {
                return Some(way);
            }
            if seen.insert(next) {
                open.push_back([way.as_slice(), &[next]].concat());
            }
        }
    }
    None
}

/// The finding about one circle: its shortest chain, each file with the line that uses the next.
fn told(files: &[SourceFile], arrows: &Arrows, circle: &[usize]) -> Option<Finding> {
    let chain = circle.iter().filter_map(|&file| way_around(arrows, file)).min_by_key(Vec::len)?;
    let mut message = format!("{} files use each other in a circle: ", circle.len());
    let mut line_of_first = 0;
    for (place, &file) in chain.iter().enumerate() {
        let next = chain.get(place + 1).or(chain.first())?;
        let line = *arrows.get(file)?.get(next)?;
        let (path, text) = files.get(file)?;
        if place == 0 {
            line_of_first = line;
        }
        let written = text.lines().nth(line.saturating_sub(1)).unwrap_or_default().trim();
        message.push_str(&format!("{path}:{line} `{written}` -> "));
    }
    let (first, _) = files.get(*chain.first()?)?;
    message.push_str(&format!("{first}; move what they share into a file below them"));
    Some(Finding::at(first, line_of_first, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<SourceFile> =
            files.iter().map(|(path, text)| (format!("crates/k/src/{path}"), (*text).to_owned())).collect();
        findings(&files).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn files_that_use_each_other_downward_are_fine() {
        let files = [
            ("a.rs", "use crate::b::B;\nuse crate::c::d::D;\n"),
            ("b.rs", "use crate::c::d::D;\n"),
            ("c/d.rs", "use std::a::A;\n"),
            ("c/mod.rs", "pub mod d;\n"),
            ("lib.rs", "pub mod a;\nmod b;\nmod c;\n"),
        ];
        assert_eq!(found(&files), Vec::<String>::new());
    }

    #[test]
    fn a_circle_is_found_and_told_with_its_chain_and_its_lines() {
        let files = [
            ("a.rs", "//! A.\nuse crate::b::B;\n"),
            ("b.rs", "//! B.\n\nfn f() -> crate::c::d::D {}\n"),
            ("c/d.rs", "use super::super::a::{A, Z};\n"),
            ("e.rs", "use crate::a::A;\n"),
        ];
        let expected = "crates/k/src/a.rs:2: 3 files use each other in a circle: \
                        crates/k/src/a.rs:2 `use crate::b::B;` -> \
                        crates/k/src/b.rs:3 `fn f() -> crate::c::d::D {}` -> \
                        crates/k/src/c/d.rs:1 `use super::super::a::{A, Z};` -> \
                        crates/k/src/a.rs; move what they share into a file below them";
        assert_eq!(found(&files), [expected]);
    }

    #[test]
    fn each_circle_is_told_once() {
        let files = [
            ("a.rs", "use crate::b::B;\n"),
            ("b.rs", "use crate::a::A;\nuse crate::c::C;\n"),
            ("c.rs", "use crate::d;\n"),
            ("d.rs", "use crate::c;\n"),
        ];
        assert_eq!(found(&files).len(), 2, "{:?}", found(&files));
    }

    #[test]
    fn a_list_of_modules_uses_no_child() {
        let files = [
            ("c/mod.rs", "pub use self::d::D;\nmod d;\n"),
            ("c/d.rs", "use crate::c::E;\n"),
            ("lib.rs", "mod c;\npub use crate::c::D;\n"),
        ];
        assert_eq!(found(&files), Vec::<String>::new());
    }

    #[test]
    fn a_program_that_is_used_by_its_parts_is_found() {
        let files = [("a.rs", "use crate::Shared;\n"), ("main.rs", "mod a;\nfn main() { a::run() }\n")];
        assert_eq!(found(&files).len(), 1, "{:?}", found(&files));
    }

    #[test]
    fn test_code_is_left_out() {
        let files = [
            ("a.rs", "use crate::b::B;\n"),
            ("b.rs", "#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n"),
            ("c.rs", "use crate::a::A;\nuse crate::testing::T;\n"),
            ("lib.rs", "mod a;\n#[cfg(test)]\nmod testing;\n"),
            ("testing.rs", "use crate::c::C;\n"),
        ];
        assert_eq!(found(&files), Vec::<String>::new());
    }
}
