//! What is on the screen, and what keys and answers make of it. Draws nothing, and asks nobody.

use super::lists::{List, Order, Sorted};
use super::sums::Sums;
use super::{Looked, Told};
use crate::admin::shown;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::widgets::TableState;
use serde_json::Value;
use std::time::Duration;
use switchboard::Escaped;

/// The longest filter: more than a server takes in a query is no use.
const FILTER_CHARACTERS: usize = 256;

pub(super) struct Screen {
    /// Whom it shows.
    pub(super) server: String,
    pub(super) sums: Sums,
    pub(super) sorted: Sorted,
    /// Of each list, for when it is shown again.
    orders: [Order; 5],
    /// Whether there are upstreams to list, as soon as that is known.
    pub(super) has_upstreams: Option<bool>,
    pub(super) rows: Vec<Value>,
    /// How many the server has in all, if it says so.
    pub(super) total: Option<u64>,
    /// Why it does not show any.
    pub(super) refusal: Option<String>,
    /// Why it does not answer.
    pub(super) gone: Option<String>,
    pub(super) filter: String,
    pub(super) mode: Mode,
    /// What came of the last deed.
    pub(super) said: Option<String>,
    pub(super) table: TableState,
    /// Rows that fit, as they were drawn last.
    pub(super) fitting: usize,
}

#[derive(Debug, PartialEq)]
pub(super) enum Mode {
    Listing,
    /// A filter is typed; this is the one before.
    Typing(String),
    /// All of one row, and how far it is scrolled.
    Whole(Value, u16),
    /// Whether this connection is to be closed, which is called so.
    Asking(u64, String),
}

/// What a key is for, beyond what it changes on the screen.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Nothing,
    /// Ask for another list at once.
    Look,
    Close(u64),
    Quit,
}

impl Screen {
    pub(super) fn new(server: String) -> Self {
        Self {
            server,
            sums: Sums::default(),
            sorted: List::Connections.first(),
            orders: List::ALL.map(|list| list.first().order),
            has_upstreams: None,
            rows: Vec::new(),
            total: None,
            refusal: None,
            gone: None,
            filter: String::new(),
            mode: Mode::Listing,
            said: None,
            table: TableState::default().with_selected(0),
            fitting: 1,
        }
    }

    /// Takes what was answered, so long after the answer before.
    pub(super) fn take(&mut self, Looked { sums, list, has_upstreams }: Looked, apart: Duration) {
        // Another server may have been started in its place.
        self.has_upstreams = if let Told::Gone(_) = sums { None } else { has_upstreams.or(self.has_upstreams) };
        match sums {
            Told::Object(sums) => {
                self.gone = None;
                self.sums.take(sums, apart);
            }
            Told::Refused(why) | Told::Gone(why) => self.gone = Some(Escaped(why.as_bytes()).to_string()),
        }
        match list {
            Some(Told::Object(list)) => {
                self.refusal = None;
                self.show(&list);
            }
            Some(Told::Refused(why)) => {
                self.refusal = Some(Escaped(why.as_bytes()).to_string());
                self.rows.clear();
            }
            Some(Told::Gone(why)) => self.gone = Some(Escaped(why.as_bytes()).to_string()),
            None => {}
        }
    }

    /// Those that there is something in.
    pub(super) fn lists(&self) -> impl Iterator<Item = List> {
        let has_upstreams = self.has_upstreams == Some(true);
        List::ALL.into_iter().filter(move |list| *list != List::Upstreams || has_upstreams)
    }

    fn show(&mut self, answer: &Value) {
        let list = self.sorted.list;
        let chosen = self.chosen().map(|row| list.identity(row).clone());
        self.total = [&answer["open"], &answer["total"]].into_iter().find_map(Value::as_u64);
        self.rows = self.sorted.rows(answer, &self.filter);
        // The row stays chosen, wherever it has gone; one that is gone leaves its place.
        let place = self.rows.iter().position(|row| Some(list.identity(row)) == chosen.as_ref());
        if let Mode::Whole(shown, _) = &mut self.mode
            && let Some(row) = self.rows.iter().find(|row| list.identity(row) == list.identity(shown))
        {
            *shown = row.clone();
        }
        self.choose(place.or(self.table.selected()).unwrap_or(0));
    }

    pub(super) fn chosen(&self) -> Option<&Value> {
        self.rows.get(self.table.selected()?)
    }

    fn choose(&mut self, place: usize) {
        self.table.select(Some(place.min(self.rows.len().saturating_sub(1))));
    }

