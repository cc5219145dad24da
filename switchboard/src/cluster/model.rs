//! Nodes' tables on a bus that loses, doubles and delays what is said, by a seed: what they know of each other in the end.

use super::bus::NodeId;
use super::table::{BEAT, Effects, NodeTable};
use crate::hub::elsewhere::RoomNews;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;
use switchboard_proto::RoomName;

const STEP: Duration = Duration::from_millis(100);
const NODES: usize = 3;

struct Node {
    id: NodeId,
    table: NodeTable,
    /// What it truly has.
    here: BTreeMap<RoomName, u32>,
    /// As its members were told: each room's members on other nodes, by adding up who came and went.
    told: BTreeMap<RoomName, isize>,
    /// And as its rooms were told last.
    last: BTreeMap<RoomName, usize>,
    is_away: bool,
}

struct World {
    now: Duration,
    random: u64,
    nodes: Vec<Node>,
    /// When, to whom.
    on_its_way: Vec<(Duration, usize, Bytes)>,
    is_faulty: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let node = |number: usize| Node {
            id: NodeId(number as u64 + 1),
            table: NodeTable::new(NodeId(number as u64 + 1)),
            here: BTreeMap::new(),
            told: BTreeMap::new(),
            last: BTreeMap::new(),
            is_away: false,
        };
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let nodes = (0..NODES).map(node).collect();
        Self { now: Duration::ZERO, random, nodes, on_its_way: Vec::new(), is_faulty: true }
    }

    fn below(&mut self, most: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % most
    }

    fn say(&mut self, from: usize, to: Option<NodeId>, word: &Bytes) {
        for number in 0..NODES {
            if to.is_some_and(|to| to != self.nodes[number].id)
                || self.nodes[number].is_away
                || self.nodes[from].is_away
            {
                continue;
            }
            let (copies, most) = if self.is_faulty { ([0, 1, 1, 1, 2][self.below(5) as usize], 15) } else { (1, 1) };
            for _ in 0..copies {
                let late = STEP * self.below(most) as u32;
                self.on_its_way.push((self.now + late, number, word.clone()));
            }
        }
    }

    fn follow(&mut self, number: usize, effects: Effects) {
        let mut next = Some(effects);
        while let Some(Effects { said, changes }) = next {
            for change in changes {
                let told = self.nodes[number].told.entry(change.room.clone()).or_default();
                *told += change.news.joined.cast_signed() - change.news.left.cast_signed();
                self.nodes[number].last.insert(change.room, change.members);
            }
            for (to, word) in said {
                self.say(number, to, &word);
            }
            next = self.nodes[number].table.forget_more();
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.on_its_way).into_iter().partition(|(at, ..)| *at <= now);
        self.on_its_way = later;
        let due: Vec<(Duration, usize, Bytes)> = due;
        for (_, number, word) in due {
            let outcome = self.nodes[number].table.hear(&word, now);
            self.follow(number, outcome);
        }
        if self.now.as_millis().is_multiple_of(BEAT.as_millis()) {
            for number in 0..NODES {
                self.nodes[number].table.expire(now);
                self.follow(number, Effects::default());
                let beat = self.nodes[number].table.beat();
                self.say(number, None, &beat);
            }
        }
    }

    /// Something happens in a room of a node, of which the others are told.
    fn change(&mut self, number: usize) {
        let room = RoomName::parse(&format!("room-{}", self.below(6))).expect("a name");
        let members = match self.below(8) {
            0 => None,
            _ => Some(self.below(4) as u32),
        };
        let node = &mut self.nodes[number];
        let was = node.here.get(&room).copied().unwrap_or_default() as usize;
        match members {
            Some(members) => _ = node.here.insert(room.clone(), members),
            None => _ = node.here.remove(&room),
        }
        let is = members.unwrap_or_default() as usize;
        let news = RoomNews { joined: is.saturating_sub(was), left: was.saturating_sub(is), ..RoomNews::default() };
        for piece in node.table.tell(vec![((room, members), news)]) {
            self.say(number, None, &piece);
        }
    }

    fn change_somewhere(&mut self) {
        let number = self.below(NODES as u64) as usize;
        self.change(number);
    }

    /// So many changes, a step after each.
    fn go_on(&mut self, changes: usize) {
        for _ in 0..changes {
            self.change_somewhere();
            self.step();
        }
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.step();
        }
    }

    /// What each knows is what the others have.
    fn is_agreed(&self) -> bool {
        self.nodes.iter().all(|node| {
            let mut there = BTreeMap::<RoomName, usize>::new();
            for other in self.nodes.iter().filter(|other| other.id != node.id) {
                for (room, members) in &other.here {
                    *there.entry(room.clone()).or_default() += *members as usize;
                }
            }
            let known = node.table.behind(None, usize::MAX);
            let only_there = there.keys().filter(|room| !node.here.contains_key(*room)).count();
            let is_last =
                |(room, members): (&RoomName, &usize)| node.table.members(room).unwrap_or_default() == *members;
            node.last.iter().all(is_last)
                && known
                    .iter()
                    .map(|room| (&room.name, room.members))
                    .eq(there.iter().map(|(room, members)| (room, *members)))
                && node.table.only_there() == only_there
        })
    }
}

