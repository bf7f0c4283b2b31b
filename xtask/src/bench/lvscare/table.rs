//! Aligns and summarises figures.

/// Rows below a head, columns as wide as they must be; the first column is text, the others are numbers.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with this head.
    pub(super) fn new(head: &[&str]) -> Table {
        Table { rows: vec![head.iter().map(|word| (*word).to_owned()).collect()] }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The lines.
    pub(super) fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let cell = |(column, cell): (usize, &String)| {
            let width = widths[column];
            if column == 0 { format!("{cell:width$}") } else { format!("   {cell:>width$}") }
        };
        self.rows.iter().map(|row| row.iter().enumerate().map(cell).collect::<String>().trim_end().to_owned()).collect()
    }
}

/// The middle one; of an even number the mean of both in the middle.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match (sorted.len(), sorted.len() % 2) {
        (0, _) => 0.0,
        (_, 1) => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

/// The share at `per_mille` of sorted values: 500 is the median.
pub(super) fn quantile(sorted: &[f64], per_mille: usize) -> f64 {
    let index = (sorted.len() * per_mille / 1000).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}

/// How many times as much as ours: `1.0x`.
pub(super) fn ratio(value: f64, ours: f64) -> String {
    if ours > 0.0 { format!("{:.1}x", value / ours) } else { "-".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["who", "ms"]);
        table.row(vec!["haproxy".into(), "5".into()]);
        table.row(vec!["me".into(), "1000".into()]);
        assert_eq!(table.lines(), ["who         ms", "haproxy      5", "me        1000"]);
    }

    #[test]
    fn sums_are_right() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[1.0, 2.0]), median(&[])), (2.0, 1.5, 0.0));
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((quantile(&values, 500), quantile(&values, 990), quantile(&[], 500)), (51.0, 100.0, 0.0));
        assert_eq!((ratio(3.0, 2.0).as_str(), ratio(1.0, 0.0).as_str()), ("1.5x", "-"));
    }
}
