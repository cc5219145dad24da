// The lobby on tokio alone, with the guarantees that README.md lists: to compare, and not to copy.
use bytes::Bytes;
use parking_lot::Mutex;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicI16, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const CONNECTIONS: usize = 10_000;
const TO_WRITE: Duration = Duration::from_secs(10);
const LINGER: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_secs(30);

/// Where a player is, for as long as it plays.
type Player = [AtomicI16; 2];

struct Game {
    states: watch::Sender<Bytes>,
    players: Mutex<Vec<Weak<Player>>>,
}

/// The game that is not full yet.
type Lobby = Arc<Mutex<Weak<Game>>>;

impl Game {
    /// Makes states until everybody has left.
    async fn run(game: Weak<Self>) {
        let mut ticks = interval(Duration::from_millis(50));
        while let Some(game) = game.upgrade() {
            let place =
                |player: Arc<Player>| player.each_ref().map(|coordinate| coordinate.load(Relaxed).to_be_bytes());
            let state: Vec<_> = game.players.lock().iter().filter_map(Weak::upgrade).map(place).collect();
            let state = state.as_flattened().as_flattened();
            // Once for all players.
            game.states.send_replace([&(state.len() as u32).to_be_bytes(), state].concat().into());
            drop(game);
            ticks.tick().await;
        }
    }
}

/// Writes within a time that counts from the last progress.
async fn write(to: &mut OwnedWriteHalf, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = timeout(TO_WRITE, to.write(bytes)).await??;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// Tells states. Who reads too slowly gets the newest one.
async fn tell(to: &mut OwnedWriteHalf, mut states: watch::Receiver<Bytes>, stop: &CancellationToken) -> io::Result<()> {
    // Not while it writes: a frame is whole, at the end too.
    while let Some(Ok(())) = stop.run_until_cancelled(states.changed()).await {
        let frame = states.borrow_and_update().clone();
        write(to, &frame).await?;
    }
    Ok(())
}

/// Takes steps until the player has finished, or sends what is none.
async fn hear(from: &mut BufReader<OwnedReadHalf>, player: &Player) -> io::Result<()> {
    loop {
        let length = match from.read_u32().await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            length => length?,
        };
        if length != 2 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        player[0].fetch_add(from.read_i8().await?.into(), Relaxed);
        player[1].fetch_add(from.read_i8().await?.into(), Relaxed);
    }
}

async fn play(stream: TcpStream, lobby: Lobby, stop: CancellationToken, games: TaskTracker) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::with_capacity(256, from);
    let player = Arc::<Player>::default();
    let (game, states) = {
        let mut open = lobby.lock();
        let game = open.upgrade().filter(|game| game.players.lock().len() < 4).unwrap_or_else(|| {
            let game = Arc::new(Game { states: watch::Sender::default(), players: Mutex::default() });
            games.spawn(Game::run(Arc::downgrade(&game)));
            game
        });
        *open = Arc::downgrade(&game);
        game.players.lock().push(Arc::downgrade(&player));
        let states = game.states.subscribe();
        (game, states)
    };
    let hearing = async {
        let heard = stop.run_until_cancelled(hear(&mut from, &player)).await;
        stop.cancel();
        heard.unwrap_or(Ok(()))
    };
    let telling = async {
        let told = tell(&mut to, states, &stop).await;
        stop.cancel();
        told
    };
    let (heard, told) = tokio::join!(hearing, telling);
    drop((player, game));
    // What is on its way would be lost if the socket were closed while something in it is unread.
    to.shutdown().await?;
    _ = timeout(LINGER, tokio::io::copy(&mut from, &mut tokio::io::sink())).await;
    heard.and(told)
}

async fn serve(listener: TcpListener, drain: impl Future<Output = ()>) {
    let (lobby, draining, games) = (Lobby::default(), CancellationToken::new(), TaskTracker::new());
    let (mut connections, mut drain) = (JoinSet::new(), pin!(drain));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Those that have finished are forgotten.
            Some(_) = connections.join_next() => continue,
            () = &mut drain => break,
        };
        match accepted {
            Ok((stream, _)) if connections.len() < CONNECTIONS => {
                connections.spawn(play(stream, lobby.clone(), draining.child_token(), games.clone()));
            }
            Ok(refused) => drop(refused),
            // Without descriptors it would fail again at once.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
    drop(listener);
    draining.cancel();
    if timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await.is_err() {
        connections.shutdown().await;
    }
}

#[tokio::main]
async fn main() -> io::Result<()> {
    serve(TcpListener::bind("127.0.0.1:7008").await?, switchboard::ctrl_c()).await;
    Ok(())
}
