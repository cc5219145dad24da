//! What an operator does with a log that nodes share, beside them: looks at it, and has all rooms begin anew. Nothing is made that is not there.

use super::asked::{Answers, Outcome};
use super::shared::Progress;
use super::subjects::{self, BUCKETS};
use super::{NatsEngine, NatsError, NatsOptions, OPEN_TIME, api, bus, stream};
use crate::cluster::{NodeId, account_question};
use crate::hub::log::answered;
use crate::log::replica::{AppendError, Engine as _, EnvelopeToken, Incarnation, LogEnvelope, Position, Stored};
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;
use switchboard_proto::{Epoch, RoomName};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

const LOG: &str = "$JS.API.STREAM.INFO.SB";
const NODE_RECORDS: &str = "$JS.API.STREAM.INFO.SBN";
const NODES: &str = "sb.k.node.";

const TIME: Duration = Duration::from_secs(5);

/// How long a node has to say what it is.
const NODE_TIME: Duration = Duration::from_secs(2);

/// How often an epoch is begun in a room that somebody publishes to meanwhile, and how long it waits between.
const TRIES: usize = 100;
const BREATH: Duration = Duration::from_millis(50);

/// What there is of a log that nodes share, and who shares it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NatsStatus {
    /// The nats-server that has told it.
    pub server: String,
    /// Its version.
    pub version: String,
    /// The log, if there is one.
    pub log: Option<NatsLogStatus>,
    /// Nodes that have a lease.
    pub nodes: Vec<NatsNode>,
}

/// A node that has a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NatsNode {
    /// What it calls itself.
    pub id: String,
    /// What it [says of itself](crate::cluster::Cluster::introduce); none if it does not answer.
    pub account: Option<Bytes>,
}

/// A log that nodes share.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NatsLogStatus {
    /// `file` or `memory`.
    pub storage: String,
    /// nats-servers that have it.
    pub copies: u64,
    /// The one that leads, where there are several and one does.
    pub leader: Option<String>,
    /// Rooms that it has anything of.
    pub rooms: u64,
    /// Envelopes, each of messages that a node published at once.
    pub envelopes: u64,
    /// Bytes that those take.
    pub bytes: u64,
}

impl NatsEngine {
    /// Connects, and makes nothing: only for [`status`](Self::status) and [`new_epochs`](Self::new_epochs).
    ///
    /// # Errors
    /// No server lets it in.
    ///
    /// # Cancel safety
    /// Safe: the connection is closed.
    pub async fn attach(options: NatsOptions) -> Result<Self, NatsError> {
        let engine = Self::start(options)?;
        engine.connected(Instant::now() + OPEN_TIME).await?;
        Ok(engine)
    }

    /// What there is.
    ///
    /// # Errors
    /// The server does not say.
    pub async fn status(&self) -> Result<NatsStatus, NatsError> {
        let (server, version) = match &*self.shared.progress.borrow() {
            Progress::There(standing) => (standing.server.clone(), standing.version.clone()),
            Progress::Away(_) => Default::default(),
        };
        let log = self.info(LOG, "").await?;
        let records = self.info(NODE_RECORDS, &format!("{NODES}>")).await?.unwrap_or_default();
        let node = |subject: &String| subject.strip_prefix(NODES).map(str::to_owned);
        let subjects = records["state"]["subjects"].as_object();
        let mut nodes: Vec<_> = subjects.into_iter().flat_map(|subjects| subjects.keys().filter_map(node)).collect();
        nodes.sort_unstable();
        // All are asked at once.
        let asked: Vec<_> = nodes.into_iter().map(|id| (self.account(&id), id)).collect();
        let mut nodes = Vec::new();
        for (told, id) in asked {
            let account = told.await.ok().and_then(|outcome| outcome.answer("it is gone").ok());
            nodes.push(NatsNode { id, account: account.filter(|account| !account.is_empty()) });
        }
        let log = log.map(|info| NatsLogStatus {
            storage: info["config"]["storage"].as_str().unwrap_or_default().to_owned(),
            copies: info["config"]["num_replicas"].as_u64().unwrap_or(1),
            leader: info["cluster"]["leader"].as_str().map(str::to_owned),
            rooms: info["state"]["num_subjects"].as_u64().unwrap_or_default(),
            envelopes: info["state"]["messages"].as_u64().unwrap_or_default(),
            bytes: info["state"]["bytes"].as_u64().unwrap_or_default(),
        });
        Ok(NatsStatus { server, version, log, nodes })
    }

