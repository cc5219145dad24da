//! Servers that are wrong on purpose, each once: so that what finds faults is seen to find them.

use parking_lot::Mutex;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// What is done wrong to a message, by its place among those of a connection. The first of all finds out the prefix.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Lose,
    Repeat,
    /// Together with the one behind it.
    Swap,
    Corrupt,
}

const FAULTS: [(usize, Fault); 4] = [(10, Fault::Lose), (20, Fault::Repeat), (30, Fault::Swap), (50, Fault::Corrupt)];

fn fault(place: usize) -> Option<Fault> {
    FAULTS.iter().find(|(at, _)| *at == place).map(|(_, fault)| *fault)
}

/// Echoes lines, of which some are lost, repeated, swapped or corrupt.
pub(super) struct Echo {
    pub(super) url: String,
}

impl Echo {
    pub(super) fn start() -> Self {
        Self { url: listen(|stream| move || echo(&stream)) }
    }
}

/// A chat: each line goes to all others, and to the first member of all with faults.
pub(super) struct Chat {
    pub(super) url: String,
}

impl Chat {
    pub(super) fn start() -> Self {
        let members: Arc<Mutex<Vec<Member>>> = Arc::default();
        let join = move |stream: TcpStream| {
            let faults = members.lock().is_empty().then(Faulty::default);
            let copy = stream.try_clone().expect("a descriptor");
            members.lock().push(Member { stream: copy, faults });
            let members = Arc::clone(&members);
            move || chat(&stream, &members)
        };
        Self { url: listen(join) }
    }
}

/// Serves each connection in a thread of its own, until the test's process ends. `accept` comes before that, in order.
fn listen<S: FnOnce() + Send + 'static>(accept: impl Fn(TcpStream) -> S + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(accept(stream));
        }
    });
    url
}

fn lines(stream: &TcpStream) -> impl Iterator<Item = Vec<u8>> {
    BufReader::new(stream.try_clone().expect("a descriptor")).split(b'\n').map_while(Result::ok)
}

fn echo(mut stream: &TcpStream) {
    let mut faults = Faulty::default();
    for line in lines(stream) {
        if stream.write_all(&faults.replies(&line)).is_err() {
            return;
        }
    }
}

struct Member {
    stream: TcpStream,
    /// What is done wrong to it.
    faults: Option<Faulty>,
}

fn chat(stream: &TcpStream, members: &Mutex<Vec<Member>>) {
    let own = stream.peer_addr().expect("it is connected");
    for line in lines(stream) {
        let mut members = members.lock();
        for Member { stream, faults } in members.iter_mut() {
            if stream.peer_addr().is_ok_and(|address| address == own) {
                continue;
            }
            // A message without a number is sent until all have heard one, and is no fault's.
            let numbered = line.get(9..17) != Some(b"00000000");
            let text = match faults {
                Some(faults) if numbered => faults.notices(&line),
                _ => ended(&line),
            };
            // A member that is gone misses nothing.
            let _ = stream.write_all(&text);
        }
    }
}

#[derive(Default)]
struct Faulty {
    place: usize,
    held: Vec<u8>,
}

impl Faulty {
    /// What comes of a line, with the faults of its place.
    fn replies(&mut self, line: &[u8]) -> Vec<u8> {
        let place = self.place;
        self.place += 1;
        let line = ended(line);
        let mut replies = match fault(place) {
            None => line,
            Some(Fault::Lose) => Vec::new(),
            Some(Fault::Repeat) => line.repeat(2),
            Some(Fault::Swap) => {
                self.held = line;
                return Vec::new();
            }
            Some(Fault::Corrupt) => {
                let mut line = line;
                let last = line.len() - 2;
                line[last] ^= 1;
                line
            }
        };
        replies.append(&mut self.held);
        replies
    }

    /// The same, and two messages that are missing are announced.
    fn notices(&mut self, line: &[u8]) -> Vec<u8> {
        match self.place {
            70 => {
                self.place += 1;
                Vec::new()
            }
            71 => {
                self.place += 1;
                b"* [bench] lost 2 messages, from 71\n".to_vec()
            }
            _ => self.replies(line),
        }
    }
}

fn ended(line: &[u8]) -> Vec<u8> {
    [line, b"\n"].concat()
}
