//! The live view of a run: progress, rate and latency over time, errors.

use crate::foreground::Canvas;
use crate::options::{Load, Plan};
use crate::report::text::{number, rounded, spread, time};
use crate::report::{Interval, Spread};
use crate::schedule::{Phases, SECOND};
use crate::tally::{Count, Counts, histogram};
use hdrhistogram::Histogram;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, Gauge, GraphType, Paragraph};
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

/// Seconds that the charts show.
const SHOWN: usize = 300;

pub(super) struct Live {
    canvas: Canvas,
    picture: Picture,
}

impl Live {
    /// Takes the terminal over.
    pub(super) fn new(plan: &Plan) -> io::Result<Self> {
        let canvas = Canvas::take()?;
        let picture = Picture::new(plan, canvas.has_colours);
        Ok(Self { canvas, picture })
    }

    pub(super) fn opening(&mut self, ready: usize, failed: usize) {
        (self.picture.ready, self.picture.failed) = (ready, failed);
    }

    pub(super) fn interval(&mut self, interval: &Interval) {
        self.picture.take(interval);
    }

    /// `elapsed` since the run began, if it has.
    pub(super) fn draw(&mut self, elapsed: Option<u64>) -> io::Result<()> {
        self.picture.elapsed = elapsed;
        let picture = &self.picture;
        self.canvas.terminal.draw(|frame| picture.draw(frame)).map(drop)
    }

