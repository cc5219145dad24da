//! The loop: keys from the terminal, answers from the server, and a picture after each.

use super::keys::{Deed, Screen};
use super::{Looked, Told, draw};
use crate::admin::AdminRemote;
use anyhow::Context as _;
use http::Method;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::time::Duration;
use switchboard_load::foreground::{Canvas, Ends};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

/// How often keys are looked for: nobody notices so little.
const LOOK: Duration = Duration::from_millis(40);

/// Between two questions.
const SECOND: Duration = Duration::from_secs(1);

/// What a question came to.
enum Answer {
    Looked(Looked),
    Closed(u64, Told),
}

type Asking<'a> = Pin<Box<dyn Future<Output = Answer> + 'a>>;

/// Shows a server until somebody has seen enough.
pub(super) async fn watch(server: &AdminRemote) -> anyhow::Result<()> {
    let mut ends = Ends::install().context("cannot handle signals")?;
    let mut canvas = Canvas::take().context("cannot draw on the terminal")?;
    let mut screen = Screen::new(server.to_string());
    let [mut keys, mut seconds] = [LOOK, SECOND].map(steady);
    let (mut asking, mut answered): (Option<Asking<'_>>, Option<Instant>) = (None, None);
    loop {
        canvas
            .terminal
            .draw(|frame| draw::draw(frame, &mut screen, canvas.has_colours))
            .context("cannot draw on the terminal")?;
        let deed = tokio::select! {
            deed = pressed(&mut keys, &mut screen) => deed?,
            answer = answer(&mut asking) => {
                take(&mut screen, answer, &mut answered)
            }
            _ = seconds.tick() => if asking.is_none() { Deed::Look } else { Deed::Nothing },
            () = ends.told() => Deed::Quit,
        };
        match deed {
            Deed::Nothing => {}
            // What was asked before is not waited for.
            Deed::Look => {
                let path = screen.sorted.path(&screen.filter);
                asking = Some(Box::pin(look(server, path, screen.has_upstreams.is_none())));
            }
            Deed::Close(id) => asking = Some(Box::pin(close(server, id))),
            Deed::Quit => return Ok(()),
        }
    }
}

/// No more often than this, should something be late.
fn steady(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Waits for something to do by keys, or to draw.
///
/// # Cancel safety
/// Safe: between looks, no key is taken.
async fn pressed(looks: &mut Interval, screen: &mut Screen) -> anyhow::Result<Deed> {
    loop {
        looks.tick().await;
        if let Some(deed) = look_for_keys(screen).context("cannot read from the terminal")? {
            return Ok(deed);
        }
    }
}

/// What keys were for that have come, or that the picture is another one.
fn look_for_keys(screen: &mut Screen) -> io::Result<Option<Deed>> {
    let mut seen = None;
    while event::poll(Duration::ZERO)? {
        let deed = match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => screen.press(key),
            _ => Deed::Nothing,
        };
        if deed != Deed::Nothing {
            return Ok(Some(deed));
        }
        seen = Some(deed);
    }
    Ok(seen)
}

/// Waits for the answer to what was asked, if something was.
///
/// # Cancel safety
/// Safe: the question goes on.
async fn answer(asking: &mut Option<Asking<'_>>) -> Answer {
    let Some(asked) = asking else { return pending().await };
    let answer = asked.await;
    *asking = None;
    answer
}

fn take(screen: &mut Screen, answer: Answer, answered: &mut Option<Instant>) -> Deed {
    match answer {
        Answer::Looked(looked) => {
            let now = Instant::now();
            let before = answered.replace(now);
            screen.take(looked, before.map_or(Duration::ZERO, |before| now - before));
            Deed::Nothing
        }
        Answer::Closed(id, told) => {
            screen.closed(id, &told);
            Deed::Look
        }
    }
}

/// Asks how it is. One that is not there is not asked again at once.
async fn look(server: &AdminRemote, path: String, asks_for_upstreams: bool) -> Answer {
    let sums = server.told(Method::GET, "/stats").await;
    let (mut list, mut has_upstreams) = (None, None);
    if !matches!(sums, Told::Gone(_)) {
        list = Some(server.told(Method::GET, &path).await);
        if asks_for_upstreams {
            let told = server.told(Method::GET, "/upstreams").await;
            has_upstreams = Some(matches!(&told, Told::Object(all) if super::has_upstreams(all)));
        }
    }
    Answer::Looked(Looked { sums, list, has_upstreams })
}

async fn close(server: &AdminRemote, id: u64) -> Answer {
    Answer::Closed(id, server.told(Method::DELETE, &format!("/connections/{id}")).await)
}
