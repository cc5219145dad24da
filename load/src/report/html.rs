//! A run as a page: the summary, and charts as SVG. It needs no script and no other file, and follows light and dark.

use super::text::{rounded, time};
use super::{IntervalReport, Report, Spread};
use std::fmt::Write as _;

const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1b1f24;--faint:#5b6570;--line:#d5dae0;--page:#fff;--a:#0b62c4;--b:#b35900;--c:#b3261e;--d:#2e7d32}
@media(prefers-color-scheme:dark){:root{--text:#e6e9ed;--faint:#9aa4af;--line:#3a424b;--page:#14181d;--a:#6cb2ff;--b:#ffb04d;--c:#ff8a80;--d:#81c995}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--text);background:var(--page);max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem;overflow-wrap:anywhere}h2{font-size:1.1rem;margin:2rem 0 .5rem}
table{border-collapse:collapse}th,td{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top;border-bottom:1px solid var(--line)}
th{font-weight:600;white-space:nowrap}td{overflow-wrap:anywhere}
.broken{color:var(--c);font-weight:600}
svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:var(--faint)}
@media(max-width:40rem){svg text{font-size:18px}}
.grid{stroke:var(--line)}.early{fill:var(--line);opacity:.4}.s{fill:none;stroke-width:2}
.a{stroke:var(--a)}.b{stroke:var(--b)}.c{stroke:var(--c)}.d{stroke:var(--d)}
.name{white-space:nowrap}.key{display:inline-block;width:1rem;border-top:3px solid;vertical-align:middle;margin:0 .3rem 0 1rem}
.key.a{border-color:var(--a)}.key.b{border-color:var(--b)}.key.c{border-color:var(--c)}.key.d{border-color:var(--d)}.key.early{border-color:var(--line);opacity:1}
";

/// Where the plot lies within the picture.
const LEFT: f64 = 90.0;
const RIGHT: f64 = 730.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 220.0;

/// One line of a chart: its name, its class, its points.
type Series<'a> = (&'a str, &'a str, Vec<(f64, f64)>);

impl Report {
    /// The whole page.
    pub(crate) fn page(&self) -> String {
        let title = escaped(&format!("{} {}", self.scenario, self.url));
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <title>{title}</title><style>\n{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
        );
        for broken in &self.broken {
            // Writing to memory does not fail, here and below.
            let _ = writeln!(page, "<p class=\"broken\">{}</p>", escaped(broken));
        }
        page.push_str("<table>\n");
        for (name, value) in self.rows() {
            let _ = writeln!(page, "<tr><th>{name}</th><td>{}</td></tr>", escaped(&value));
        }
        page.push_str("</table>\n");
        if self.sent > 0 || self.received > 0 {
            self.put_rate(&mut page);
            self.put_latency(&mut page);
            self.put_distribution(&mut page);
        }
        self.put_options(&mut page);
        let _ = writeln!(
            page,
            "<p>{}, measured for {:.1} s</p>\n</body></html>",
            escaped(&self.circumstances.rows()[1].1),
            self.measured_s
        );
        page
    }

    fn put_rate(&self, page: &mut String) {
        let rate = |of: fn(&IntervalReport) -> u64| {
            self.over_time(|one| Some(of(one) as f64 / (one.until_s - one.from_s).max(1e-9)))
        };
        let series =
            [("received a second", "a", rate(|one| one.received)), ("sent a second", "b", rate(|one| one.sent))];
        let most = series.iter().flat_map(|(.., points)| points).map(|(_, rate)| *rate).fold(1.0, f64::max);
        let (step, steps) = round_steps(most);
        let lines: Vec<_> = (0..=steps).map(|line| f64::from(line) * step).map(|rate| (rate, shown(rate))).collect();
        put_chart(page, "Rate", &series, &lines, &self.seconds(), self.early());
    }

    fn put_latency(&self, page: &mut String) {
        let at = |of: fn(&Spread) -> Option<f64>| self.over_time(|one| Some(log(of(one.latency_us.as_ref()?)?)));
        let series = [
            ("p50", "d", at(|spread| Some(spread.p50))),
            ("p99", "a", at(|spread| spread.p99)),
            ("p99.9", "b", at(|spread| spread.p999)),
            ("max", "c", at(|spread| Some(spread.max))),
        ];
        let lines = decades(series.iter().flat_map(|(.., points)| points));
        put_chart(page, "Latency over time", &series, &lines, &self.seconds(), self.early());
    }

    /// Latency by percentile; each step to the right is ten times rarer.
    fn put_distribution(&self, page: &mut String) {
        let Some(spread) = &self.latency_us else { return };
        let points = [
            (0.0, Some(spread.min)),
            (0.301, Some(spread.p50)),
            (1.0, Some(spread.p90)),
            (2.0, spread.p99),
            (3.0, spread.p999),
            (4.0, spread.p9999),
        ];
        let points: Vec<_> = points.into_iter().filter_map(|(rarity, latency)| Some((rarity, log(latency?)))).collect();
        let lines = decades(points.iter());
        let names = ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %"];
        let columns: Vec<_> = points.iter().zip(names).map(|((rarity, _), name)| (*rarity, name.to_owned())).collect();
        put_chart(page, "Latency by percentile", &[("latency", "a", points)], &lines, &columns, None);
    }

    fn put_options(&self, page: &mut String) {
        page.push_str("<h2>Options</h2>\n<table>\n");
        let Ok(serde_json::Value::Object(options)) = serde_json::to_value(&self.options) else { return };
        for (name, value) in options.iter().filter(|(_, value)| !value.is_null()) {
            let _ = writeln!(page, "<tr><th>{}</th><td>{}</td></tr>", escaped(name), escaped(&value.to_string()));
        }
        page.push_str("</table>\n");
    }

    /// A point for each second, at its end, and one where the first begins.
    fn over_time(&self, of: impl Fn(&IntervalReport) -> Option<f64>) -> Vec<(f64, f64)> {
        let mut points: Vec<_> = self.intervals.iter().filter_map(|one| Some((one.until_s, of(one)?))).collect();
        let begin = self.intervals.first().and_then(|one| Some((one.from_s, of(one)?)));
        points.splice(0..0, begin);
        points
    }

    /// Up to when nothing is measured.
    fn early(&self) -> Option<f64> {
        let begin = self.intervals.iter().find(|one| one.measured).or(self.intervals.last())?.from_s;
        (begin > 0.0).then_some(begin)
    }

    /// A column at each end of the time axis.
    fn seconds(&self) -> Vec<(f64, String)> {
        let until = self.intervals.last().map_or(1.0, |one| one.until_s);
        let (step, steps) = round_steps(until);
        (0..=steps)
            .map(|column| f64::from(column) * step)
            .filter(|at| *at <= until)
            .map(|at| (at, format!("{at:.*} s", decimals(step))))
            .collect()
    }
}

fn log(micros: f64) -> f64 {
    micros.max(0.1).log10()
}

/// Lines at 10 µs, 100 µs … around all points.
fn decades<'a>(points: impl Iterator<Item = &'a (f64, f64)> + Clone) -> Vec<(f64, String)> {
    let values = points.map(|(_, value)| *value);
    let least = values.clone().fold(f64::INFINITY, f64::min).floor();
    let most = values.fold(f64::NEG_INFINITY, f64::max).ceil();
    let (least, most) = if least.is_finite() { (least as i32, (most as i32).max(least as i32 + 1)) } else { (1, 4) };
    (least..=most).map(|power| (f64::from(power), time(10f64.powi(power)))).collect()
}

