// What becomes of what is told and typed, before anything is shown.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { load } from './load.mjs';

const { Chat } = await load('chat.js');

/** What switchboard.js is to a chat, in the hands of the test. */
class Switchboard {
    name = 'alice';
    sent = [];
    #listeners = {};
    #answers = [];

    on(type, listener) {
        this.#listeners[type] = listener;
    }

    tells(type, event) {
        this.#listeners[type](event);
    }

    join = (room) => Promise.resolve({ room, members: 1 });
    leave = (room) => this.#send(['leave', room]);
    publish = (room, text) => this.#send([room, text]);
    history = (room, span) => this.#send([room, span]);
    tell = (name, text) => this.#send([`@${name}`, text]);

    #send(what) {
        this.sent.push(what);
        return new Promise((resolve, reject) => this.#answers.push({ resolve, reject }));
    }

    /** Answers the oldest that was sent. */
    async answer(error, what) {
        const { resolve, reject } = this.#answers.shift();
        if (error) reject(error);
        else resolve(what);
        await new Promise((resolve) => setImmediate(resolve));
    }
}

let switchboard;
let chat;
let seen;
let announced;
let called;
let recalled;

beforeEach(() => {
    switchboard = new Switchboard();
    announced = [];
    called = [];
    recalled = [];
    seen = true;
    chat = new Chat(switchboard, {
        changed() {},
        opened() {},
        moved() {},
        recalled: (talk) => recalled.push(talk.key),
        sees: (talk) => seen && talk === chat.active,
        announce: (words) => announced.push(words),
        notice: (words) => announced.push(words),
        called: (talk, words) => called.push([talk.key, words]),
    });
    switchboard.tells('named', { name: 'alice' });
    switchboard.tells('state', { state: 'open' });
});

let seq = 0;

function hear(room, from, text, replayed = false) {
    seq += 1;
    switchboard.tells('message', { room, seq, from, text, replayed, time: '2026-01-02T03:04:05.678Z' });
}

/** @param {import('../../assets/talk.js').Talk} talk */
function rows({ conversation }) {
    const all = [];
    for (let number = conversation.first; number < conversation.end; number += 1) all.push(conversation.row(number));
    return all.filter(({ kind }) => kind !== 'day').map((row) => row.text ?? row.kind);
}

const unread = () => Object.fromEntries([...chat.talks.values()].map((talk) => [talk.title, talk.conversation.unread]));

test('what is not in sight is unread', async () => {
    await chat.open('room', 'ops');
    await chat.open('room', 'lobby');
    hear('ops', 'bob', 'one');
    hear('lobby', 'bob', 'two');
    assert.deepEqual(unread(), { ops: 1, lobby: 0 });
    seen = false;
    hear('lobby', 'bob', 'three');
    assert.deepEqual(unread(), { ops: 1, lobby: 1 });
    assert.equal(chat.unread, 2);
    chat.see();
    assert.deepEqual(unread(), { ops: 1, lobby: 0 });
    assert.deepEqual(announced, ['bob: two', 'bob: three']);
});

test('what was said before we came is no news, but what was said while we were away is', async () => {
    await chat.open('room', 'ops');
    await chat.open('room', 'lobby');
    hear('ops', 'bob', 'old', true);
    assert.equal(chat.unread, 0);
    switchboard.tells('state', { state: 'waiting' });
    switchboard.tells('state', { state: 'open' });
    hear('ops', 'bob', 'missed', true);
    assert.equal(chat.unread, 1);
});

test('a message of 64,000 characters that look like part of a name takes no time', async () => {
    await chat.open('room', 'ops');
    const words = ['-'.repeat(64_000) + 'a', 'alice' + '-'.repeat(64_000) + 'a', 'alice.'.repeat(10_000)];
    const before = performance.now();
    words.forEach((text, at) => {
        switchboard.tells('message', { room: 'ops', seq: at + 1, time: '2026-01-02T03:04:05Z', from: 'bob', text });
    });
    // Each took seconds, and takes less than one now however slow the machine is.
    assert.ok(performance.now() - before < 1_000);
    assert.equal(chat.active.conversation.end > 0, true);
});

test('whoever is called by name is told so', async () => {
    await chat.open('room', 'ops');
    await chat.open('room', 'lobby');
    const { conversation } = chat.talks.get('#ops');
    for (const text of ['malice', 'alice-2 is here', 'see alice.example']) hear('ops', 'bob', text);
    assert.equal(conversation.called, false);
    hear('ops', 'bob', 'is that so, Alice?');
    assert.equal(conversation.called, true);
    assert.deepEqual(announced, ['bob: is that so, Alice?']);
});

