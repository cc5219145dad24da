//! Nodes' names and guests' numbers on records that are slow, lose what they were asked or what they answer, and let leases end: who has what in
//! the end, and at no time two.

use super::bus::{
    AskError, Bus, BusAnswer, BusEvents, NodeId, NodeRecord, NodeRecords, PutError, RecordsAway, ReplyTo,
};
use super::freed::MOST_FREED;
use super::guests::Guests;
use super::names::{LeaseRenewal, NameRecords, Unclaimed};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use switchboard_proto::UserName;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

#[derive(Default)]
struct World {
    records: HashMap<String, (u64, Bytes, Option<Instant>)>,
    next: u64,
    random: u64,
    is_faulty: bool,
    cut: BTreeSet<NodeId>,
}

type SharedWorld = Arc<Mutex<World>>;

impl World {
    fn below(&mut self, most: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % most
    }

    fn look(&mut self, key: &str) -> Option<NodeRecord> {
        let now = Instant::now();
        if self.records.get(key).is_some_and(|(_, _, until)| until.is_some_and(|until| until <= now)) {
            self.records.remove(key);
        }
        self.records.get(key).map(|(revision, value, _)| NodeRecord { revision: *revision, value: value.clone() })
    }

    fn put(&mut self, key: &str, expected: u64, value: Bytes, lives: Option<Duration>) -> Result<u64, PutError> {
        if self.look(key).map_or(0, |record| record.revision) != expected {
            return Err(PutError::Stale);
        }
        self.next += 1;
        self.records.insert(key.to_owned(), (self.next, value, lives.map(|lives| Instant::now() + lives)));
        Ok(self.next)
    }
}

/// One node's way to them.
struct Way(SharedWorld, NodeId);

impl NodeRecords for Way {
    fn put(&self, key: &str, expected: u64, value: Bytes, lives: Option<Duration>, done: BusAnswer<u64, PutError>) {
        let (world, node, key) = (Arc::clone(&self.0), self.1, key.to_owned());
        spawn(async move {
            let (fault, before, behind) = {
                let mut world = world.lock();
                let fault = if world.is_faulty { world.below(8) } else { 7 };
                (fault, world.below(30), world.below(30))
            };
            sleep(Duration::from_millis(before)).await;
            if world.lock().cut.contains(&node) || fault == 0 {
                sleep(Duration::from_secs(2)).await;
                return done(Err(PutError::Unknown("lost".into())));
            }
            let put = world.lock().put(&key, expected, value, lives);
            sleep(Duration::from_millis(behind)).await;
            let is_told = fault > 1 && !world.lock().cut.contains(&node);
            done(if is_told { put } else { Err(PutError::Unknown("not told".into())) });
        });
    }

    fn record(&self, key: &str, done: BusAnswer<Option<NodeRecord>, RecordsAway>) {
        let (world, node, key) = (Arc::clone(&self.0), self.1, key.to_owned());
        spawn(async move {
            sleep(Duration::from_millis(5)).await;
            let mut world = world.lock();
            let is_away = world.cut.contains(&node);
            let record = world.look(&key);
            drop(world);
            done(if is_away { Err(RecordsAway("lost".into())) } else { Ok(record) });
        });
    }
}

impl Bus for Way {
    fn watch(&self, _: NodeId, _: Arc<dyn BusEvents>) {}
    fn tell_all(&self, _: Bytes) {}
    fn tell(&self, _: NodeId, _: Bytes) {}
    fn ask(&self, _: NodeId, _: Bytes, _: Duration, done: BusAnswer<Bytes, AskError>) {
        done(Err(AskError::NobodyThere));
    }
    fn answer(&self, _: &ReplyTo, _: Bytes) {}
}

struct Scene {
    world: SharedWorld,
    nodes: Vec<(NodeId, Arc<NameRecords>)>,
}

impl Scene {
    async fn new(seed: u64) -> Self {
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let world = Arc::new(Mutex::new(World { random, ..World::default() }));
        let node = |number: u64| {
            let id = NodeId(number);
            (id, Arc::new(NameRecords::new(id, Arc::new(Way(Arc::clone(&world), id)))))
        };
        let nodes: Vec<_> = (1..4).map(node).collect();
        for (_, node) in &nodes {
            assert_eq!(node.renew().await, LeaseRenewal::Kept);
        }
        Self { world, nodes }
    }

    /// Who may say that a name is its own.
    fn holders(&self, name: &UserName) -> Vec<NodeId> {
        let holds = |node: &NameRecords| node.is_leased() && node.holds(name) && !node.is_outdated(name);
        self.nodes.iter().filter(|(_, node)| holds(node)).map(|(id, _)| *id).collect()
    }

    fn cut(&self, number: usize, is_cut: bool) {
        let id = self.nodes[number].0;
        let cut = &mut self.world.lock().cut;
        _ = if is_cut { cut.insert(id) } else { cut.remove(&id) };
    }
}

