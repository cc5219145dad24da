// A game lobby: four to a game, and all are told where each is 20 times a second. `cargo run -p switchboard --example lobby`, then
// `(printf '\0\0\0\2\1\377'; cat) | nc 127.0.0.1 7008 | xxd -c8` moves by (1, -1), and shows states of one player.
use parking_lot::Mutex;
use std::sync::atomic::{AtomicI16, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;
use switchboard::prelude::*;

/// Where a player is, for as long as it plays.
type Player = [AtomicI16; 2];

struct Game {
    room: Room,
    players: Mutex<Vec<Weak<Player>>>,
}

impl Game {
    /// Publishes states until everybody has left.
    async fn run(game: Weak<Self>) {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while let Some(game) = game.upgrade() {
            let place =
                |player: Arc<Player>| player.each_ref().map(|coordinate| coordinate.load(Relaxed).to_be_bytes());
            let state: Vec<_> = game.players.lock().iter().filter_map(Weak::upgrade).map(place).collect();
            game.room.publish(state.as_flattened().as_flattened());
            drop(game);
            ticks.tick().await;
        }
    }
}

/// The game that is not full yet.
type Lobby = Arc<Mutex<Weak<Game>>>;

async fn play(mut conn: Connection<Length>, (hub, lobby): (Hub, Lobby)) -> Result {
    let player = Arc::<Player>::default();
    let game = {
        let mut open = lobby.lock();
        let game = open.upgrade().filter(|game| game.players.lock().len() < 4).unwrap_or_else(|| {
            // Who reads too slowly gets the newest state.
            let room = hub.unnamed(RoomOptions {
                overflow: Overflow::Conflate,
                presence: PresenceNotices::Off,
                ..RoomOptions::default()
            });
            let game = Arc::new(Game { room, players: Mutex::default() });
            _ = conn.spawn(Game::run(Arc::downgrade(&game)));
            game
        });
        *open = Arc::downgrade(&game);
        game.players.lock().push(Arc::downgrade(&player));
        game
    };
    let _seat = conn.join(&game.room)?;
    while let Some(steps) = conn.recv().await? {
        let &[x, y] = &steps[..] else {
            return Err(CloseReason::BadFrame.into());
        };
        player[0].fetch_add(x.cast_signed().into(), Relaxed);
        player[1].fetch_add(y.cast_signed().into(), Relaxed);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result {
    let state = (Hub::new(), Lobby::default());
    Server::new().tcp("127.0.0.1:7008", (state, play)).serve_until(ctrl_c()).await?;
    Ok(())
}
