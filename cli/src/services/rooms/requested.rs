//! What programs that speak NATS and are no nodes ask to be published: in one name, with the rights that the file gives it.

use super::commands::{unmade, unpublished};
use crate::policy::configured::FilePolicy;
use crate::running::KeptIn;
use crate::services::{Shared, received};
use std::convert::Infallible;
use std::sync::Arc;
use switchboard::grammar::{ErrorCode, Failure, Reply};
use switchboard::log::{NatsRequest, NatsRequests};
use switchboard::policy::Claimant;
use switchboard::{Format, Handle, PeerAddr, Publication, Room, Session, UserName};

/// What a publication is called where it is told that it was not allowed.
const ACTION: &str = "publish";

/// Publishes what is asked for, as `name`, until the server drains. Never returns.
pub(crate) async fn publish_as(name: Option<UserName>, shared: &Shared, handle: &Handle) -> Infallible {
    let engine = shared.running.kept().and_then(KeptIn::cluster);
    if let (Some(name), Some(engine)) = (name, engine)
        && let Some(publisher) = Publisher::new(name, shared)
    {
        let requests = engine.requests();
        tokio::select! {
            never = publisher.take(&requests, handle) => match never {},
            () = handle.draining() => {}
        }
    }
    std::future::pending().await
}

/// In whose name all of it is published.
struct Publisher<'a> {
    session: Session,
    shared: &'a Shared,
}

impl<'a> Publisher<'a> {
    fn new(name: UserName, shared: &'a Shared) -> Option<Self> {
        // Nobody can take that name, so that it is always free.
        let session = shared.hub.session(UserName::http(), Format::Json).ok()?;
        session.authorize(Arc::new(FilePolicy::by_listener(name)));
        Some(Self { session, shared })
    }

    /// In the order in which they come; each is answered once it is kept, or cannot be.
    async fn take(&self, requests: &NatsRequests, handle: &Handle) -> Infallible {
        loop {
            let request = requests.next().await;
            match self.publish(&request).await {
                // What others ask for does not wait for that.
                Ok((room, publication)) => drop(handle.spawn(confirm(request, room, publication))),
                Err(failure) => refuse(request, &failure),
            }
        }
    }

    async fn publish(&self, request: &NatsRequest) -> Result<(Room, Publication), Failure> {
        let published = self.published(request).await;
        published.inspect_err(|failure| {
            if let Some(policy) = self.shared.policy.as_ref().filter(|_| failure.code == ErrorCode::NotAllowed) {
                let claimant = Claimant::new(PeerAddr::Memory);
                policy.audit.denied(&self.session.principal(), &claimant, ACTION, Some(request.room()));
            }
        })
    }

    async fn published(&self, request: &NatsRequest) -> Result<(Room, Publication), Failure> {
        received::log(&PeerAddr::Memory, request.payload());
        let limit = self.shared.frame_bytes.now();
        if request.payload().len() > limit {
            return Err(Failure::new(ErrorCode::FrameTooLong, format!("longer than {limit} bytes")));
        }
        let room = self.session.room(request.room()).map_err(unmade)?;
        // As a connection that publishes is not read meanwhile.
        room.ready().await;
        let publication = self.session.publish(&room, request.payload()).map_err(unpublished)?;
        Ok((room, publication))
    }
}

async fn confirm(request: NatsRequest, room: Room, publication: Publication) {
    match publication.await.map_err(unpublished) {
        Ok(published) => {
            let reply = Reply::Published { room: room.name().clone(), id: published.id, time: published.time };
            request.answer(&Format::Json.reply(&reply).concat());
        }
        Err(failure) => refuse(request, &failure),
    }
}

fn refuse(request: NatsRequest, failure: &Failure) {
    // Nothing that JSON cannot express.
    if let Some(told) = Format::Json.failure(failure) {
        request.answer(&told);
    }
}