    /// What a node says of itself, if it does.
    fn account(&self, id: &str) -> oneshot::Receiver<Outcome> {
        let (done, told) = answered();
        if let Ok(id) = u64::from_str_radix(id, 16).map(NodeId) {
            let (subject, question) = (bus::one(id), account_question());
            self.shared.ask(&subject, "", &question, Answers::Node(id), NODE_TIME, done);
        }
        told
    }

    /// Begins all rooms of the log anew, each behind what it has, so that no id is used twice: after an older copy of the log was put back, and
    /// no node is left that knew a later one. Nodes may run meanwhile: their members are told `reset`. Says how many rooms there are.
    ///
    /// # Errors
    /// There is no log, it cannot be read or appended to, or a room has what is no envelope of this version: those before it have begun anew.
    ///
    /// # Cancel safety
    /// It may be called again: rooms that have begun anew do so once more.
    pub async fn new_epochs(&self) -> Result<usize, NatsError> {
        let info = self.info(LOG, "").await?.ok_or_else(|| fault("there is none"))?;
        if stream::identity(&info).is_none() {
            return Err(fault("its metadata do not say that it is a log of rooms"));
        }
        let mut rooms = 0;
        for bucket in 0..BUCKETS {
            let info = self.info(LOG, &format!("sb.r.{bucket}.>")).await?.unwrap_or_default();
            let subjects = info["state"]["subjects"].as_object();
            for room in subjects.into_iter().flat_map(|subjects| subjects.keys()) {
                let room =
                    subjects::room(room.as_bytes()).ok_or_else(|| fault("it has a subject that is no room's"))?;
                self.begin_anew(&room).await?;
                rooms += 1;
            }
        }
        Ok(rooms)
    }

    async fn begin_anew(&self, room: &RoomName) -> Result<(), NatsError> {
        for _ in 0..TRIES {
            let Some(last) = self.last_of(room).await? else { return Ok(()) };
            let known = LogEnvelope::parse(&last.envelope).map_err(|error| fault(format!("{room}: {error}")))?;
            let random = || getrandom::u64().map_err(fault);
            let envelope = LogEnvelope {
                epoch: Epoch::new(random()? as u32),
                first: 1,
                // None is zero.
                token: EnvelopeToken(random()? | 1),
                prev: Some(known.token),
                origin: Incarnation(random()?),
                back: Position(0),
                entries: Vec::new(),
                room: known.room,
            };
            let (done, told) = answered();
            self.append(room, last.position, envelope.encode(), done);
            match told.await.map_err(|_| fault("it is closed"))? {
                Ok(_) => return Ok(()),
                // Somebody has published meanwhile, or it is not known: it is looked at again.
                Err(AppendError::Stale { .. } | AppendError::Busy | AppendError::Unknown(_)) => sleep(BREATH).await,
                Err(error) => return Err(fault(format!("{room}: {error}"))),
            }
        }
        Err(fault(format!("{room}: others append to it all the time")))
    }

    async fn last_of(&self, room: &RoomName) -> Result<Option<Stored>, NatsError> {
        let (done, told) = answered();
        self.last(room, done);
        told.await.map_err(|_| fault("it is closed"))?.map_err(fault)
    }

    /// What a stream is, with those of its subjects that the filter says; none if it is not there.
    async fn info(&self, subject: &str, filter: &str) -> Result<Option<Value>, NatsError> {
        let question: Bytes =
            if filter.is_empty() { Bytes::new() } else { json!({ "subjects_filter": filter }).to_string().into() };
        let outcome = self.shared.asked(subject, &question, TIME).await;
        match api::answer(&outcome.answer("it has no leader").map_err(fault)?) {
            Ok(info) => Ok(Some(info)),
            Err(refusal) if refusal.is_no_stream() => Ok(None),
            Err(refusal) => Err(fault(refusal.text)),
        }
    }
}

fn fault(reason: impl std::fmt::Display) -> NatsError {
    NatsError::Stream { reason: reason.to_string() }
}
