//! What the writer forgets of rooms: all of one, or what it has had so far. The rows go later, a step at a time.

use super::{Changed, Shelf, Writer};
use switchboard_proto::{MessageId, RoomName};

impl Writer<'_> {
    /// Its row loses its name, and goes with the last of its messages.
    pub(super) fn forget(&mut self, room: &RoomName, changed: &mut Changed) -> rusqlite::Result<()> {
        if let Some(shelf) = self.shelf(room, changed) {
            self.orphan(room.clone(), &shelf, changed)?;
        }
        Ok(())
    }

    /// What stays of it, which is little, goes to a row of its own; the one with the rest is forgotten, however much that is.
    pub(super) fn purge(&mut self, room: &RoomName, upto: MessageId, changed: &mut Changed) -> rusqlite::Result<()> {
        let Some(shelf) = self.shelf(room, changed).filter(|shelf| shelf.epoch == upto.epoch) else { return Ok(()) };
        let upto = upto.seq.min(shelf.last);
        if upto <= shelf.gone {
            return Ok(());
        }
        self.file()?;
        let gone_sum = if upto == shelf.last { shelf.last_sum } else { self.statements.sum_at(shelf.id, upto)? };
        self.orphan(room.clone(), &shelf, changed)?;
        let id = self.make(room, MessageId { epoch: shelf.epoch, seq: upto })?.id;
        self.statements.take_over(shelf.id, id, upto, gone_sum)?;
        changed.insert(room.clone(), Some(Shelf { id, gone: upto, gone_sum, ..shelf }));
        Ok(())
    }

    pub(super) fn orphan(&mut self, room: RoomName, shelf: &Shelf, changed: &mut Changed) -> rusqlite::Result<()> {
        // What is not filed would be nobody's.
        self.file()?;
        self.statements.orphan(shelf.id)?;
        self.has_orphans = true;
        changed.insert(room, None);
        Ok(())
    }
}
