//! The seam by which others reach the links of a worker, as rooms do: what the tick and the sweep call.
//!
//! Declared here and implemented above. A link knows neither who posts nor what is posted.

use super::tick::Tick;
use crate::turn::Turn;
use std::any::Any;
use std::pin::Pin;

/// What is posted to one worker's links from elsewhere, and delivered by its tick.
///
/// There is one for each worker, made by whoever posts first ([`Tick::delivery`]): a server without rooms never has one.
pub(crate) trait Delivery: Any + Send + Sync {
    /// Delivers what was posted since the last call, in that order; none if nothing was.
    fn deliver<'a>(&'a self, tick: &'a Tick, turn: &'a mut Turn) -> Option<Step<'a>>;

    /// Does what is due once a second, if anything is.
    fn sweep<'a>(&'a self, turn: &'a mut Turn) -> Option<Step<'a>>;

    /// Lets go of what was posted, and takes nothing more: nobody delivers any more, and it would keep its links for ever.
    fn end(&self);
}

/// One piece of work, which takes turns with everybody else's.
pub(crate) type Step<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