/// Of a test, whose runtime ends with it.
fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    TaskTracker::new().spawn(task)
}

fn name(text: &str) -> UserName {
    UserName::parse(text).expect("a name")
}

#[tokio::test(start_paused = true)]
async fn of_nodes_that_claim_a_name_at_once_at_most_one_has_it_and_the_others_do_once_it_is_free() {
    for seed in 1..100 {
        let scene = Scene::new(seed).await;
        scene.world.lock().is_faulty = true;
        let claim = |node: &Arc<NameRecords>| {
            let node = Arc::clone(node);
            spawn(async move { node.claim(&name("ann")).await })
        };
        let claims: Vec<_> = scene.nodes.iter().map(|(_, node)| claim(node)).collect();
        for (claim, (_, node)) in claims.into_iter().zip(&scene.nodes) {
            if claim.await.expect("it ends") == Ok(()) {
                node.unguard(&name("ann"));
            }
        }
        assert!(scene.holders(&name("ann")).len() <= 1, "seed {seed}");
        // Whatever was put without an answer is given back.
        scene.world.lock().is_faulty = false;
        for (_, node) in &scene.nodes {
            node.release(&name("ann"));
            node.give_back(9).await;
            node.renew().await;
        }
        assert_eq!(scene.nodes[2].1.claim(&name("Ann")).await, Ok(()), "seed {seed}");
        let taken = Err(Unclaimed::Taken(NodeId(3)));
        assert_eq!(scene.nodes[0].1.claim(&name("ann")).await, taken, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn at_no_time_have_two_living_nodes_a_name_whatever_happens() {
    for seed in 1..60 {
        let scene = Scene::new(seed).await;
        scene.world.lock().is_faulty = true;
        for (_, node) in &scene.nodes {
            let node = Arc::clone(node);
            spawn(async move {
                for _ in 0..60 {
                    node.renew().await;
                    node.put_anew(9).await;
                    node.give_back(9).await;
                    sleep(Duration::from_secs(3)).await;
                }
            });
        }
        for _ in 0..150 {
            let (number, which, what) = {
                let mut world = scene.world.lock();
                (world.below(3) as usize, world.below(2), world.below(12))
            };
            let (node, name) = (Arc::clone(&scene.nodes[number].1), name(["ann", "bob"][which as usize]));
            match what {
                0 => scene.cut(number, true),
                1..4 => scene.cut(number, false),
                4..6 => {
                    node.release(&name);
                }
                _ => {
                    spawn(async move {
                        if node.claim(&name).await == Ok(()) {
                            node.unguard(&name);
                        }
                    });
                }
            }
            for _ in 0..8 {
                sleep(Duration::from_millis(100)).await;
                for text in ["ann", "bob"] {
                    let holders = scene.holders(&self::name(text));
                    assert!(holders.len() <= 1, "seed {seed}: {holders:?}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_away_for_longer_than_its_lease_loses_what_another_has_taken_and_keeps_the_rest() {
    let scene = Scene::new(7).await;
    let (first, second) = (&scene.nodes[0].1, &scene.nodes[1].1);
    for text in ["ann", "bob"] {
        assert_eq!(first.claim(&name(text)).await, Ok(()));
    }
    assert_eq!(second.claim(&name("ann")).await, Err(Unclaimed::Taken(NodeId(1))));
    scene.cut(0, true);
    sleep(Duration::from_secs(16)).await;
    assert_eq!(second.renew().await, LeaseRenewal::Anew, "nobody has renewed it");
    assert_eq!(first.claim(&name("cid")).await, Err(Unclaimed::Unavailable), "while it is away it gives none");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(second.claim(&name("ann")).await, Ok(()));
    scene.cut(0, false);
    assert_eq!(first.renew().await, LeaseRenewal::Anew);
    assert_eq!(first.put_anew(9).await, (vec![name("ann")], false));
    assert_eq!((first.holds(&name("ann")), first.holds(&name("bob"))), (false, true));
    assert_eq!(second.claim(&name("bob")).await, Err(Unclaimed::Taken(NodeId(1))));
    assert_eq!(first.find(&name("ann"), None).await, Ok(Some(NodeId(2))));
}

#[tokio::test(start_paused = true)]
async fn where_all_records_are_lost_whoever_had_a_name_keeps_it() {
    let scene = Scene::new(9).await;
    let (first, second) = (&scene.nodes[0].1, &scene.nodes[1].1);
    assert_eq!(first.claim(&name("ann")).await, Ok(()));
    scene.world.lock().records.clear();
    assert_eq!(second.renew().await, LeaseRenewal::Anew);
    assert_eq!(second.claim(&name("ann")).await, Err(Unclaimed::Unavailable));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(first.renew().await, LeaseRenewal::Anew);
    assert_eq!(first.put_anew(9).await, (vec![], false));
    sleep(Duration::from_secs(4)).await;
    assert_eq!(second.claim(&name("ann")).await, Err(Unclaimed::Taken(NodeId(1))));
}

#[tokio::test(start_paused = true)]
async fn where_older_records_were_put_back_whoever_had_a_name_keeps_it() {
    // Leases that were renewed since are older in the copy; of those that were not, numbers begin again behind it.
    for is_renewed in [true, false] {
        let scene = Scene::new(9).await;
        let (first, second) = (&scene.nodes[0].1, &scene.nodes[1].1);
        let older = scene.world.lock().records.clone();
        let next = scene.world.lock().next;
        for number in 0..20 {
            assert_eq!(second.claim(&name(&format!("cid-{number}"))).await, Ok(()));
        }
        assert_eq!(first.claim(&name("ann")).await, Ok(()));
        for (_, node) in scene.nodes.iter().filter(|_| is_renewed) {
            assert_eq!(node.renew().await, LeaseRenewal::Kept);
        }
        (scene.world.lock().records, scene.world.lock().next) = (older, next);
        second.doubt();
        assert_eq!(second.claim(&name("ann")).await, Err(Unclaimed::Unavailable), "its lease was not looked at");
        assert_eq!(second.renew().await, LeaseRenewal::Anew);
        assert_eq!(second.claim(&name("ann")).await, Err(Unclaimed::Unavailable), "it holds back");
        assert_eq!(first.renew().await, LeaseRenewal::Anew);
        assert_eq!(first.put_anew(9).await, (vec![], false));
        sleep(Duration::from_secs(5)).await;
        assert_eq!(second.claim(&name("ann")).await, Err(Unclaimed::Taken(NodeId(1))));
        assert_eq!((first.renew().await, second.renew().await), (LeaseRenewal::Kept, LeaseRenewal::Kept));
        first.unguard(&name("ann"));
        assert!(first.release(&name("ann")) && !first.give_back(9).await);
        assert_eq!(second.claim(&name("ann")).await, Ok(()), "it was given back");
    }
}

#[tokio::test(start_paused = true)]
async fn guests_of_all_nodes_have_different_numbers_also_of_one_that_gets_no_more() {
    let scene = Scene::new(5).await;
    let guests: Vec<_> = scene.nodes.iter().map(|_| Guests::default()).collect();
    let mut seen = BTreeSet::new();
    for round in 0..3000 {
        scene.cut(2, round > 100);
        for ((id, node), guests) in scene.nodes.iter().zip(&guests) {
            if !guests.has_spare() && *id != NodeId(3) || round < 50 {
                node.renew().await;
                node.get_block(guests).await;
            }
            assert!(seen.insert(guests.next(*id).0), "round {round}");
        }
    }
    assert_eq!(seen.first(), Some(&1));
    let block = super::guests::block_of(1);
    assert_eq!(scene.nodes[1].1.find(&UserName::guest(1), Some(block)).await, Ok(Some(NodeId(1))));
}

#[tokio::test(start_paused = true)]
async fn while_names_cannot_be_given_back_a_bounded_number_waits_and_none_is_claimed_beyond_it() {
    let scene = Scene::new(11).await;
    let node = &scene.nodes[0].1;
    assert_eq!(node.claim(&name("ann")).await, Ok(()));
    (0..MOST_FREED - 1).for_each(|number| node.is_doubtful(&name(&format!("n{number}"))));
    (0..100).for_each(|_| node.is_doubtful(&name("n7")));
    assert_eq!(node.claim(&name("bob")).await, Ok(()), "a name that is there already is one");
    node.is_doubtful(&name("last"));
    assert_eq!(node.claim(&name("eve")).await, Err(Unclaimed::Unavailable));
    assert_eq!(node.claim(&name("ann")).await, Ok(()), "what it has it may give on");
    sleep(Duration::from_secs(10)).await;
    assert!(node.give_back(64).await);
    node.renew().await;
    assert_eq!(node.claim(&name("eve")).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn names_are_put_anew_and_given_back_side_by_side() {
    let scene = Scene::new(13).await;
    let node = &scene.nodes[0].1;
    let names: Vec<_> = (0..64).map(|number| name(&format!("n{number}"))).collect();
    for name in &names {
        assert_eq!(node.claim(name).await, Ok(()));
        node.unguard(name);
    }
    scene.world.lock().records.clear();
    assert_eq!(node.renew().await, LeaseRenewal::Anew);
    // A put takes 60 ms at most, and a look 5.
    let mut began = Instant::now();
    assert_eq!(node.put_anew(64).await, (vec![], false));
    assert!(began.elapsed() < Duration::from_millis(130), "{:?}", began.elapsed());
    assert!(names.iter().all(|name| node.release(name)));
    began = Instant::now();
    assert!(!node.give_back(64).await);
    assert!(began.elapsed() < Duration::from_millis(65), "{:?}", began.elapsed());
    assert_eq!(scene.nodes[1].1.find(&names[63], None).await, Ok(None));
}