    /// Whether q, Esc or Ctrl-C was pressed: in raw mode Ctrl-C raises no signal.
    pub(super) fn asked_to_stop() -> io::Result<bool> {
        while event::poll(Duration::ZERO)? {
            if let Event::Key(key) = event::read()?
                && key.kind == KeyEventKind::Press
            {
                let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                if interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// What is shown.
struct Picture {
    title: String,
    wanted: usize,
    ready: usize,
    failed: usize,
    phases: Phases,
    elapsed: Option<u64>,
    points: VecDeque<Point>,
    /// What has been measured so far, or, before that, the warm-up.
    latency: Histogram<u64>,
    measured: bool,
    counts: Counts,
    busiest: f64,
    colours: bool,
}

/// One line of a chart.
type Series<'a> = (&'a str, Color, &'a [(f64, f64)]);

/// A second.
struct Point {
    at: f64,
    received: f64,
    sent: f64,
    /// The 50th and 99th percentile and the maximum, in microseconds, if anything came.
    latency: Option<[f64; 3]>,
}

impl Picture {
    fn new(plan: &Plan, colours: bool) -> Self {
        let load = match plan.load {
            Load::Open { rate } => format!("{} a second", number(rate)),
            Load::Closed { in_flight } => format!("{in_flight} in flight"),
        };
        let load = if plan.senders() > 0 { format!(", {load}, {} bytes", plan.size) } else { String::new() };
        let (scenario, url) = (plan.scenario.name(), &plan.url.typed);
        Self {
            title: format!(" {scenario} {url}: {} connections{load} ", number(plan.all_connections() as u64)),
            wanted: plan.all_connections(),
            ready: 0,
            failed: 0,
            phases: plan.phases,
            elapsed: None,
            points: VecDeque::new(),
            latency: histogram(),
            measured: false,
            counts: Counts::default(),
            busiest: 0.0,
            colours,
        }
    }

    fn take(&mut self, interval: &Interval) {
        if interval.measured && !self.measured {
            (self.measured, self.latency) = (true, histogram());
        }
        crate::report::add(&mut self.latency, &interval.latency);
        self.counts = self.counts + interval.counts;
        self.busiest = interval.busiest;
        let length = (interval.until - interval.from).max(1) as f64 / SECOND as f64;
        let at = |quantile| interval.latency.value_at_quantile(quantile).max(100) as f64 / 1000.0;
        self.points.push_back(Point {
            at: interval.until as f64 / SECOND as f64,
            received: interval.counts[Count::Received] as f64 / length,
            sent: interval.counts[Count::Sent] as f64 / length,
            latency: (!interval.latency.is_empty()).then(|| [0.5, 0.99, 1.0].map(at)),
        });
        if self.points.len() > SHOWN {
            self.points.pop_front();
        }
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let block = Block::bordered().title(self.title.as_str()).title_bottom(" q or Ctrl-C quits ");
        let inside = block.inner(frame.area());
        frame.render_widget(block, frame.area());
        let rows = [Constraint::Length(1), Constraint::Min(6), Constraint::Length(6)];
        let [progress, charts, figures] = Layout::vertical(rows).areas(inside);
        let [rate, latency] = Layout::horizontal([Constraint::Fill(1); 2]).areas(charts);
        self.draw_progress(frame, progress);
        self.draw_rate(frame, rate);
        self.draw_latency(frame, latency);
        frame.render_widget(Paragraph::new(self.figures()), figures);
    }

    fn draw_progress(&self, frame: &mut Frame<'_>, area: Rect) {
        let measured = self.phases.measured();
        let seconds = |time: u64| time as f64 / SECOND as f64;
        let (ratio, label) = match self.elapsed {
            None => {
                let ready = self.ready as f64 / self.wanted.max(1) as f64;
                (ready, format!("opening: {} of {}", number(self.ready as u64), number(self.wanted as u64)))
            }
            Some(elapsed) if elapsed < measured.start => {
                let (elapsed, start) = (seconds(elapsed), seconds(measured.start));
                (elapsed / start, format!("warming up: {elapsed:.0} of {start:.0} s"))
            }
            Some(elapsed) if elapsed < measured.end => {
                let (elapsed, whole) = (seconds(elapsed - measured.start), seconds(self.phases.duration));
                (elapsed / whole, format!("measuring: {elapsed:.0} of {whole:.0} s"))
            }
            Some(_) => (1.0, "waiting for what is still in flight".to_owned()),
        };
        let gauge = Gauge::default().ratio(ratio.clamp(0.0, 1.0)).label(label).gauge_style(self.style(Color::Green));
        frame.render_widget(gauge, area);
    }

    fn draw_rate(&self, frame: &mut Frame<'_>, area: Rect) {
        let received: Vec<_> = self.points.iter().map(|point| (point.at, point.received)).collect();
        let sent: Vec<_> = self.points.iter().map(|point| (point.at, point.sent)).collect();
        let most = received.iter().chain(&sent).map(|(_, rate)| *rate).fold(1.0, f64::max) * 1.1;
        let series = [("received a second", Color::Cyan, &received[..]), ("sent a second", Color::Yellow, &sent[..])];
        let labels = [0.0, 0.5, 1.0].map(|part| short(most * part));
        self.draw_chart(frame, area, &series, [0.0, most], &labels);
    }

    /// On a logarithmic scale: the 99th percentile is often a hundred times the median.
    fn draw_latency(&self, frame: &mut Frame<'_>, area: Rect) {
        let series = [0, 1, 2].map(|which| {
            let points = self.points.iter().filter_map(|point| Some((point.at, point.latency?[which].log10())));
            points.collect::<Vec<_>>()
        });
        let all = series.iter().flatten().map(|(_, latency)| *latency);
        let least = all.clone().fold(f64::INFINITY, f64::min).floor();
        let most = all.fold(f64::NEG_INFINITY, f64::max).ceil();
        let [least, most] = if least.is_finite() { [least, most.max(least + 1.0)] } else { [1.0, 4.0] };
        let steps = (1..=5).rev().find(|steps| most - least >= f64::from(*steps)).unwrap_or(1);
        let labels: Vec<_> = (0..=steps)
            .map(|step| time(10f64.powf(least + (most - least) * f64::from(step) / f64::from(steps))))
            .collect();
        let names = [("p50", Color::Green), ("p99", Color::Yellow), ("max", Color::Red)];
        let series: Vec<_> =
            names.iter().zip(&series).map(|((name, colour), points)| (*name, *colour, &points[..])).collect();
        self.draw_chart(frame, area, &series, [least, most], &labels);
    }

    fn draw_chart(
        &self,
        frame: &mut Frame<'_>,
        area: Rect,
        series: &[Series<'_>],
        bounds: [f64; 2],
        labels: &[String],
    ) {
        let mut title: Vec<_> =
            series.iter().map(|(name, colour, _)| Span::styled(format!(" {name}"), self.style(*colour))).collect();
        title.push(Span::raw(" "));
        let datasets = series.iter().map(|(_, colour, points)| {
            let dataset = Dataset::default().data(points).style(self.style(*colour));
            dataset.marker(Marker::Braille).graph_type(GraphType::Line)
        });
        let from = self.points.front().map_or(0.0, |point| point.at);
        let until = self.points.back().map_or(1.0, |point| point.at).max(from + 1.0);
        let seconds = Axis::default().bounds([from, until]).labels([format!("{from:.0} s"), format!("{until:.0} s")]);
        let chart = Chart::new(datasets.collect())
            .block(Block::bordered().title(Line::from(title)))
            .x_axis(seconds)
            .y_axis(Axis::default().bounds(bounds).labels(labels.iter().cloned()))
            .legend_position(None);
        frame.render_widget(chart, area);
    }

    fn figures(&self) -> Vec<Line<'_>> {
        let last = self.points.back();
        let rates = last.map_or_else(String::new, |point| {
            format!("{} sent/s  {} received/s", rounded(point.sent), rounded(point.received))
        });
        let latency = Spread::of(&self.latency).as_ref().map(spread).unwrap_or_default();
        let count = |count: Count| self.counts[count];
        let wrong = [
            (self.counts.lost(), "lost"),
            (count(Count::Duplicated), "duplicated"),
            (count(Count::Reordered), "reordered"),
            (count(Count::Corrupt), "corrupt"),
        ];
        let ended = [
            (self.failed as u64 + count(Count::Failed), "failed"),
            (count(Count::Closed), "closed by the server"),
            (count(Count::Complaints), "complaints"),
        ];
        let plain = Style::default();
        let bad = |counts: &[(u64, &str)]| {
            if counts.iter().any(|(count, _)| *count > 0) { self.style(Color::Red) } else { plain }
        };
        let busy = if self.busiest > 0.9 { self.style(Color::Red) } else { plain };
        [
            ("rate", rates, plain),
            ("latency", latency, plain),
            ("verified", told(&wrong), bad(&wrong)),
            (
                "announced",
                format!("{} lost in {} gaps", number(count(Count::Announced)), number(count(Count::Gaps))),
                plain,
            ),
            ("connections", told(&ended), bad(&ended)),
            ("generator", format!("{:.0} % of a core, by its busiest thread", self.busiest * 100.0), busy),
        ]
        .into_iter()
        .map(|(name, value, style)| {
            let name = Span::styled(format!(" {name:<13}"), Style::default().add_modifier(Modifier::BOLD));
            Line::from(vec![name, Span::styled(value, style)])
        })
        .collect()
    }

    fn style(&self, colour: Color) -> Style {
        if self.colours { Style::default().fg(colour) } else { Style::default() }
    }
}

fn told(counts: &[(u64, &str)]) -> String {
    counts.iter().map(|(count, what)| format!("{} {what}", number(*count))).collect::<Vec<_>>().join("  ")
}

/// A rate in few characters.
fn short(rate: f64) -> String {
    match rate {
        ..1e3 => format!("{rate:.0}"),
        ..1e6 => format!("{:.1} k", rate / 1e3),
        _ => format!("{:.1} M", rate / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Arguments;
    use clap::Parser;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn picture() -> Picture {
        let typed = Typed::parse_from(["bench", "echo", "tcp://127.0.0.1:8080", "--duration", "10s"]);
        Picture::new(&Plan::parse(typed.arguments).unwrap(), true)
    }

    fn second(number: u64, latencies: &[u64]) -> Interval {
        let mut latency = histogram();
        for value in latencies {
            latency.record(*value).unwrap();
        }
        let mut counts = Counts::default();
        counts[Count::Sent] = 1000;
        counts[Count::Received] = 990;
        counts[Count::Skipped] = 1;
        let (from, until) = (number * SECOND, (number + 1) * SECOND);
        Interval { from, until, measured: number > 0, counts, latency, lag: histogram(), busiest: 0.95, cpu: 1 }
    }

    fn drawn(picture: &Picture, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| picture.draw(frame)).unwrap();
        let cells = terminal.backend().buffer().content().chunks(width.into());
        cells.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>() + "\n").collect()
    }

    #[test]
    fn all_of_it_is_there_on_a_small_and_a_large_terminal() {
        let mut picture = picture();
        for number in 0..5 {
            picture.take(&second(number, &[50_000, 60_000, 2_000_000]));
        }
        picture.elapsed = Some(4 * SECOND);
        for (width, height) in [(80, 24), (200, 50)] {
            let text = drawn(&picture, width, height);
            for part in [
                "echo tcp://127.0.0.1:8080: 50 connections, 1,000 a second, 64 bytes",
                "measuring: 3 of 10 s",
                "received a second",
                "p50 p99 max",
                "1,000 sent/s  990 received/s",
                "p50 60.0 µs",
                "5 lost",
                "95 % of a core",
                "q or Ctrl-C quits",
            ] {
                assert!(text.contains(part), "{part} is missing at {width}×{height}:\n{text}");
            }
            // Something is drawn as dots.
            assert!(text.chars().any(|char| ('\u{2801}'..='\u{28ff}').contains(&char)), "{text}");
        }
    }

    #[test]
    fn before_it_begins_it_shows_how_many_are_ready() {
        let mut picture = picture();
        picture.ready = 12;
        assert!(drawn(&picture, 80, 24).contains("opening: 12 of 50"));
        // No size is too small to be drawn.
        for (width, height) in [(1, 1), (20, 5), (80, 8)] {
            drawn(&picture, width, height);
        }
    }

    #[test]
    fn the_charts_are_bounded_in_time() {
        let mut picture = picture();
        for number in 0..1000 {
            picture.take(&second(number, &[]));
        }
        assert_eq!(picture.points.len(), SHOWN);
    }
}
