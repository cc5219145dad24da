//! How a run is shown while it goes on: live on a terminal, else a line a second.

mod live;

use crate::options::Plan;
use crate::report::Interval;
use crate::report::text;
use crate::{foreground, print};
use live::Live;
use std::io::{self, Write as _};

pub(crate) struct View {
    kind: Kind,
    ends: foreground::Ends,
}

enum Kind {
    Live(Box<Live>),
    Lines,
    /// Lines on stderr, since stdout is only for JSON.
    Aside,
}

impl View {
    pub(crate) fn new(plan: &Plan) -> io::Result<Self> {
        let kind = match (plan.json, plan.tui && foreground::is_to_draw_on()) {
            (true, _) => Kind::Aside,
            (false, true) => Kind::Live(Box::new(Live::new(plan)?)),
            (false, false) => Kind::Lines,
        };
        Ok(Self { kind, ends: foreground::Ends::install()? })
    }

    /// How many connections are ready, and how many never will be.
    pub(crate) fn opening(&mut self, ready: usize, failed: usize) -> io::Result<()> {
        if let Kind::Live(live) = &mut self.kind {
            live.opening(ready, failed);
            live.draw(None)?;
        }
        Ok(())
    }

    pub(crate) fn interval(&mut self, interval: &Interval) {
        // Nobody is left to tell if it is closed.
        let _ = match &mut self.kind {
            Kind::Live(live) => {
                live.interval(interval);
                Ok(())
            }
            Kind::Lines => print::write(format!("{}\n", text::line(interval)).as_bytes()),
            Kind::Aside => writeln!(io::stderr(), "{}", text::line(interval)),
        };
    }

    /// Shows how far the run is; returns whether somebody pressed a key to end it.
    pub(crate) fn tick(&mut self, elapsed: Option<u64>) -> io::Result<bool> {
        match &mut self.kind {
            Kind::Live(live) => {
                live.draw(elapsed)?;
                Live::asked_to_stop()
            }
            Kind::Lines | Kind::Aside => Ok(false),
        }
    }

    /// Waits for a signal.
    ///
    /// # Cancel safety
    /// Safe: a signal that came is kept.
    pub(crate) async fn asked_to_stop(&mut self) {
        self.ends.told().await;
    }
}