/// At most 6 round steps that reach `most`.
fn round_steps(most: f64) -> (f64, u32) {
    let power = 10f64.powf((most / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| most / step <= 5.0);
    let step = step.unwrap_or(most);
    let steps = (1..=6).find(|steps| f64::from(*steps) * step >= most).unwrap_or(6);
    (step, steps)
}

/// Decimal places needed to tell steps apart.
fn decimals(step: f64) -> usize {
    std::iter::successors(Some(step), |step| Some(step * 10.0)).take(9).take_while(|step| *step < 0.99).count()
}

fn shown(rate: f64) -> String {
    if rate.fract() == 0.0 { rounded(rate) } else { format!("{rate:.1}") }
}

/// Draws lines over a grid. `lines` and `columns` are where the grid is, and what is written there; the first and the last are the
/// edges. Until `early` nothing is measured.
fn put_chart(
    page: &mut String,
    title: &str,
    series: &[Series<'_>],
    lines: &[(f64, String)],
    columns: &[(f64, String)],
    early: Option<f64>,
) {
    let edges =
        |marks: &[(f64, String)]| (marks.first().map_or(0.0, |mark| mark.0), marks.last().map_or(1.0, |mark| mark.0));
    let ((bottom, top), (left, mut right)) = (edges(lines), edges(columns));
    // Time ends where the run ends, which may be behind the last column.
    right = series.iter().flat_map(|(.., points)| points).map(|point| point.0).fold(right, f64::max).max(left + 1e-9);
    let x = |value: f64| LEFT + (value - left) / (right - left) * (RIGHT - LEFT);
    let y = |value: f64| BOTTOM - (value - bottom) / (top - bottom).max(1e-9) * (BOTTOM - TOP);
    let _ = write!(page, "<h2>{title}");
    let keys = series.iter().map(|(name, class, _)| (*name, *class)).chain(early.map(|_| ("warm-up", "early")));
    for (name, class) in keys {
        let _ = write!(page, " <span class=\"name\"><span class=\"key {class}\"></span><small>{name}</small></span>");
    }
    let _ = writeln!(page, "</h2>\n<svg viewBox=\"0 0 750 250\" role=\"img\" aria-label=\"{title}\">");
    if let Some(until) = early {
        let (width, height) = (x(until) - LEFT, BOTTOM - TOP);
        let _ =
            writeln!(page, "<rect class=\"early\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height}\"/>");
    }
    for (value, name) in lines {
        let at = y(*value);
        let _ = writeln!(
            page,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{RIGHT}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
            LEFT - 8.0,
            at + 4.0
        );
    }
    for (value, name) in columns {
        let at = x(*value);
        // The last one would stand out over the edge.
        let anchor = if at > RIGHT - 10.0 { "end" } else { "middle" };
        let _ = writeln!(page, "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{name}</text>", BOTTOM + 20.0);
    }
    for (name, class, points) in series.iter().filter(|(.., points)| !points.is_empty()) {
        let points: Vec<_> = points.iter().map(|(one, other)| format!("{:.1},{:.1}", x(*one), y(*other))).collect();
        let _ = writeln!(
            page,
            "<polyline class=\"s {class}\" points=\"{}\"><title>{name}</title></polyline>",
            points.join(" ")
        );
    }
    page.push_str("</svg>\n");
}

/// Text, escaped for HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        assert_eq!([7.0, 10.0, 1234.0, 1.0].map(round_steps), [(2.0, 4), (2.0, 5), (500.0, 3), (0.2, 5)]);
    }

    #[test]
    fn steps_are_told_apart() {
        assert_eq!([2.0, 1.0, 0.5, 0.2, 0.02].map(decimals), [0, 0, 1, 1, 2]);
    }

    #[test]
    fn what_a_server_says_is_only_text() {
        assert_eq!(escaped("<script>\"&"), "&lt;script&gt;&quot;&amp;");
    }

    #[test]
    fn decades_surround_the_points() {
        let lines = decades([(0.0, 1.5), (1.0, 3.2)].iter());
        assert_eq!(
            lines.iter().map(|line| line.1.as_str()).collect::<Vec<_>>(),
            ["10.0 µs", "100 µs", "1.00 ms", "10.0 ms"]
        );
        assert_eq!(decades([].iter()).len(), 4);
    }
}