    /// What came of closing a connection.
    pub(super) fn closed(&mut self, id: u64, told: &Told) {
        self.said = Some(match told {
            Told::Object(_) => format!("connection {id} is closed"),
            Told::Refused(why) | Told::Gone(why) => Escaped(why.as_bytes()).to_string(),
        });
    }

    pub(super) fn press(&mut self, key: KeyEvent) -> Deed {
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Deed::Quit;
        }
        if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
            return Deed::Nothing;
        }
        self.said = None;
        match &mut self.mode {
            Mode::Listing => self.press_in_list(key.code),
            Mode::Typing(_) => self.press_in_filter(key.code),
            Mode::Asking(id, _) => {
                let id = *id;
                self.mode = Mode::Listing;
                if key.code == KeyCode::Char('y') { Deed::Close(id) } else { Deed::Nothing }
            }
            Mode::Whole(_, scrolled) => {
                match key.code {
                    KeyCode::Down => *scrolled = scrolled.saturating_add(1),
                    KeyCode::Up => *scrolled = scrolled.saturating_sub(1),
                    KeyCode::Char('k') => self.ask_whether_to_close(),
                    KeyCode::Char('Q') => return Deed::Quit,
                    _ => self.mode = Mode::Listing,
                }
                Deed::Nothing
            }
        }
    }

    fn press_in_list(&mut self, code: KeyCode) -> Deed {
        let place = self.table.selected().unwrap_or(0);
        match code {
            KeyCode::Down => self.choose(place.saturating_add(1)),
            KeyCode::Up => self.choose(place.saturating_sub(1)),
            KeyCode::PageDown => self.choose(place.saturating_add(self.fitting)),
            KeyCode::PageUp => self.choose(place.saturating_sub(self.fitting)),
            KeyCode::Home => self.choose(0),
            KeyCode::End => self.choose(usize::MAX),
            KeyCode::Enter => {
                if let Some(row) = self.chosen() {
                    self.mode = Mode::Whole(row.clone(), 0);
                }
            }
            KeyCode::Esc if !self.filter.is_empty() => {
                self.filter.clear();
                return Deed::Look;
            }
            KeyCode::Char('/') => self.mode = Mode::Typing(self.filter.clone()),
            KeyCode::Char('k') => self.ask_whether_to_close(),
            KeyCode::Char('Q') => return Deed::Quit,
            KeyCode::Char(key) => return self.press_letter(key),
            _ => {}
        }
        Deed::Nothing
    }

    /// Another list, or another order of this one.
    fn press_letter(&mut self, key: char) -> Deed {
        let Sorted { list, .. } = self.sorted;
        let place = |list: List| List::ALL.iter().position(|other| *other == list).unwrap_or(0);
        let sorted = if let Some(order) = list.orders().iter().find(|order| order.key == key) {
            self.orders[place(list)] = order;
            Sorted { list, order }
        } else if let Some(list) = self.lists().find(|list| list.key() == key) {
            Sorted { list, order: self.orders[place(list)] }
        } else {
            return Deed::Nothing;
        };
        if sorted.list != list {
            self.filter.clear();
            self.rows.clear();
            (self.total, self.refusal) = (None, None);
        }
        self.sorted = sorted;
        self.table = TableState::default().with_selected(0);
        Deed::Look
    }

    fn press_in_filter(&mut self, code: KeyCode) -> Deed {
        let Mode::Typing(before) = &mut self.mode else { return Deed::Nothing };
        match code {
            KeyCode::Char(character) if self.filter.chars().count() < FILTER_CHARACTERS => self.filter.push(character),
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Enter => {
                self.mode = Mode::Listing;
                return Deed::Look;
            }
            KeyCode::Esc => {
                self.filter = std::mem::take(before);
                self.mode = Mode::Listing;
            }
            _ => {}
        }
        Deed::Nothing
    }

    fn ask_whether_to_close(&mut self) {
        let row = match &self.mode {
            Mode::Whole(row, _) => Some(row),
            _ => self.chosen(),
        };
        let Some(row) = row.filter(|_| self.sorted.list == List::Connections) else { return };
        let Some(id) = row["id"].as_u64() else { return };
        let [name, peer] = ["name", "peer"].map(|field| shown::value(field, &row[field]));
        self.mode = Mode::Asking(id, if row["name"].is_null() { peer } else { format!("{name}, {peer}") });
    }
}
