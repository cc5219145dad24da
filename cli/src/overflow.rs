//! The words for what happens to a member that does not keep up, as options and the file have them.

use switchboard::Overflow;

const POLICIES: [(&str, Overflow); 5] = [
    ("disconnect", Overflow::Disconnect),
    ("drop-oldest", Overflow::DropOldest),
    ("drop-newest", Overflow::DropNewest),
    ("latest", Overflow::Latest),
    ("conflate", Overflow::Conflate),
];

pub(crate) const WORDS: [&str; 5] = [POLICIES[0].0, POLICIES[1].0, POLICIES[2].0, POLICIES[3].0, POLICIES[4].0];

pub(crate) fn parse(word: &str) -> Option<Overflow> {
    POLICIES.iter().find(|(known, _)| *known == word).map(|(_, overflow)| *overflow)
}

pub(crate) fn word(overflow: Overflow) -> &'static str {
    let found = POLICIES.iter().find(|(_, known)| *known == overflow);
    found.map_or_else(|| unreachable!("every policy has a word"), |(word, _)| word)
}
