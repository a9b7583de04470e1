//! `kvs ls`: keys by prefix, page by page, so that any number of them fits.

use anyhow::Result;
use kvs_client::list::{Listed, Page, Pages, RangeQuery, Values};
use serde::Serialize;

use super::connect::connect;
use crate::args::ListArgs;
use crate::exit::Exit;
use crate::printer::{self, Audience, Printer};

/// One line of a page: a key or a folded prefix, in the order of their texts.
enum Line<'a> {
    Key(&'a Listed),
    Prefix(&'a str),
}

/// A folded prefix as JSON.
#[derive(Serialize)]
struct Folded<'a> {
    prefix: &'a str,
}

/// Lists keys.
pub(super) fn list(args: ListArgs, printer: &Printer) -> Result<Exit> {
    let values = if args.keys_only { Values::Omitted } else { Values::Included };
    let query =
        RangeQuery { prefix: args.prefix, delimiter: (!args.recursive).then_some(args.delimiter), values };
    let http = connect(args.node)?;
    let mut pages = Pages::new(&http, query);
    let mut left = args.limit.unwrap_or(usize::MAX);
    while let Some(page) = pages.next_page(left, &mut |_| {})? {
        let lines = merge(&page);
        left = left.saturating_sub(lines.len());
        if args.json {
            for line in &lines {
                match line {
                    Line::Key(listed) => printer.json(listed)?,
                    Line::Prefix(prefix) => printer.json(&Folded { prefix })?,
                }
            }
        } else if !lines.is_empty() {
            print(&lines, values, printer)?;
        }
    }
    if !pages.is_at_end() && printer.audience() == Audience::Person {
        printer::note("there is more; see --limit");
    }
    Ok(Exit::Done)
}

fn print(lines: &[Line<'_>], values: Values, printer: &Printer) -> Result<()> {
    let for_person = printer.audience() == Audience::Person;
    let rows: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            let (path, written, value) = match line {
                Line::Key(listed) => (
                    listed.path.clone(),
                    printer.time(listed.timestamp),
                    listed.data.as_ref().map(|data| printer.value(data.get())),
                ),
                Line::Prefix(prefix) => ((*prefix).to_owned(), String::new(), None),
            };
            let mut row = vec![path];
            if for_person {
                row.push(written);
            }
            row.extend(value);
            row
        })
        .collect();
    match values {
        Values::Included => printer.rows(&["path", "written", "value"], &rows)?,
        Values::Omitted => printer.rows(&["path", "written"], &rows)?,
    }
    Ok(())
}

/// Keys and prefixes of a page, in one order.
fn merge(page: &Page) -> Vec<Line<'_>> {
    let mut lines: Vec<(&str, Line<'_>)> = page
        .keys
        .iter()
        .map(|listed| (listed.path.as_str(), Line::Key(listed)))
        .chain(page.prefixes.iter().map(|prefix| (prefix.as_str(), Line::Prefix(prefix))))
        .collect();
    lines.sort_by_key(|(text, _)| *text);
    lines.into_iter().map(|(_, line)| line).collect()
}

#[cfg(test)]
mod tests {
    use super::{Line, merge};
    use kvs_client::list::Page;

    #[test]
    fn keys_and_prefixes_of_a_page_stand_in_one_order() {
        let page = r#"{"items":[{"path":"a","uuid":"u","timestamp":1},{"path":"c","uuid":"u","timestamp":1}],
                       "prefixes":["a/","b/"],"next":null}"#;
        let page: Page = serde_json::from_str(page).expect("a page");
        let texts: Vec<&str> = merge(&page)
            .iter()
            .map(|line| match line {
                Line::Key(listed) => listed.path.as_str(),
                Line::Prefix(prefix) => prefix,
            })
            .collect();
        assert_eq!(texts, ["a", "a/", "b/", "c"]);
    }
}
