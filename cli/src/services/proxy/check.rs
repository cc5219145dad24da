//! Asking upstreams every few seconds whether they answer, apart from the connections that are passed on to them.

use super::pool::{Pool, is_own};
use super::until_drained;
use memchr::memmem;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use switchboard::Handle;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

const EVERY: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(2);

/// Failures in a row after which one is taken out, and successes after which it is back.
const FALL: u32 = 3;
const RISE: u32 = 2;

/// In what an answer is looked for.
const ANSWER_BYTES: usize = 4 << 10;

/// How an upstream is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Check {
    Off,
    /// Whether it accepts a connection.
    Accepts,
    /// Whether it answers a text with another one.
    Answers {
        send: Vec<u8>,
        expect: Vec<u8>,
    },
}

impl Check {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "off" => return Ok(Self::Off),
            "tcp" => return Ok(Self::Accepts),
            _ => {}
        }
        let texts = text.strip_prefix("send=").and_then(|rest| rest.split_once(",expect="));
        let (send, expect) = texts.ok_or("not off, tcp or send=TEXT,expect=TEXT")?;
        if expect.is_empty() || expect.len() > ANSWER_BYTES {
            return Err("not a check: what it expects has 1 to 4096 bytes".to_owned());
        }
        Ok(Self::Answers { send: send.as_bytes().to_vec(), expect: expect.as_bytes().to_vec() })
    }

    /// Asks each upstream until the server drains.
    pub(super) fn begin(self, pool: &Arc<Pool>, handle: &Handle) {
        if self == Self::Off {
            return;
        }
        for at in 0..pool.upstreams().len() {
            let (pool, check) = (Arc::clone(pool), self.clone());
            until_drained(handle, async move { check.keep_asking(&pool, at).await });
        }
    }

    async fn keep_asking(&self, pool: &Pool, at: usize) -> Infallible {
        let (mut failures, mut successes) = (0, 0);
        loop {
            match self.ask(pool, at).await {
                Ok(()) => {
                    pool.counts(at).checks_passed.add(1);
                    (failures, successes) = (0, successes + 1);
                }
                // It was not asked.
                Err(error) if is_own(&error) => {}
                Err(error) => {
                    pool.counts(at).checks_failed.add(1);
                    (failures, successes) = (failures + 1, 0);
                    // Again and again, as the last upstream that is in cannot be taken out, and may be no longer the last.
                    if failures >= FALL {
                        pool.checked(at, Some(&error.to_string()));
                    }
                }
            }
            if successes >= RISE {
                pool.checked(at, None);
            }
            sleep(EVERY).await;
        }
    }

    async fn ask(&self, pool: &Pool, at: usize) -> io::Result<()> {
        let asked = timeout(ANSWER, async {
            match pool.upstreams()[at].place() {
                Ok(address) => self.ask_over(TcpStream::connect(address).await?).await,
                Err(path) => self.ask_over(UnixStream::connect(path).await?).await,
            }
        });
        asked.await.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer within 2 s")))
    }

    async fn ask_over(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let Self::Answers { send, expect } = self else { return Ok(()) };
        stream.write_all(send).await?;
        let mut answer = Vec::with_capacity(ANSWER_BYTES);
        while memmem::find(&answer, expect).is_none() {
            let before = answer.len();
            (&mut stream).take((ANSWER_BYTES - before) as u64).read_buf(&mut answer).await?;
            if answer.len() == before {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "another answer than expected"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::choice::Balance;
    use super::super::counts::State;
    use super::super::upstream::Upstream;
    use super::*;
    use switchboard_load::typed::Scheme;

    #[test]
    fn checks_are_read_as_typed() {
        let answers = |send: &str, expect: &str| Check::Answers { send: send.into(), expect: expect.into() };
        assert_eq!(Check::parse("off"), Ok(Check::Off));
        assert_eq!(Check::parse("tcp"), Ok(Check::Accepts));
        assert_eq!(Check::parse("send=PING\r\n,expect=+PONG"), Ok(answers("PING\r\n", "+PONG")));
        assert_eq!(Check::parse("send=,expect=220 "), Ok(answers("", "220 ")), "a server that speaks first");
        for wrong in ["", "on", "send=PING", "expect=x", "send=x,expect="] {
            Check::parse(wrong).expect_err(wrong);
        }
    }

    /// A server that is there, and a place where nobody is.
    async fn pool(check: &Check) -> (tokio::net::TcpListener, Arc<Pool>, impl Future<Output = Infallible>) {
        let there = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let nowhere = std::env::temp_dir().join(format!("switchboard-{}-nobody", std::process::id()));
        let to = format!("unix://{},tcp://{}", nowhere.display(), there.local_addr().expect("an address"));
        let urls = Upstream::parse_all(&to, &[Scheme::Unix, Scheme::Tcp]).expect("upstreams");
        let upstreams = urls.into_iter().map(|url| Upstream::new(url, None)).collect();
        let pool = Pool::new(upstreams, &[1, 1], (Balance::Round, usize::MAX), (1, ANSWER));
        let asked = {
            let (pool, check) = (Arc::clone(&pool), check.clone());
            async move { check.keep_asking(&pool, 0).await }
        };
        (there, pool, asked)
    }

    #[tokio::test(start_paused = true)]
    async fn one_failure_says_nothing_and_three_say_that_it_is_gone() {
        let (_there, pool, asked) = pool(&Check::Accepts).await;
        assert!(timeout(EVERY + ANSWER, asked).await.is_err(), "it goes on");
        let state = |at: usize| pool.figures().upstreams[at].state;
        assert_eq!(state(0), State::In, "after two");
        let asked = Check::Accepts.keep_asking(&pool, 0);
        assert!(timeout(EVERY * 2 + ANSWER, asked).await.is_err(), "it goes on");
        assert_eq!([state(0), state(1)], [State::Down, State::In], "after three");
        assert!(pool.figures().upstreams[0].checks_failed >= 3);
    }

    #[tokio::test]
    async fn an_answer_is_found_wherever_it_is_in_the_first_bytes() {
        let check = Check::parse("send=PING\n,expect=PONG").expect("a check");
        for (answer, is_found) in [("+PONG\n", true), ("hello\nPO|NG", true), ("-ERR\n", false), ("", false)] {
            let (near, mut far) = tokio::io::duplex(64);
            let served = async {
                let mut asked = [0; 5];
                far.read_exact(&mut asked).await.expect("the question");
                assert_eq!(&asked, b"PING\n");
                for part in answer.split('|') {
                    far.write_all(part.as_bytes()).await.expect("room for it");
                    tokio::task::yield_now().await;
                }
                drop(far);
            };
            let (asked, ()) = tokio::join!(check.ask_over(near), served);
            assert_eq!(asked.is_ok(), is_found, "{answer}");
        }
    }
}
