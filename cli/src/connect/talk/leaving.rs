//! The end of a connection: what is said before it.

use super::Talk;
use crate::connect::plain::PlainCodec;
use bytes::Bytes;
use switchboard::Connection;

impl Talk<'_> {
    /// Gives up our seat: over UDP nobody sees that we are gone, and others would take us for a member for minutes.
    pub(super) async fn leave<C: PlainCodec>(&mut self, conn: &mut Connection<C>) -> anyhow::Result<()> {
        if C::TAKES_COOKIES && self.standing.has_seat() {
            self.send(conn, C::command(Bytes::from_static(b"/quit"))).await?;
        }
        Ok(())
    }
}
