//! Making a hub: its limits, who says what may be done in it, what is set of its rooms, and what keeps them. Rooms that a log has are there
//! before the hub is.

use super::elsewhere::Elsewhere;
use super::holding::Holding;
use super::log::{LogError, PageLimit, RoomLog};
use super::policy::{Governance, Policy};
use super::room::{RoomInner, RoomOptions};
use super::{Hub, HubLimits, OptionsByName};
use std::fmt;
use std::sync::Arc;
use switchboard_proto::RoomName;

/// Of the rooms that there may be, one in so many is free at the start, however many the log has; others are asleep until somebody asks for them.
const LEFT_FREE: usize = 16;

/// Builds a hub: see [`Hub::builder`].
#[must_use = "it is no hub until it is built"]
#[derive(Default)]
pub struct HubBuilder {
    limits: HubLimits,
    policy: Option<Arc<dyn Policy>>,
    options: Option<OptionsByName>,
    log: Option<Arc<dyn RoomLog>>,
    elsewhere: Option<Arc<dyn Elsewhere>>,
}

impl Hub {
    /// Builds a hub with limits, a policy, options of rooms, or a log.
    ///
    /// ```
    /// # use switchboard::{Hub, HubLimits, RoomOptions};
    /// let hub = Hub::builder()
    ///     .limits(HubLimits { rooms: 100, ..HubLimits::default() })
    ///     .room_options(|name| RoomOptions { durable: name.as_str() != "media", ..RoomOptions::default() })
    ///     .build()?;
    /// assert_eq!(hub.rooms(None, 10).total, 0);
    /// # Ok::<(), switchboard::log::LogError>(())
    /// ```
    pub fn builder() -> HubBuilder {
        HubBuilder::default()
    }
}

impl Hub {
    /// Waits until no publication is waiting for the log any more, those made meanwhile included. Without a log it does not wait. Call it after
    /// [`Bound::serve_until`](crate::Bound::serve_until), which has ended all connections by then.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn settled(&self) {
        self.0.holding.unsettled.settled().await;
    }
}

impl HubBuilder {
    /// How much it holds.
    pub fn limits(self, limits: HubLimits) -> Self {
        Self { limits, ..self }
    }

    /// Its policy: what sessions and members may do.
    pub fn policy(self, policy: Arc<dyn Policy>) -> Self {
        Self { policy: Some(policy), ..self }
    }

    /// The options of every room that has a name, as by [`Hub::set_room_options`]; those that the log brings back included.
    pub fn room_options(self, options: impl Fn(&RoomName) -> RoomOptions + Send + Sync + 'static) -> Self {
        Self { options: Some(Arc::new(options)), ..self }
    }

    /// The log that keeps its [durable](RoomOptions::durable) rooms: what is published there is shown only once the log has it. Await the
    /// [`Publication`](crate::Publication) to know when.
    pub fn log(self, log: Arc<dyn RoomLog>) -> Self {
        Self { log: Some(log), ..self }
    }

    /// The other nodes that share its rooms and its log: counts of members, and notices of who joins and leaves, cover all of them.
    pub fn elsewhere(self, elsewhere: Arc<dyn Elsewhere>) -> Self {
        Self { elsewhere: Some(elsewhere), ..self }
    }

    /// Makes the hub, with the rooms that the log has. Their ids continue, so clients can resume. Blocks until the log has read them; then
    /// the newest messages of each are in memory, within the bounds of its history and of all histories together.
    ///
    /// # Errors
    /// The log cannot be read. Without a log, none.
    pub fn build(self) -> Result<Hub, LogError> {
        let Self { limits, policy, options, log, elsewhere } = self;
        let hub = Hub::of(Holding::new(limits, policy.map(Governance::new), log.clone()));
        if let Some(elsewhere) = elsewhere {
            // It was just made.
            let _ = hub.0.holding.elsewhere.set(elsewhere);
        }
        hub.0.options.lock().clone_from(&options);
        if let Some(log) = log {
            let options = |name: &RoomName| options.as_ref().map_or_else(RoomOptions::default, |options| options(name));
            hub.restore(&*log, &options)?;
        }
        Ok(hub)
    }
}

impl Hub {
    fn restore(&self, log: &dyn RoomLog, options: &dyn Fn(&RoomName) -> RoomOptions) -> Result<(), LogError> {
        let holding = &self.0.holding;
        // Some are left for rooms that are made at the start, or by whoever comes before an empty one is asleep.
        let most = holding.limits.rooms - holding.limits.rooms.div_ceil(LEFT_FREE);
        let newest = |name: &RoomName| {
            // What is asleep has nothing in memory.
            if self.0.rooms.lock().len() >= most {
                return PageLimit { messages: 0, bytes: 0 };
            }
            let kept = options(name).kept(&holding.limits, true);
            let bytes = holding.room_for(0, kept.bytes);
            PageLimit { messages: if bytes < kept.bytes { 0 } else { kept.messages }, bytes }
        };
        log.rooms(&newest, &mut |stored| {
            let name = stored.name.clone();
            let options = options(&name);
            // One that is durable no more begins anew, and what the log has of it stays there.
            if !options.durable {
                return;
            }
            let mut rooms = self.0.rooms.lock();
            if rooms.len() < most {
                rooms.insert(name, RoomInner::restored(stored, options, Arc::clone(holding)));
            } else {
                options.tell(log, &name);
                self.0.asleep.lock().insert(name, stored.last);
            }
        })
    }
}

impl fmt::Debug for HubBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubBuilder").field("limits", &self.limits).finish_non_exhaustive()
    }
}
