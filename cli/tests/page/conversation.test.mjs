// What a log has to show of what was told.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { load } from './load.mjs';

const { Conversation, KEPT, describe } = await load('conversation.js');

const NOON = Date.parse('2026-01-02T12:00:00');
const MINUTE = 60_000;

let conversation;

beforeEach(() => {
    conversation = new Conversation();
});

function say(from, minutes = 0, more = {}) {
    conversation.say({ from, text: 'hi', own: false, time: NOON + minutes * MINUTE, ...more });
}

function rows() {
    const all = [];
    for (let number = conversation.first; number < conversation.end; number += 1) all.push(conversation.row(number));
    return all;
}

const shape = () => rows().map((row) => (row.kind === 'message' && row.continued ? 'continued' : row.kind));

test('what one person says within five minutes stands under one name', () => {
    say('bob');
    say('bob', 4);
    say('carol', 5);
    say('bob', 6);
    say('bob', 11);
    assert.deepEqual(shape(), ['day', 'message', 'continued', 'message', 'message', 'message']);
});

test('each day has a line, and what follows a line has a name', () => {
    say('bob');
    conversation.note({ kind: 'gap', lost: 1, first: 2 });
    say('bob');
    say('bob', 24 * 60);
    assert.deepEqual(shape(), ['day', 'message', 'gap', 'message', 'day', 'message']);
});

test('what was said before stands in front, and every row keeps its number', () => {
    say('bob', 10, { id: 'a-5', seq: 5, text: 'five' });
    conversation.miss(false);
    const [mark, end] = [conversation.mark, conversation.end];
    const past = (seq, minutes) => ({ id: `a-${seq}`, seq, from: 'bob', text: `${seq}`, own: false, time: NOON + minutes * MINUTE });
    conversation.recall([past(2, -24 * 60), past(3, 1), past(4, 2)]);
    assert.deepEqual(shape(), ['day', 'message', 'day', 'message', 'continued', 'message']);
    assert.deepEqual([conversation.earliest.id, conversation.mark, conversation.end], ['a-2', mark, end]);
    assert.equal(conversation.row(end - 1).text, 'five');
    conversation.recall([]);
    assert.equal(conversation.oldest, 2);
    assert.deepEqual(conversation.search('3').map((number) => conversation.row(number).seq), [3]);
    assert.ok(conversation.takes(100) && !conversation.takes(KEPT / 2));
});

test('who came and went stands in one line', () => {
    conversation.move({ joined: ['bob'] });
    conversation.move({ joined: ['carol'] });
    conversation.move({ left: ['dave'] });
    assert.deepEqual(rows().map(describe), ['bob and carol joined · dave left']);
    say('bob');
    conversation.move({ left: ['bob'] });
    assert.deepEqual(shape(), ['presence', 'day', 'message', 'presence']);
});

test('whoever came back at once was hardly away', () => {
    conversation.move({ left: ['bob'] });
    conversation.move({ joined: ['bob'] });
    assert.deepEqual(rows(), []);
    conversation.move({ joined: ['bob', 'carol'] });
    conversation.move({ left: ['bob'] });
    assert.deepEqual(rows().map(describe), ['carol joined']);
});

test('of many names only some are told, and those without a name are counted', () => {
    conversation.move({ joined: ['a', 'b', 'c', 'd', 'e', 'f'] });
    assert.deepEqual(rows().map(describe), ['a, b, c, d and 2 more joined']);
    conversation.move({ moreJoined: 1234, moreLeft: 3 });
    assert.deepEqual(rows().map(describe), [`a, b, c, d and ${(1236).toLocaleString()} more joined · 3 left`]);
});

test('what is unseen is counted from the first', () => {
    say('bob');
    conversation.miss(false);
    const mark = conversation.end - 1;
    say('bob');
    conversation.miss(true);
    assert.deepEqual([conversation.unread, conversation.called, conversation.mark], [2, true, mark]);
    conversation.see();
    assert.deepEqual([conversation.unread, conversation.called, conversation.mark], [0, false, mark]);
});

test('the oldest go, and the others keep their numbers', () => {
    for (let seq = 1; seq <= KEPT; seq += 1) say('bob', 0, { seq });
    const row = conversation.row(KEPT / 2);
    assert.ok(conversation.end - conversation.first <= KEPT);
    assert.equal(conversation.first, KEPT / 10);
    assert.equal(conversation.end, KEPT + 1);
    assert.equal(row.seq, KEPT / 2);
    assert.equal(conversation.oldest, KEPT / 10);
    assert.equal(conversation.row(0), undefined);
});

test('messages are found by their words or by who said them', () => {
    const conversation = new Conversation();
    ['one two', 'Two three', 'four'].forEach((text, at) => {
        conversation.say({ from: at === 2 ? 'Bob' : 'alice', text, own: false, time: 1_000 + at });
    });
    const [day, first, second, third] = [0, 1, 2, 3];
    assert.deepEqual(conversation.search('TWO'), [first, second]);
    assert.deepEqual(conversation.search('bob'), [third]);
    assert.deepEqual(conversation.search(''), []);
    assert.equal(conversation.row(day).kind, 'day');
});

test('long messages are kept as long as all of them together are not too long', () => {
    const conversation = new Conversation();
    const text = 'x'.repeat(64 << 10);
    for (let number = 0; number < 400; number += 1) conversation.say({ from: 'bob', text, own: false, time: 1_000 });
    assert.ok(conversation.end - conversation.first <= 256);
    assert.ok(conversation.end - conversation.first > 200);
});

test('names that changed in a crowd are counted in the line of who came and went', () => {
    const conversation = new Conversation();
    conversation.move({ moreJoined: 3 });
    conversation.move({ moreRenamed: 400 });
    conversation.move({ moreRenamed: 1 });
    assert.equal(conversation.end, 1);
    assert.equal(describe(conversation.row(0)), '3 joined · 401 have new names');
});
