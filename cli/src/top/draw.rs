//! The picture: sums and how they went, a list, and what can be done. At any size, and of whatever a server says.

use super::keys::{Mode, Screen};
use super::lists::{Column, List};
use super::sums::Course;
use crate::admin::shown::{self, size, time};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Margin, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Sparkline, Table, Wrap};
use serde_json::Value;
use std::time::Duration;
use switchboard_load::number;

/// Below so many lines, only the first sums are shown.
const TALL: u16 = 16;

/// Below so many columns, no sparklines are.
const WIDE: u16 = 70;

/// The widest column: a name may be longer.
const COLUMN_WIDTH: usize = 32;

/// How a picture is coloured.
#[derive(Clone, Copy)]
struct Paint {
    colours: bool,
}

impl Paint {
    fn of(self, colour: Color) -> Style {
        if self.colours { Style::default().fg(colour) } else { Style::default() }
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, screen: &mut Screen, colours: bool) {
    let paint = Paint { colours };
    let area = frame.area();
    let sums = sums(screen);
    let shown = if area.height >= TALL { sums.len() } else { 2 };
    let rows = [
        Constraint::Length(1),
        // It fits in a line count.
        Constraint::Length(u16::try_from(shown).unwrap_or(0)),
        Constraint::Length(1),
        Constraint::Min(2),
        Constraint::Length(1),
    ];
    let [title, header, tabs, list, foot] = Layout::vertical(rows).areas(area);
    draw_title(frame, screen, title, paint);
    for (index, sum) in sums.iter().take(shown).enumerate() {
        let y = header.y + u16::try_from(index).unwrap_or(0);
        if y < header.bottom() {
            draw_sum(frame, screen, sum, Rect { y, height: 1, ..header }, paint);
        }
    }
    draw_tabs(frame, screen, tabs);
    draw_list(frame, screen, list, paint);
    draw_foot(frame, screen, foot, paint);
    if let Mode::Whole(row, scrolled) = &screen.mode {
        draw_whole(frame, screen.sorted.list, row, *scrolled, list.union(tabs));
    }
}

fn draw_title(frame: &mut Frame<'_>, screen: &Screen, area: Rect, paint: Paint) {
    let bold = Style::default().add_modifier(Modifier::BOLD);
    let state = match &screen.gone {
        Some(why) => Line::styled(format!(" {why}"), paint.of(Color::Red).add_modifier(Modifier::BOLD)),
        None if !screen.sums.is_known() => Line::raw(format!(" asking {} …", screen.server)),
        None => {
            let up = screen
                .sums
                .number("/uptime_seconds")
                .map_or_else(String::new, |seconds| format!("  up {}", time(Duration::from_secs(seconds))));
            let draining = if screen.sums.is_draining() { "  draining" } else { "" };
            let server = Span::styled(format!(" {}", screen.server), bold);
            Line::from(vec![server, Span::raw(up), Span::styled(draining, paint.of(Color::Yellow))])
        }
    };
    frame.render_widget(state, area);
}

/// A line of the header.
struct Sum {
    name: &'static str,
    text: String,
    course: Option<Course>,
    is_bad: bool,
}

impl Sum {
    fn new(name: &'static str, text: String, course: Option<Course>) -> Self {
        Self { name, text, course, is_bad: false }
    }
}

fn sums(screen: &Screen) -> Vec<Sum> {
    let sums = &screen.sums;
    let count = |pointer: &str| sums.number(pointer).map_or_else(|| "-".to_owned(), number);
    let bytes = |pointer: &str| sums.number(pointer).map_or_else(|| "-".to_owned(), size);
    let rate = |rate: Option<u64>| rate.map_or_else(|| "-".to_owned(), number);
    let byte_rate = |rate: Option<u64>| rate.map_or_else(|| "-".to_owned(), size);
    let (refused, lost) = (sums.rate("/connections/refused"), sums.rate("/deliveries_lost"));
    let traffic = |bytes: &str, frames: &str| {
        format!("{}/s, {} frames/s", byte_rate(sums.rate_of(bytes)), rate(sums.rate_of(frames)))
    };
    let open = format!("{} of {}", count("/connections/open"), count("/connections/limit"));
    let told = |counts: &[(&str, Option<u64>)]| {
        let told = counts.iter().map(|(what, count)| format!("{}/s {what}", rate(*count)));
        told.collect::<Vec<_>>().join(", ")
    };
    // What is rare stands in front while it is there.
    let refused =
        refused.filter(|refused| *refused > 0).map_or_else(String::new, |refused| format!(", {refused}/s refused"));
    let memberships = count("/rooms/memberships");
    let mut all = vec![
        Sum {
            name: "connections",
            is_bad: !refused.is_empty(),
            text: format!(
                "{open}{refused}, {} blocked, {}",
                count("/connections/blocked"),
                told(&[("closed", sums.closed_rate())])
            ),
            course: Some(Course::Open),
        },
        Sum {
            name: "messages",
            text: told(&[
                ("published", sums.rate("/publications")),
                ("delivered", sums.rate("/deliveries")),
                ("lost", lost),
            ]),
            course: Some(Course::Delivered),
            is_bad: lost.is_some_and(|lost| lost > 0),
        },
        Sum::new("in", traffic("bytes_in", "frames_in"), Some(Course::BytesIn)),
        Sum::new("out", traffic("bytes_out", "frames_out"), Some(Course::BytesOut)),
        Sum::new("memory", format!("{} of {}", bytes("/memory/bytes"), bytes("/memory/limit")), Some(Course::Memory)),
        Sum::new(
            "rooms",
            format!("{}, {memberships} members, {} history", count("/rooms/count"), bytes("/history/bytes")),
            None,
        ),
    ];
    all.extend(sums.cluster().map(|is_up| {
        let log = if is_up { "log up" } else { "log takes nothing" };
        let (nodes, waiting) = (count("/cluster/nodes"), count("/cluster/rooms_waiting"));
        let text = format!("{log}, {nodes} other nodes, {waiting} rooms wait");
        Sum { name: "cluster", text, course: None, is_bad: !is_up }
    }));
    all
}

fn draw_sum(frame: &mut Frame<'_>, screen: &Screen, sum: &Sum, area: Rect, paint: Paint) {
    let spark = if area.width >= WIDE { area.width / 5 } else { 0 };
    let [told, drawn] = Layout::horizontal([Constraint::Min(1), Constraint::Length(spark)]).areas(area);
    let name = Span::styled(format!(" {:<12}", sum.name), Style::default().add_modifier(Modifier::BOLD));
    let style = if sum.is_bad { paint.of(Color::Red) } else { Style::default() };
    frame.render_widget(Line::from(vec![name, Span::styled(sum.text.as_str(), style)]), told);
    let Some(course) = sum.course else { return };
    let points = screen.sums.course(course, drawn.width.into());
    frame.render_widget(Sparkline::default().data(&points).style(paint.of(Color::Cyan)), drawn);
}

fn draw_tabs(frame: &mut Frame<'_>, screen: &Screen, area: Rect) {
    let mut spans = vec![Span::raw(" ")];
    for list in screen.lists() {
        let style = if list == screen.sorted.list {
            Style::default().add_modifier(Modifier::REVERSED)
        } else {
            Style::default()
        };
        let name = format!(" {} {} ", list.key(), list.name());
        spans.push(Span::styled(name, style));
    }
    let count = match screen.total {
        Some(total) if total > screen.rows.len() as u64 => {
            format!("  {} of {}", number(screen.rows.len() as u64), number(total))
        }
        _ => format!("  {}", number(screen.rows.len() as u64)),
    };
    spans.push(Span::raw(format!("{count}, {}", screen.sorted.order.told)));
    frame.render_widget(Line::from(spans), area);
}

fn draw_list(frame: &mut Frame<'_>, screen: &mut Screen, area: Rect, paint: Paint) {
    if let Some(why) = &screen.refusal {
        let why = Paragraph::new(why.as_str()).wrap(Wrap { trim: true });
        frame.render_widget(why, area.inner(Margin { horizontal: 1, vertical: 0 }));
        return;
    }
    let columns = fitting(screen.sorted.list.columns(), &screen.rows, area.width.into());
    let aligned = |column: &Drawn, text: String| {
        let side = if column.is_number { Alignment::Right } else { Alignment::Left };
        Cell::from(Line::raw(text).alignment(side))
    };
    let head = Row::new(columns.iter().map(|drawn| aligned(drawn, drawn.column.title.to_owned())));
    let rows = screen.rows.iter().enumerate().map(|(index, row)| {
        let cells = columns.iter().map(|drawn| aligned(drawn, drawn.cells[index].clone()));
        let is_slow = row["blocked_seconds"].is_number() || matches!(row["state"].as_str(), Some("down" | "failing"));
        Row::new(cells).style(if is_slow { paint.of(Color::Yellow) } else { Style::default() })
    });
    // No cell is wider than its bound.
    let widths = columns.iter().map(|drawn| Constraint::Length(u16::try_from(drawn.width).unwrap_or(u16::MAX)));
    let table = Table::new(rows, widths)
        .header(head.style(Style::default().add_modifier(Modifier::BOLD)))
        .column_spacing(1)
        .row_highlight_style(Style::default().add_modifier(Modifier::REVERSED));
    screen.fitting = usize::from(area.height.saturating_sub(1)).max(1);
    frame.render_stateful_widget(table, area, &mut screen.table);
}

/// A column that is shown.
struct Drawn {
    column: &'static Column,
    cells: Vec<String>,
    width: usize,
    is_number: bool,
}

/// Those columns that fit, by their rank, and at least the first.
fn fitting(columns: &'static [Column], rows: &[Value], width: usize) -> Vec<Drawn> {
    let mut drawn: Vec<_> = columns
        .iter()
        .map(|column| {
            let cells: Vec<_> = rows.iter().map(|row| column.cell(row)).collect();
            let widest = cells.iter().map(|cell| Span::raw(cell.as_str()).width()).fold(column.title.len(), usize::max);
            Drawn { column, cells, width: widest.min(COLUMN_WIDTH), is_number: column.is_number() }
        })
        .collect();
    let mut ranks: Vec<_> = drawn.iter().map(|drawn| (drawn.column.rank, drawn.width)).collect();
    ranks.sort_unstable();
    let mut used = 0;
    let fits = ranks.iter().take_while(|(_, needed)| {
        used += needed + usize::from(used > 0);
        used <= width
    });
    let most = fits.last().map_or(0, |(rank, _)| *rank);
    drawn.retain(|drawn| drawn.column.rank <= most);
    drawn
}

fn draw_foot(frame: &mut Frame<'_>, screen: &Screen, area: Rect, paint: Paint) {
    let line = match &screen.mode {
        Mode::Typing(_) => {
            Line::raw(format!(" filter: {}▏ Enter, Esc", shown::value("", &Value::from(screen.filter.as_str()))))
        }
        Mode::Asking(id, who) => Line::styled(
            format!(" close connection {id} ({who})? y closes it "),
            paint.of(Color::Red).add_modifier(Modifier::BOLD),
        ),
        Mode::Whole(..) => Line::raw(" Esc goes back, ↑↓ scroll, k closes, Q quits"),
        Mode::Listing => match (&screen.said, screen.filter.is_empty()) {
            (Some(said), _) => Line::styled(format!(" {said}"), Style::default().add_modifier(Modifier::BOLD)),
            (None, false) => {
                Line::raw(format!(" filter: {} (Esc: none)", shown::value("", &Value::from(screen.filter.as_str()))))
            }
            (None, true) => keys(screen.sorted.list),
        },
    };
    frame.render_widget(line, area);
}

/// What can be pressed; the least needed last, where it may be cut off.
fn keys(list: List) -> Line<'static> {
    let orders: String = list.orders().iter().filter(|order| order.key != list.key()).map(|order| order.key).collect();
    let mut text = " Q quit  / filter  Enter all".to_owned();
    if list == List::Connections {
        text.push_str("  k close");
    }
    if !orders.is_empty() {
        text.push_str("  ");
        text.push_str(&orders.chars().map(String::from).collect::<Vec<_>>().join(" "));
        text.push_str(" sort");
    }
    Line::raw(text)
}

fn draw_whole(frame: &mut Frame<'_>, list: List, row: &Value, scrolled: u16, area: Rect) {
    let title = format!(" {} {} ", list.name(), shown::value("", list.identity(row)));
    let text = shown::fields(row);
    let lines = u16::try_from(text.lines().count()).unwrap_or(u16::MAX);
    let most = lines.saturating_sub(area.height.saturating_sub(2));
    frame.render_widget(Clear, area);
    let whole = Paragraph::new(text).block(Block::bordered().title(title)).scroll((scrolled.min(most), 0));
    frame.render_widget(whole, area);
}
