//! Joining over UDP: the server gives a cookie, and the same join with it behind shows that we receive at our address.

use bytes::Bytes;
use std::time::Duration;
use switchboard::grammar::{Command, Input, parse};
use tokio::time::Instant;

/// How long what is typed next waits for a join to be answered: until then it would be a stranger's.
const PATIENCE: Duration = Duration::from_secs(1);

/// Cookies that are returned for one join. A server that gives one after the other wants something else.
const MOST_COOKIES: usize = 3;

/// The last join that has not been answered by anything but a cookie.
#[derive(Debug, Default)]
pub(super) struct Joining(Option<Join>);

#[derive(Debug)]
struct Join {
    frame: Bytes,
    cookies: usize,
    /// When what is typed next is sent whatever has come.
    patience: Instant,
}

/// Whether it is the answer to a stranger's join.
pub(super) fn is_cookie(frame: &[u8]) -> bool {
    frame.strip_prefix(b"cookie=").is_some_and(|cookie| cookie.iter().all(u8::is_ascii_hexdigit))
}

impl Joining {
    /// Notes a frame that is sent.
    pub(super) fn sent(&mut self, frame: &Bytes, now: Instant) {
        if let Ok(Input::Command(Command::Join { cookie: None, .. })) = parse(frame.clone()) {
            self.0 = Some(Join { frame: frame.clone(), cookies: 0, patience: now + PATIENCE });
        }
    }

    /// What to send in return for a frame that is a cookie, and is not to be shown.
    pub(super) fn answer(&mut self, received: &[u8]) -> Option<Bytes> {
        let (true, Some(join)) = (is_cookie(received), &mut self.0) else {
            self.0 = None;
            return None;
        };
        if join.cookies == MOST_COOKIES {
            return None;
        }
        join.cookies += 1;
        let mut answer = join.frame.to_vec();
        answer.push(b' ');
        answer.extend_from_slice(received);
        Some(answer.into())
    }

    /// Waits until what is typed next may be sent: at once, unless a join has not been answered.
    pub(super) fn answered(&self) -> impl Future<Output = ()> + use<> {
        let patience = self.0.as_ref().map(|join| join.patience);
        async move {
            if let Some(patience) = patience {
                tokio::time::sleep_until(patience).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_cookie_is_returned_behind_the_join_that_asked_for_it() {
        let mut joining = Joining::default();
        assert_eq!(joining.answer(b"cookie=00"), None);
        joining.sent(&Bytes::from_static(b"/join ops since=k3f9-7"), Instant::now());
        assert_eq!(joining.answer(b"cookie=5ee47a1cd3b099").unwrap(), "/join ops since=k3f9-7 cookie=5ee47a1cd3b099");
        assert_eq!(joining.answer(b"* you are guest-7 in ops"), None);
        assert_eq!(joining.answer(b"cookie=5ee47a1cd3b099"), None, "it was answered");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_cookie_is_shown_and_no_server_is_answered_for_ever() {
        let mut joining = Joining::default();
        joining.sent(&Bytes::from_static(b"/join ops"), Instant::now());
        for _ in 0..MOST_COOKIES {
            assert!(joining.answer(b"cookie=00").is_some());
        }
        assert_eq!(joining.answer(b"cookie=00"), None);
        joining.sent(&Bytes::from_static(b"/join ops"), Instant::now());
        assert_eq!(joining.answer(b"cookie=xyz"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_typed_behind_a_join_waits_for_its_answer_a_second_at_most() {
        let (mut joining, started) = (Joining::default(), Instant::now());
        joining.answered().await;
        joining.sent(&Bytes::from_static(b"/join ops"), started);
        joining.answer(b"cookie=00");
        let waiting = joining.answered();
        joining.answer(b"* you are guest-7 in ops");
        joining.answered().await;
        assert_eq!(started.elapsed(), Duration::ZERO);
        waiting.await;
        assert_eq!(started.elapsed(), PATIENCE);
    }
}
