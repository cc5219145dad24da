//! A connection from its first word to its last, which may have to show who it is first.
//!
//! One future for both, decided when it comes, and as long as the longer of them: there are many that wait.

use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use switchboard::Result;

pin_project! {
    /// First `arriving`, then what `serve` makes of whoever has arrived, if anybody has.
    #[project = Stage]
    pub(super) enum Serving<A, M, S> {
        Arriving { arriving: Pin<Box<A>>, serve: M },
        There { #[pin] serving: S },
    }
}

impl<A, T, M, S> Future for Serving<A, M, S>
where
    A: Future<Output = Result<Option<T>>>,
    M: Fn(T) -> S,
    S: Future<Output = Result>,
{
    type Output = Result;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result> {
        loop {
            let serving = match self.as_mut().project() {
                Stage::There { serving } => return serving.poll(cx),
                Stage::Arriving { arriving, serve } => match ready!(arriving.as_mut().poll(cx))? {
                    None => return Poll::Ready(Ok(())),
                    Some(arrived) => serve(arrived),
                },
            };
            self.set(Self::There { serving });
        }
    }
}