test('what we say is ours, under any name we had', async () => {
    await chat.open('room', 'ops');
    switchboard.tells('named', { name: 'alice-2' });
    hear('ops', 'alice', 'one');
    hear('ops', 'alice-2', 'two');
    hear('ops', 'bob', 'three');
    const { conversation } = chat.active;
    assert.deepEqual([1, 2, 3].map((number) => conversation.row(number).own), [true, true, false]);
});

test('a text is on its way until it is heard', async () => {
    await chat.open('room', 'ops');
    const talk = chat.active;
    chat.send(talk, 'hi');
    assert.deepEqual(switchboard.sent, [['ops', 'hi']]);
    assert.equal(talk.outgoing.length, 1);
    hear('ops', 'alice', 'hi');
    assert.equal(talk.outgoing.length, 0);
    await switchboard.answer();
    assert.deepEqual(rows(talk), ['hi']);
});

test('a text that may not have arrived stays, and goes when it turns out to have', async () => {
    await chat.open('room', 'ops');
    const talk = chat.active;
    chat.send(talk, 'hi');
    await switchboard.answer(new Error('the connection is lost'));
    assert.equal(talk.outgoing[0].failure, 'The connection was lost: it may not have arrived.');
    hear('ops', 'alice', 'hi', true);
    assert.deepEqual(talk.outgoing, []);
});

test('a private text is shown once it is taken, and both sides stand together', async () => {
    await chat.open('person', 'bob');
    chat.send(chat.active, 'psst');
    await switchboard.answer();
    switchboard.tells('direct', { from: 'Bob', text: 'yes?' });
    assert.deepEqual(rows(chat.active), ['psst', 'yes?']);
    assert.equal(chat.talks.size, 1);
});

test('a person who takes another name is the same person', async () => {
    await chat.open('room', 'ops');
    switchboard.tells('direct', { from: 'bob', text: 'psst' });
    switchboard.tells('renamed', { room: 'ops', from: 'bob', to: 'robert' });
    assert.deepEqual([...chat.talks.keys()], ['#ops', '@robert']);
    assert.deepEqual(rows(chat.talks.get('@robert')), ['psst', 'bob is now robert']);
});

test('gaps and resets stand where they are', async () => {
    await chat.open('room', 'ops');
    hear('ops', 'bob', 'one');
    switchboard.tells('gap', { room: 'ops', lost: 3, from_seq: 2 });
    switchboard.tells('reset', { room: 'ops', epoch: 'b' });
    hear('ops', 'bob', 'two');
    assert.deepEqual(rows(chat.active), ['one', 'gap', 'reset', 'two']);
});

test('a room that cannot be joined is forgotten', async () => {
    await chat.open('room', 'ops');
    switchboard.join = () => Promise.reject(new Error('too many'));
    await assert.rejects(chat.open('room', 'lobby'), /too many/);
    assert.equal(chat.active.title, 'ops');
    assert.deepEqual([...chat.talks.keys()], ['#ops']);
});

test('one can go round, and leave', async () => {
    for (const room of ['a', 'b', 'c']) await chat.open('room', room);
    chat.step(1);
    assert.equal(chat.active.title, 'a');
    chat.step(-1);
    assert.equal(chat.active.title, 'c');
    chat.leave(chat.active);
    assert.deepEqual(switchboard.sent, [['leave', 'c']]);
    assert.equal(chat.active.title, 'b');
});

test('what was said before comes a piece at a time, once, and up to where the room begins', async () => {
    await chat.open('room', 'ops');
    const talk = chat.active;
    const message = (seq) => ({ room: 'ops', seq, id: `a-${seq}`, from: 'bob', text: `${seq}`, replayed: true, time: '2026-01-02T03:04:05.678Z' });
    chat.recall(talk);
    assert.equal(talk.past, '', 'of nothing there is nothing before');
    switchboard.tells('message', message(5));
    chat.recall(talk);
    chat.recall(talk);
    assert.deepEqual(switchboard.sent, [['ops', { before: 'a-5', limit: 100 }]]);
    await switchboard.answer(undefined, { messages: [message(3), message(4)], more: true });
    assert.deepEqual([rows(talk), recalled], [['3', '4', '5'], ['#ops']]);
    assert.equal(chat.unread, 0);
    chat.recall(talk);
    await switchboard.answer(new Error('no network'));
    assert.deepEqual([talk.past, talk.hasPast], ['failed', true]);
    switchboard.tells('state', { state: 'open' });
    chat.recall(talk);
    await switchboard.answer(undefined, { messages: [message(2)], more: false });
    assert.deepEqual([rows(talk), talk.hasPast], [['2', '3', '4', '5'], false]);
    // Nobody asks again where nothing is left.
    const asked = switchboard.sent.length;
    await chat.recall(talk);
    assert.equal(switchboard.sent.length, asked);
});
