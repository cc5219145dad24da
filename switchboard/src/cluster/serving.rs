//! The task that speaks for a node: beats, tells what has changed in its rooms, and hears what the others tell.

use super::Shared;
use super::asking::{self, NodeQuestion};
use super::bus::ReplyTo;
use super::table::{BEAT, Effects};
use super::words::RoomCount;
use crate::hub::elsewhere::{HubHere, RoomNews};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use switchboard_proto::RoomName;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

/// The others are told what has changed at most this often.
const NEWS_EVERY: Duration = Duration::from_secs(1);

/// Rooms that are looked at before other tasks have their turn.
const AT_ONCE: usize = 256;

/// Rooms of this node of which the others are told while nobody else may look at the table.
const TOLD_AT_ONCE: usize = 1024;

pub(super) struct NodeTask {
    shared: Arc<Shared>,
    hub: HubHere,
    began: Instant,
    beat_at: Instant,
}

impl NodeTask {
    pub(super) fn new(shared: Arc<Shared>, hub: HubHere) -> Self {
        let began = Instant::now();
        Self { shared, hub, began, beat_at: began }
    }

    pub(super) async fn run(mut self) {
        let mut news_at = self.began;
        loop {
            for (word, asker) in self.shared.heard.take() {
                match asker {
                    Some(asker) => self.answer(&word, asker),
                    None => self.hear(&word).await,
                }
                self.breathe().await;
            }
            self.beat();
            // Of whoever has not beaten for long.
            self.follow(Effects::default()).await;
            let now = Instant::now();
            let has_news = !self.shared.changed.lock().is_empty();
            if has_news && news_at <= now {
                news_at = now + NEWS_EVERY;
                self.tell_news().await;
            }
            let next = if has_news { self.beat_at.min(news_at) } else { self.beat_at };
            // Both may be dropped at any time.
            tokio::select! {
                () = self.shared.heard.said.notified() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    async fn hear(&mut self, word: &[u8]) {
        let outcome = self.shared.table.lock().hear(word, self.began.elapsed());
        self.follow(outcome).await;
    }

    /// Lets other tasks have their turn, of which the log's is on this thread too. However much there is to do, this node goes on beating.
    async fn breathe(&mut self) {
        yield_now().await;
        self.beat();
    }

    /// Says that this node is there, if it is time to; those that have not for long are to be forgotten.
    fn beat(&mut self) {
        let now = Instant::now();
        if self.beat_at <= now {
            self.beat_at = now + BEAT;
            let beat = {
                let mut table = self.shared.table.lock();
                table.expire(self.began.elapsed());
                table.beat()
            };
            self.shared.bus.tell_all(beat);
        }
    }

    /// Tells the others what has changed in rooms of this node.
    async fn tell_news(&mut self) {
        let rooms = std::mem::take(&mut *self.shared.changed.lock());
        for some in rooms.chunks(TOLD_AT_ONCE) {
            let mut news: Vec<(RoomCount, RoomNews)> = Vec::new();
            for (place, room) in some.iter().enumerate() {
                news.push(self.news(room.clone()));
                if place % AT_ONCE == AT_ONCE - 1 {
                    self.breathe().await;
                }
            }
            let pieces = self.shared.table.lock().tell(news);
            for piece in pieces {
                self.shared.bus.tell_all(piece);
            }
        }
    }

    fn news(&self, room: RoomName) -> (RoomCount, RoomNews) {
        match self.hub.news(&room) {
            Some((members, news)) => ((room, Some(u32::try_from(members).unwrap_or(u32::MAX))), news),
            None => ((room, None), RoomNews::default()),
        }
    }

    /// Answers what another node has asked; what cannot be understood is not answered.
    fn answer(&self, word: &Bytes, asker: ReplyTo) {
        let told = match NodeQuestion::read(word) {
            Some(NodeQuestion::Tell { to, from, text }) => self.hub.tell(&to, from, text),
            Some(NodeQuestion::Who { room, most }) => asking::names(&self.hub.members(&room, most)),
            Some(NodeQuestion::Yield { name, proof }) => {
                let is_free = self.hub.yields(&name, &proof);
                self.shared.kept.notify_one();
                Bytes::from_static(if is_free { b"yes" } else { b"no" })
            }
            Some(NodeQuestion::Account) => self.shared.account.get().map(|account| account()).unwrap_or_default(),
            None => return,
        };
        self.shared.bus.answer(&asker, told);
    }

    /// Does what was heard, and forgets what is to be forgotten.
    async fn follow(&mut self, mut effects: Effects) {
        loop {
            let Effects { said, changes } = effects;
            for (node, word) in said {
                match node {
                    Some(node) => self.shared.bus.tell(node, word),
                    None => self.shared.bus.tell_all(word),
                }
            }
            for (place, change) in changes.into_iter().enumerate() {
                self.hub.changed(&change.room, change.members, change.news);
                if place % AT_ONCE == AT_ONCE - 1 {
                    self.breathe().await;
                }
            }
            let Some(more) = self.shared.table.lock().forget_more() else { return };
            effects = more;
            self.breathe().await;
        }
    }
}