#[test]
fn nodes_agree_once_the_bus_carries_what_is_said_whatever_it_lost_doubled_or_delayed() {
    for seed in 1..300 {
        let mut world = World::new(seed);
        world.go_on(60);
        world.is_faulty = false;
        world.run(Duration::from_secs(10));
        assert!(world.is_agreed(), "seed {seed}");
    }
}

#[test]
fn a_node_that_was_away_is_forgotten_and_known_again_with_all_that_changed_meanwhile() {
    for seed in 1..100 {
        let mut world = World::new(seed);
        world.is_faulty = false;
        world.go_on(20);
        world.nodes[0].is_away = true;
        world.run(Duration::from_secs(13));
        assert_eq!((world.nodes[0].table.peers(), world.nodes[1].table.peers()), (0, 1), "seed {seed}");
        assert_eq!(world.nodes[0].table.behind(None, 10), [], "it knows of nobody else then");
        (0..10).for_each(|_| world.change_somewhere());
        world.nodes[0].is_away = false;
        world.run(Duration::from_secs(6));
        assert!(world.is_agreed(), "seed {seed}");
    }
}

#[test]
fn whoever_adds_up_who_came_and_went_has_the_count_where_nothing_is_lost() {
    let mut world = World::new(7);
    world.is_faulty = false;
    world.run(Duration::from_secs(3));
    world.go_on(200);
    world.nodes[2].is_away = true;
    world.run(Duration::from_secs(13));
    let node = &world.nodes[0];
    for (room, told) in &node.told {
        assert_eq!(*told, node.table.members(room).unwrap_or_default().cast_signed(), "{room}");
    }
}

#[test]
fn a_node_that_says_goodbye_is_forgotten_at_once() {
    let mut world = World::new(3);
    world.is_faulty = false;
    (0..20).for_each(|_| world.change(1));
    world.run(Duration::from_secs(1));
    assert_eq!(world.nodes[0].table.peers(), 1);
    let bye = world.nodes[1].table.bye();
    world.say(1, None, &bye);
    world.step();
    assert_eq!((world.nodes[0].table.peers(), world.nodes[0].table.behind(None, 9)), (0, Vec::new()));
}

#[test]
fn so_many_nodes_and_no_more_are_known() {
    let mut table = NodeTable::new(NodeId(0));
    for number in 1..1000 {
        table.hear(format!("news 1 {number:x} 1\na 1 0 0 0\n").as_bytes(), Duration::ZERO);
    }
    assert_eq!((table.peers(), table.behind(None, 9)[0].members), (64, 64));
}

#[test]
fn what_a_node_sends_back_to_itself_changes_nothing() {
    let mut table = NodeTable::new(NodeId(1));
    let room = RoomName::parse("a").expect("a name");
    let piece = table.tell(vec![((room.clone(), Some(2)), RoomNews::default())]).remove(0);
    let outcome = table.hear(&piece, Duration::ZERO);
    assert!(outcome.changes.is_empty() && outcome.said.is_empty() && table.members(&room).is_none());
}

/// A table that knows a node with so many rooms, one member in each.
fn crowded(rooms: usize) -> NodeTable {
    let mut table = NodeTable::new(NodeId(0));
    for (version, piece) in (0..rooms).collect::<Vec<_>>().chunks(2000).enumerate() {
        let lines: Vec<_> = piece.iter().map(|room| format!("r{room:06} 1 1 0 0")).collect();
        table.hear(format!("news 1 7 {}\n{}", version + 1, lines.join("\n")).as_bytes(), Duration::ZERO);
    }
    assert_eq!((table.peers(), table.only_there()), (1, rooms));
    table
}

