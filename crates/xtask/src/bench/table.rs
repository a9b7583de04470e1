//! A table of text, for a terminal (padded columns) or for Markdown; nothing but layout.

/// Rows of equal length under a head.
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|cell| (*cell).to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty, cells beyond the head are left out.
    pub(crate) fn push(&mut self, cells: Vec<String>) {
        let row =
            cells.into_iter().chain(std::iter::repeat_with(String::new)).take(self.head.len()).collect();
        self.rows.push(row);
    }

    /// Whether there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// For a terminal: columns padded to their widest cell, two spaces between them, no marks of code.
    pub(crate) fn terminal(&self) -> String {
        let plain = |row: &[String]| row.iter().map(|cell| cell.replace('`', "")).collect::<Vec<_>>();
        let lines: Vec<Vec<String>> =
            std::iter::once(plain(&self.head)).chain(self.rows.iter().map(|row| plain(row))).collect();
        let widths: Vec<usize> = (0..self.head.len())
            .map(|column| {
                lines
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for (number, row) in lines.iter().enumerate() {
            let line: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            text.push_str(line.join("  ").trim_end());
            text.push('\n');
            if number == 0 {
                let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
                text.push_str(&rule.join("  "));
                text.push('\n');
            }
        }
        text
    }

    /// For Markdown; a `|` inside a cell is escaped.
    pub(crate) fn markdown(&self) -> String {
        let line = |row: &[String]| {
            let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule = vec!["---".to_owned(); self.head.len()];
        std::iter::once(&self.head).chain([&rule]).chain(&self.rows).map(|row| line(row)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["figure", "kvs"]);
        table.push(vec!["`GET`/s".to_owned(), "1 | 2".to_owned()]);
        table.push(vec!["long text of a row".to_owned()]);
        table
    }

    #[test]
    fn on_a_terminal_columns_line_up() {
        let expected = "figure              kvs\n------------------  -----\nGET/s               1 | 2\nlong text of a row\n";
        assert_eq!(table().terminal(), expected);
    }

    #[test]
    fn in_markdown_every_row_has_every_cell() {
        let expected = "| figure | kvs |\n| --- | --- |\n| `GET`/s | 1 \\| 2 |\n| long text of a row |  |\n";
        assert_eq!(table().markdown(), expected);
    }
}
