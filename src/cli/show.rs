//! Numbers and tables for people.

use comfy_table::{Cell, CellAlignment, Table, presets};

/// A table: the first `texts` columns hold text, the others numbers (aligned right).
pub(super) fn table(header: &[&str], texts: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header(header.iter().map(Cell::new));
    for column in texts..header.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Names and values, without a header.
pub(super) fn facts<const N: usize>(rows: [(&str, String); N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    for (name, value) in rows {
        table.add_row([name.to_string(), value]);
    }
    if let Some(values) = table.column_mut(1) {
        values.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// `1.23 MB`: powers of 1000, three digits.
pub(super) fn bytes(n: u64) -> String {
    scaled(n as f64, &["B", "kB", "MB", "GB", "TB"])
}

/// `1.23 M`: powers of 1000, three digits.
pub(super) fn count(n: u64) -> String {
    scaled(n as f64, &["", "k", "M", "G", "T"]).trim_end().to_string()
}

fn scaled(mut value: f64, units: &[&str]) -> String {
    let mut unit = 0;
    // What would be shown as 1000 belongs to the next unit.
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if unit == 0 { 0 } else { three(value) };
    format!("{value:.digits$} {}", units[unit])
}

/// A time given in milliseconds: `8.12 µs`, `1.23 ms`, `2.50 s`.
pub(super) fn time(ms: f64) -> String {
    let (value, unit) = match ms {
        ms if ms < 0.9995 => (ms * 1e3, "µs"),
        ms if ms < 999.5 => (ms, "ms"),
        ms => (ms / 1e3, "s"),
    };
    format!("{value:.*} {unit}", three(value))
}

/// Decimals that make three digits.
fn three(value: f64) -> usize {
    match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    }
}

/// Decibels of signal to noise.
pub(super) fn decibels(db: f64) -> String {
    match db {
        f64::INFINITY => "equal".to_string(),
        db if db.is_nan() => "not a number".to_string(),
        db => format!("{db:.1} dB"),
    }
}

/// How many times `a` is as large as `b`.
pub(super) fn ratio(a: f64, b: f64) -> String {
    if b > 0.0 { format!("{:.2}x", a / b) } else { "-".to_string() }
}

/// The text with its middle left out, if it is longer than `width` characters: node names differ at their ends.
pub(super) fn shorten(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_string();
    }
    let kept = width.saturating_sub(1);
    let front: String = text.chars().take(kept / 2).collect();
    let back: String = text.chars().skip(length - (kept - kept / 2)).collect();
    format!("{front}…{back}")
}

/// `[1, 3, 224, 224]`.
pub(super) fn shape(dims: &[usize]) -> String {
    format!("{dims:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1000), "1.00 kB");
        assert_eq!(bytes(95_169), "95.2 kB");
        assert_eq!(bytes(999_600), "1.00 MB");
        assert_eq!(count(1_234_000_000), "1.23 G");
        assert_eq!(count(12), "12");
        assert_eq!(time(0.00812), "8.12 µs");
        assert_eq!(time(0.9999), "1.00 ms");
        assert_eq!(time(2500.0), "2.50 s");
    }

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(shorten("short", 5), "short");
        assert_eq!(shorten("backbone.layer1.conv2", 9), "back…onv2");
        assert_eq!(shorten("äöüäöü", 4), "ä…öü");
    }
}