#[test]
fn a_node_with_many_rooms_is_forgotten_a_few_at_a_time() {
    for bye in ["bye 1 7\n", "nothing"] {
        let mut table = crowded(10_000);
        assert!(table.hear(bye.as_bytes(), Duration::ZERO).changes.is_empty());
        table.expire(Duration::from_mins(1));
        assert_eq!((table.peers(), table.only_there()), (0, 10_000));
        // Whatever it says until then counts for nothing.
        let again = table.hear(b"news 1 7 9\nr000000 5 0 0 0\n", Duration::from_mins(1));
        assert!(again.changes.is_empty());
        let mut left = 0;
        while let Some(more) = table.forget_more() {
            assert!((1..=1024).contains(&more.changes.len()), "{}", more.changes.len());
            left += more.changes.iter().map(|change| change.news.left).sum::<usize>();
        }
        assert_eq!((left, table.only_there(), table.behind(None, 9)), (10_000, 0, Vec::new()));
        table.hear(b"news 1 7 1\nr000000 5 0 0 0\n", Duration::from_mins(1));
        assert_eq!((table.peers(), table.only_there()), (1, 1), "it is known again");
    }
}

#[test]
fn rooms_that_a_node_has_no_more_are_forgotten_a_few_at_a_time() {
    let mut table = crowded(10_000);
    let mut next = Some(table.hear(b"rooms 1 7 9 r000100 r009000\nr000200 1\nr005000 4\nr008999 1\n", Duration::ZERO));
    let mut left = 0;
    while let Some(Effects { changes, .. }) = next {
        assert!(changes.len() <= 1024 + 1, "{}", changes.len());
        left += changes.iter().filter(|change| change.news.left == 1).count();
        next = table.forget_more();
    }
    assert_eq!((left, table.only_there()), (8900 - 3, 1100 + 3));
    assert_eq!(table.members(&RoomName::parse("r005000").expect("a name")), Some(4));
}

#[test]
fn a_node_that_goes_while_some_of_its_rooms_are_being_forgotten_leaves_none() {
    let mut table = crowded(10_000);
    assert!(!table.hear(b"rooms 1 7 9 * r005000\n", Duration::ZERO).changes.is_empty());
    table.expire(Duration::from_mins(1));
    while table.forget_more().is_some() {}
    assert_eq!((table.peers(), table.only_there(), table.behind(None, 9)), (0, 0, Vec::new()));
}

#[test]
fn however_many_ask_a_node_tells_its_rooms_to_the_first_and_once_to_all() {
    let mut table = NodeTable::new(NodeId(0));
    let room = RoomName::parse("a").expect("a name");
    table.tell(vec![((room, Some(2)), RoomNews::default())]);
    let mut told = |at: Duration, askers: std::ops::Range<u64>| -> Vec<_> {
        let said = askers.flat_map(|asker| table.hear(format!("want 1 {asker:x}\n").as_bytes(), at).said);
        said.map(|(to, _)| to).collect()
    };
    let second = Duration::from_secs(1);
    assert_eq!(told(Duration::ZERO, 1..65), [Some(NodeId(1)), None]);
    assert_eq!(told(second / 2, 1..65), []);
    assert_eq!(told(second, 7..9), [Some(NodeId(7)), None]);
    assert_eq!(told(second * 3, 9..10), [Some(NodeId(9))]);
}

#[test]
fn a_list_of_what_is_known_to_be_so_is_passed_over() {
    let (mut teller, mut table) = (NodeTable::new(NodeId(1)), NodeTable::new(NodeId(0)));
    let room = RoomName::parse("a").expect("a name");
    for piece in teller.tell(vec![((room.clone(), Some(2)), RoomNews::default())]) {
        table.hear(&piece, Duration::ZERO);
    }
    let hears_list = |table: &mut NodeTable, members| {
        table.hear(format!("rooms 1 1 1 * *\na {members}\n").as_bytes(), Duration::ZERO);
        table.members(&room)
    };
    assert_eq!(hears_list(&mut table, 3), Some(3), "nobody has said that it is known");
    hears_list(&mut table, 2);
    assert!(table.hear(&teller.beat(), Duration::ZERO).said.is_empty());
    assert_eq!(hears_list(&mut table, 3), Some(2));
}
