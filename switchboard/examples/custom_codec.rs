// A codec of one's own: netstrings (`5:hello,`). `cargo run -p switchboard --example custom_codec`, then
// `printf '5:hello,' | nc -N 127.0.0.1 7001` prints `5:HELLO,`.
use switchboard::bytes::{Buf, Bytes, BytesMut};
use switchboard::prelude::*;

#[derive(Default)]
struct Netstrings;

impl Codec for Netstrings {
    type Frame = Bytes;

    fn decode(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<Bytes>, FrameError> {
        let digits = input.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 9 {
            return Err(FrameError::Malformed("length has too many digits"));
        }
        let Some(&colon) = input.get(digits) else { return Ok(None) };
        if digits == 0 || colon != b':' {
            return Err(FrameError::Malformed("no length"));
        }
        let length = input[..digits].iter().fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
        FrameError::if_longer(length, frame_bytes)?;
        let Some(&comma) = input.get(digits + 1 + length) else { return Ok(None) };
        if comma != b',' {
            return Err(FrameError::Malformed("no comma"));
        }
        input.advance(digits + 1);
        let payload = input.split_to(length).freeze();
        input.advance(1);
        Ok(Some(payload))
    }

    fn encode(&mut self, payload: Bytes, output: &mut Output) {
        output.put(format!("{}:", payload.len()).as_bytes());
        output.share(payload);
        output.put(b",");
    }
}

async fn shout(mut conn: Connection<Netstrings>) -> Result {
    while let Some(text) = conn.recv().await? {
        conn.send(text.to_ascii_uppercase()).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result {
    Server::new().tcp("127.0.0.1:7001", shout).serve_until(ctrl_c()).await?;
    Ok(())
}
