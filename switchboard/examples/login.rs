// Chat with login and kicks: `cargo run -p switchboard --example login`, then `nc 127.0.0.1 7006` in two terminals. Operators come by
// `nc -U operators.sock`, which is for who started it alone, and `/kick NAME`.
use std::time::Duration;
use switchboard::prelude::*;
use tokio::time::timeout;

async fn chat(mut conn: Connection<Lines>, (hub, lobby, may_kick): (Hub, Room, bool)) -> Result {
    conn.send("your name?").await?;
    let Ok(line) = timeout(Duration::from_secs(30), conn.recv()).await else {
        return Err(CloseReason::HandshakeTimeout.into());
    };
    let Some(line) = line? else { return Ok(()) };
    let session = hub.enter(&conn, Format::Text);
    let log_in = || -> Result { Ok(_ = session.rename(UserName::parse(&line.to_str_lossy())?)?) };
    if let Err(refusal) = log_in() {
        conn.send(format!("! {refusal}")).await?;
        return Ok(());
    }
    // From here on the room tells who comes and goes.
    let seat = session.join(&lobby, Join::default())?;
    let kick = |name: &str| UserName::parse(name).is_ok_and(|name| hub.close_with(&name, "an operator kicked you"));
    while let Some(line) = conn.recv().await? {
        match line.to_str_lossy().strip_prefix("/kick ") {
            None => _ = seat.publish(line)?,
            Some(_) if !may_kick => conn.send("! only operators kick").await?,
            Some(name) if kick(name) => _ = seat.publish(format!("kicked {name}"))?,
            Some(name) => conn.send(format!("! no one is named {name}")).await?,
        }
    }
    Ok(())
}

fn server(hub: Hub) -> Result<Server> {
    let lobby = hub.room("lobby")?;
    let server = Server::new().tcp("127.0.0.1:7006", ((hub.clone(), lobby.clone(), false), chat));
    Ok(server.unix("operators.sock", ((hub, lobby, true), chat)))
}

#[tokio::main]
async fn main() -> Result {
    server(Hub::new())?.serve_until(ctrl_c()).await?;
    Ok(())
}
