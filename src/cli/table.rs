//! Rows for people: columns as wide as their widest cell, numbers to the right.
//!
//! ```text
//! INPUT       FILE                 INODE
//! containers  /var/log/pods/0.log    131
//! ```

/// What stands above a column, and whether its cells are numbers.
pub(super) type Column = (&'static str, bool);

/// All rows below their headings, each with a line end.
pub(super) fn table<const N: usize>(columns: [Column; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let headings = columns.map(|(heading, _)| heading.to_owned());
    let rows: Vec<[String; N]> = std::iter::once(headings).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let cell = |(column, text): (usize, &String)| match columns[column].1 {
        true => format!("{text:>0$}", widths[column]),
        false => format!("{text:<0$}", widths[column]),
    };
    rows.iter()
        .map(|row| row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n")
        .collect()
}
