//! Two connections as one, and a connection as a stream of bytes.

use super::harness::served::{Served, echo};
use std::time::Duration;
use switchboard::prelude::*;
use switchboard::{ByteStream, Memory, Relay, RelayEnd, Relayed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{sleep, timeout};

const MINUTE: Duration = Duration::from_mins(1);

type Change = fn(Relay<Raw, Raw>) -> Relay<Raw, Raw>;

/// A relay of `proxy` to `upstream`, which is given too, and what comes of each of its relays.
async fn behind<C: Codec>(
    proxy: Server,
    upstream: impl switchboard::Handler<C>,
    change: Change,
) -> (Served, Served, Receiver<Relayed>) {
    let (memory, (told, ended)) = (Memory::new(), channel(8));
    let upstream = Served::over(&memory, Server::new().memory(&memory, upstream)).await;
    let handler = async |conn: Connection<Raw>, (memory, told, change): (Memory, Sender<Relayed>, Change)| -> Result {
        let upstream = Client::new().memory(&memory).await?;
        Ok(told.send(change(relay(conn, upstream)).await).await?)
    };
    let state = (memory, told, change);
    (Served::in_memory(proxy, |proxy, memory| proxy.memory(&memory, (state, handler))), upstream, ended)
}

/// Answers with the length of all that came, once it has come.
async fn count(conn: Connection<Raw>) -> Result {
    let (mut stream, mut all) = (conn.into_io(), Vec::new());
    stream.read_to_end(&mut all).await?;
    stream.write_all(format!("{} bytes", all.len()).as_bytes()).await?;
    Ok(())
}

/// Sends for ever.
async fn pour(mut conn: Connection<Raw>) -> Result {
    loop {
        conn.send(vec![b'x'; 10_000]).await?;
    }
}

/// Reads nothing.
async fn deaf(conn: Connection<Raw>) {
    conn.closed().await;
}

#[tokio::test(start_paused = true)]
async fn an_end_of_input_is_passed_on_and_the_answer_comes_back() {
    let (proxy, upstream, mut ended) = behind(Server::new(), count, |relay| relay).await;
    let mut peer = proxy.connect();
    peer.send(vec![b'x'; 300_000]).await;
    peer.finish();
    assert_eq!(peer.rest().await.unwrap(), b"300000 bytes");
    let Relayed { forth, back, end, .. } = ended.recv().await.unwrap();
    assert_eq!((forth, back, end), (300_000, 12, RelayEnd::Finished));
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
    upstream.closed(CloseReason::PeerClosed).await;
}

#[tokio::test(start_paused = true)]
async fn who_is_served_first_may_finish_first() {
    let hello = async |mut conn: Connection<Raw>| -> Result {
        conn.send("hello").await?;
        let mut conn = conn.finish();
        while conn.recv().await?.is_some() {}
        Ok(())
    };
    let (proxy, _upstream, mut ended) = behind(Server::new(), hello, |relay| relay).await;
    let mut peer = proxy.connect();
    assert_eq!(peer.rest().await.unwrap(), b"hello");
    peer.send("and more").await;
    peer.finish();
    let Relayed { forth, back, end, .. } = ended.recv().await.unwrap();
    assert_eq!((forth, back, end), (8, 5, RelayEnd::Finished));
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_passed_on_either_way() {
    let (proxy, upstream, mut ended) = behind(Server::new(), echo, |relay| relay).await;
    let mut peer = proxy.connect();
    peer.send("hello\n").await;
    assert_eq!(peer.line().await, "hello\n");
    peer.reset();
    assert_eq!(ended.recv().await.unwrap().end, RelayEnd::First(CloseReason::PeerReset));
    upstream.closed(CloseReason::PeerReset).await;

    let (proxy, upstream, mut ended) = behind(Server::new(), pour, |relay| relay).await;
    let mut peer = proxy.connect();
    peer.bytes(100).await;
    upstream.handle.abort();
    peer.rest().await.unwrap_err();
    assert_eq!(ended.recv().await.unwrap().end, RelayEnd::Second(CloseReason::PeerReset));
}

#[tokio::test(start_paused = true)]
async fn who_has_finished_and_then_breaks_is_not_written_to_for_ever() {
    let bye = async |conn: Connection<Raw>| -> Result {
        let conn = conn.finish();
        sleep(MINUTE).await;
        drop(conn);
        Ok(())
    };
    let (proxy, upstream, mut ended) = behind(Server::new(), bye, |relay| relay).await;
    let mut peer = proxy.connect();
    assert_eq!(peer.rest().await.unwrap(), b"");
    upstream.handle.abort();
    while ended.try_recv().is_err() {
        timeout(MINUTE, peer.send("more")).await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_slowly_is_read_slowly() {
    let (proxy, _upstream, _ended) = behind(Server::new(), deaf, |relay| relay).await;
    let mut peer = proxy.connect();
    assert!(timeout(Duration::from_secs(5), peer.send(vec![b'x'; 4 << 20])).await.is_err());
    let held = proxy.handle.connections().list(None, 1)[0].bytes_in;
    // One read more than what is queued, and what the pipe to the other side holds.
    assert!(held <= (64 << 10) * 4, "{held} bytes were read");
}

#[tokio::test(start_paused = true)]
async fn silence_either_way_is_bounded_and_nothing_of_it_looks_whole() {
    let (proxy, upstream, mut ended) = behind(Server::new(), echo, |relay| relay.idle(MINUTE)).await;
    let mut peer = proxy.connect();
    for _ in 0..5 {
        sleep(Duration::from_secs(55)).await;
        peer.send("still here\n").await;
        assert_eq!(peer.line().await, "still here\n");
    }
    assert!(timeout(MINUTE, ended.recv()).await.is_err());
    assert_eq!(timeout(Duration::from_secs(4), ended.recv()).await.unwrap().unwrap().end, RelayEnd::Idle);
    peer.rest().await.unwrap_err();
    assert_eq!(peer.closed().await, CloseReason::Reset);
    upstream.closed(CloseReason::PeerReset).await;
}

/// Whoever never ends must not keep the other side's descriptor for ever.
#[tokio::test(start_paused = true)]
async fn what_is_half_over_has_a_silence_of_its_own() {
    let halved: Change = |relay| relay.half(MINUTE);
    let (proxy, _upstream, mut ended) = behind(Server::new(), deaf, halved).await;
    let mut peer = proxy.connect();
    assert!(timeout(MINUTE * 10, ended.recv()).await.is_err(), "nobody has finished");
    peer.finish();
    assert!(timeout(Duration::from_secs(58), ended.recv()).await.is_err());
    assert_eq!(timeout(Duration::from_secs(5), ended.recv()).await.unwrap().unwrap().end, RelayEnd::Idle);
    // It has finished, and what it waited for has not come.
    assert_eq!(peer.closed().await, CloseReason::Reset);

    // An answer that goes on is no silence.
    let beat = async |mut conn: Connection<Raw>| -> Result {
        for _ in 0..5 {
            sleep(Duration::from_secs(55)).await;
            conn.send("beat").await?;
        }
        Ok(())
    };
    let (proxy, _upstream, mut ended) = behind(Server::new(), beat, halved).await;
    let mut peer = proxy.connect();
    peer.finish();
    assert_eq!(peer.rest().await.unwrap(), b"beat".repeat(5));
    assert_eq!(ended.recv().await.unwrap().end, RelayEnd::Finished);
}

#[tokio::test(start_paused = true)]
async fn what_a_servers_own_client_opens_is_the_servers() {
    let memory = Memory::new();
    let _upstream = Served::over(&memory, Server::new().memory(&memory, echo)).await;
    let server = Server::new();
    let client = std::sync::Arc::new(server.handle().client());
    let proxy = Served::in_memory(server, |server, listened| {
        server.memory(&listened, move |conn: Connection<Raw>| {
            let (client, memory) = (std::sync::Arc::clone(&client), memory.clone());
            async move {
                let upstream: Connection<Raw> = client.memory(&memory).await.unwrap();
                relay(conn, upstream).await;
            }
        })
    });
    let mut peer = proxy.connect();
    peer.send("hello\n").await;
    assert_eq!(peer.line().await, "hello\n");
    assert_eq!((proxy.handle.connections().len(), proxy.handle.workers().len()), (2, 1), "on one worker");
    let listed = proxy.handle.connections().list(None, 9);
    assert_eq!(listed.iter().map(|info| info.outgoing).collect::<Vec<_>>(), [false, true]);
    proxy.handle.drain();
    peer.send("last words\n").await;
    peer.finish();
    assert_eq!(peer.rest().await.unwrap(), b"last words\n");
}

/// A download is no silence, though the client says nothing.
#[tokio::test(start_paused = true)]
async fn the_idle_timeout_of_a_listener_counts_from_the_last_byte_either_way() {
    let timeouts = Timeouts { idle: Some(MINUTE), ..Timeouts::default() };
    let beat = async |mut conn: Connection<Raw>| -> Result {
        for _ in 0..5 {
            sleep(Duration::from_secs(55)).await;
            conn.send("beat").await?;
        }
        sleep(MINUTE * 10).await;
        Ok(())
    };
    let (proxy, _upstream, mut ended) = behind(Server::new().timeouts(timeouts), beat, |relay| relay).await;
    let mut peer = proxy.connect();
    assert_eq!(peer.bytes(20).await, b"beat".repeat(5));
    assert!(timeout(MINUTE, ended.recv()).await.is_err());
    let ended = timeout(Duration::from_secs(4), ended.recv()).await.unwrap().unwrap();
    assert_eq!(ended.end, RelayEnd::First(CloseReason::Idle));
}

#[tokio::test(start_paused = true)]
async fn a_drain_cuts_no_upload_short() {
    let (proxy, _upstream, mut ended) = behind(Server::new(), count, |relay| relay).await;
    let mut peer = proxy.connect();
    peer.send("begun").await;
    proxy.left(1).await;
    proxy.handle.drain();
    sleep(Duration::from_secs(10)).await;
    peer.send(" and ended").await;
    peer.finish();
    assert_eq!(peer.rest().await.unwrap(), b"15 bytes");
    assert_eq!(ended.recv().await.unwrap().end, RelayEnd::Finished);
    assert_eq!(proxy.stop().await.aborted, 0);
}

#[tokio::test]
async fn a_websocket_is_relayed_to_a_stream_of_bytes() {
    let memory = Memory::new();
    let _upstream = Served::over(&memory, Server::new().memory(&memory, echo)).await;
    let proxy = async |conn: Connection<WebSocket>, memory: Memory| -> Result {
        relay(conn, Client::new().memory::<Raw>(&memory).await?).await;
        Ok(())
    };
    let proxy = Served::start(Server::new().workers(0).websocket("127.0.0.1:0", (memory, proxy))).await;
    let mut conn = Client::new().websocket(format!("ws://{}/", proxy.address())).await.unwrap();
    conn.send("hello\n").await.unwrap();
    let answer: bytes::Bytes = conn.recv().await.unwrap().unwrap().into();
    assert_eq!(answer, "hello\n");
    conn.close();
    proxy.closed(CloseReason::PeerClosed).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_read_and_written_as_any_of_tokios() {
    let handler = async |conn: Connection<Raw>| -> Result {
        let (mut reader, mut writer) = tokio::io::split(conn.into_io());
        tokio::io::copy(&mut reader, &mut writer).await?;
        Ok(writer.shutdown().await?)
    };
    let server = Served::in_memory(Server::new(), |server, memory| server.memory(&memory, handler));
    let (mut peer, sent) = (server.connect(), vec![b'x'; 300_000]);
    let receiving = tokio::spawn(async move {
        peer.send(&sent[..100_000]).await;
        assert_eq!(peer.bytes(100_000).await, &sent[..100_000]);
        peer.finish();
        assert_eq!(peer.rest().await.unwrap(), b"");
        peer.closed().await
    });
    assert_eq!(receiving.await.unwrap(), CloseReason::PeerClosed);
}

#[tokio::test(start_paused = true)]
async fn a_stream_shows_a_drain_and_reads_on() {
    let handler = async |conn: Connection<Raw>| -> Result {
        let mut stream = conn.into_io();
        stream.draining().await;
        stream.write_all(b"draining\n").await?;
        copy_back(&mut stream).await?;
        assert!(stream.is_draining());
        Ok(())
    };
    let server = Served::in_memory(Server::new(), |server, memory| server.memory(&memory, handler));
    let mut peer = server.connect();
    server.left(1).await;
    server.handle.drain();
    assert_eq!(peer.line().await, "draining\n");
    sleep(Duration::from_secs(10)).await;
    peer.send("late").await;
    peer.finish();
    assert_eq!(peer.rest().await.unwrap(), b"late");
    assert_eq!(server.stop().await.aborted, 0);
}

async fn copy_back(stream: &mut ByteStream) -> Result {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await?;
    stream.write_all(&all).await?;
    Ok(stream.flush().await?)
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_read_loses_nothing_and_an_end_says_what_it_was() {
    let handler = async |conn: Connection<Raw>, told: Sender<String>| -> Result {
        let (mut stream, mut bytes) = (conn.into_io(), [0; 6]);
        while timeout(Duration::from_millis(1), stream.read(&mut bytes[..3])).await.is_err() {}
        stream.read_exact(&mut bytes[3..]).await?;
        told.send(String::from_utf8_lossy(&bytes).into_owned()).await?;
        let error = stream.read(&mut bytes).await.unwrap_err();
        told.send(format!("{:?}: {error}", error.kind())).await?;
        Ok(stream.write_all(b"nobody hears").await?)
    };
    let (told, mut tells) = channel(2);
    let server = Served::in_memory(Server::new(), |server, memory| server.memory(&memory, (told, handler)));
    let mut peer = server.connect();
    sleep(Duration::from_secs(1)).await;
    peer.send("abcdef").await;
    assert_eq!(tells.recv().await.unwrap(), "abcdef");
    peer.reset();
    assert_eq!(tells.recv().await.unwrap(), "ConnectionReset: connection closed: peer-reset");
    server.closed(CloseReason::PeerReset).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_queues_no_more_than_an_outbox_holds_and_is_over_once_shut_down() {
    let handler = async |conn: Connection<Raw>| -> Result {
        let mut stream = conn.into_io();
        stream.write_all(&vec![b'x'; 1 << 20]).await?;
        stream.shutdown().await?;
        assert_eq!(stream.write(b"more").await.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
        Ok(())
    };
    let limits = Limits { outbox_bytes: 10_000, ..Limits::default() };
    let server = Served::in_memory(Server::new().limits(limits), |server, memory| server.memory(&memory, handler));
    let mut peer = server.connect();
    sleep(Duration::from_secs(1)).await;
    let sent = server.handle.connections().list(None, 1)[0].bytes_out;
    assert!(sent <= 256 << 10, "{sent} bytes left, and nobody reads");
    assert_eq!(peer.rest().await.unwrap().len(), 1 << 20);
    assert_eq!(peer.closed().await, CloseReason::Finished);
}
