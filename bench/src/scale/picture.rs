//! Draws the growth with the number of grants: three curves, each as a multiple of its value at one grant.

use std::fmt::Write as _;

/// Measurements with this many grants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) size: u64,
    /// Milliseconds until the broker is ready.
    pub(super) start: f64,
    /// Megabytes of peak memory.
    pub(super) memory: f64,
    /// Milliseconds for elevate and revoke.
    pub(super) pair: f64,
}

const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 200.0;
/// The highest multiple in the chart.
const TOP: f64 = 3.0;
/// A curve's name, its colour, and its value.
type Curve = (&'static str, &'static str, fn(&Row) -> f64);

const CURVES: [Curve; 3] = [
    ("start until ready", "#1f77b4", |row| row.start),
    ("peak memory", "#d62728", |row| row.memory),
    ("elevate and revoke", "#2ca02c", |row| row.pair),
];

/// Renders the SVG, one panel per database.
pub(super) fn draw(all: &[(&str, Vec<Row>)]) -> String {
    let width = (WIDTH + 60.0) * all.len() as f64 + 20.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} 300\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (place, (name, rows)) in all.iter().enumerate() {
        let left = 50.0 + (WIDTH + 60.0) * place as f64;
        panel(&mut svg, left, name, rows);
    }
    for (place, (name, colour, _)) in CURVES.iter().enumerate() {
        let x = 50.0 + 150.0 * place as f64;
        let _ = writeln!(
            svg,
            "<line x1=\"{x}\" x2=\"{}\" y1=\"288\" y2=\"288\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{}\" y=\"292\">{name}</text>",
            x + 18.0,
            x + 23.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, left: f64, name: &str, rows: &[Row]) {
    let Some((first, last)) = rows.first().zip(rows.last()) else { return };
    let decades = (last.size as f64).log10().max(1.0);
    let x = |row: &Row| left + WIDTH * (row.size as f64).log10() / decades;
    let y = |multiple: f64| 40.0 + HEIGHT * (1.0 - multiple.min(TOP) / TOP);
    let _ = writeln!(
        svg,
        "<text x=\"{left}\" y=\"24\" font-size=\"13\">{name}, times what it is with one grant</text>"
    );
    for multiple in [0.0, 1.0, 2.0, 3.0] {
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" x2=\"{}\" y1=\"{at}\" y2=\"{at}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{multiple}</text>",
            left + WIDTH,
            left - 5.0,
            y(multiple) + 4.0,
            at = y(multiple)
        );
    }
    for row in rows {
        let _ = writeln!(svg, "<text x=\"{}\" y=\"257\" text-anchor=\"middle\">{}</text>", x(row), row.size);
    }
    for (_, colour, value) in CURVES {
        let points: Vec<String> =
            rows.iter().map(|row| format!("{:.1},{:.1}", x(row), y(value(row) / value(first)))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_that_does_not_grow_is_level() {
        let row = |size| Row { size, start: 20.0, memory: 30.0, pair: 1.0 };
        let svg = draw(&[("SQLite", vec![row(1), row(1000)])]);
        assert_eq!(svg.matches("points=\"50.0,173.3 390.0,173.3\"").count(), 3, "{svg}");
    }
}
