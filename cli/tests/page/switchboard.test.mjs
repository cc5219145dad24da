// What switchboard.js makes of what a server says. The server is a script, and time stands still.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { Clock } from './clock.mjs';
import { load } from './load.mjs';

const { Refusal, Switchboard, bytes, delay } = await load('switchboard.js');

/** The end of a WebSocket that the test holds. */
class Socket {
    /** All that were opened, oldest first. @type {Socket[]} */
    static all = [];
    static get last() {
        return Socket.all.at(-1);
    }

    sent = [];
    closed = false;

    constructor(url, protocols) {
        this.url = new URL(url);
        this.protocols = protocols;
        Socket.all.push(this);
    }

    send(line) {
        this.sent.push(line);
    }

    close() {
        this.closed = true;
    }

    /** The server says these. */
    say(...frames) {
        for (const frame of frames) this.onmessage({ data: JSON.stringify(frame) });
    }

    /** There never was a connection, and that is all that is said. */
    fail() {
        this.onerror({});
    }

    /** The connection breaks. */
    break(reason = '') {
        this.onclose({ reason });
    }

    /** What was sent since the last look. */
    take() {
        return this.sent.splice(0);
    }
}

const message = (seq, epoch = 'a', room = 'ops') =>
    ({ room, seq, id: `${epoch}-${seq}`, time: '2026-01-02T03:04:05.678Z', from: 'bob', text: `m${seq}` });
const joined = (id, room = 'ops') => ({ event: 'you-joined', room, members: 2, id });
const welcome = (name = 'guest-1', room = null) => ({ event: 'welcome', name, room });
const refusal = (error) => ({ error, text: `it is ${error}` });
const settled = () => new Promise((resolve) => setImmediate(resolve));

let told;
let board;

let clock;

beforeEach(() => {
    clock = new Clock();
    Socket.all = [];
});
afterEach(() => {
    board?.close();
    clock.restore();
});

/** A board that is connected, and in `ops` after as many messages of `a`. */
async function inOps(last, options = {}) {
    start();
    const join = board.join('ops', options);
    await settled();
    Socket.last.say(welcome());
    await settled();
    Socket.last.say(joined(`a-${last}`));
    await join;
    Socket.last.take();
}

function start(options = {}) {
    told = [];
    board = new Switchboard('http://localhost/ws', { WebSocket: Socket, random: () => 1, ...options });
    for (const type of ['message', 'gap', 'reset', 'direct', 'joined', 'removed', 'expiring', 'refused']) {
        board.on(type, (event) => told.push([type, event]));
    }
}

/** What was sent since the last look, the secret of a name apart. */
function claimed() {
    return Socket.last.take().map((line) => line.replace(/ secret=[0-9a-f]{32}$/, ''));
}

/** The connection breaks, and the next one is there. */
async function reconnect() {
    Socket.last.break();
    board.retry();
    Socket.last.say(welcome());
    await settled();
}

/** Told in short: numbers of messages, and the rest as it is. */
function short() {
    const events = told.splice(0);
    return events.map(([type, event]) => {
        if (type === 'message') return event.seq;
        return type === 'gap' ? `lost ${event.lost} from ${event.from_seq}` : type;
    });
}

test('it asks for json, its own messages, its name and its first room', async () => {
    start({ name: 'alice' });
    board.join('ops');
    await settled();
    const { url } = Socket.last;
    assert.equal(url.protocol, 'ws:');
    assert.deepEqual(Object.fromEntries(url.searchParams), { format: 'json', echo: 'on', name: 'alice', room: 'ops' });
});

test('a room is joined once there is a connection', async () => {
    start();
    const join = board.join('ops');
    await settled();
    assert.deepEqual(Socket.last.sent, []);
    Socket.last.say(welcome());
    await settled();
    assert.deepEqual(Socket.last.take(), ['/join ops']);
    Socket.last.say(joined('a-7'));
    assert.equal((await join).members, 2);
    assert.deepEqual(board.rooms, ['ops']);
});

test('a room that nobody asked for is left, and silent', async () => {
    start();
    await settled();
    Socket.last.say(welcome('guest-1', 'lobby'), message(1, 'a', 'lobby'), { event: 'joined', room: 'lobby', name: 'bob' });
    assert.deepEqual(Socket.last.take(), ['/leave lobby']);
    assert.deepEqual(told, []);
});

test('messages are told once and in order', async () => {
    await inOps(7);
    Socket.last.say(message(7), message(8), message(9), message(9), message(8), message(10));
    assert.deepEqual(short(), [8, 9, 10]);
});

test('what the room still has is told from the start', async () => {
    start();
    board.join('ops', { since: 'start' });
    await settled();
    Socket.last.say(welcome());
    await settled();
    assert.deepEqual(Socket.last.take(), ['/join ops since=0-0']);
    Socket.last.say(joined('a-400'), { event: 'reset', room: 'ops', epoch: 'a' });
    Socket.last.say(message(399), message(400), message(401));
    const replayed = told.map(([, event]) => event.replayed);
    // What was there before we came is nothing that we lost.
    assert.deepEqual(short(), [399, 400, 401]);
    assert.deepEqual(replayed, [true, true, false]);
});

test('a new connection goes on where the last one ended', async () => {
    await inOps(7);
    Socket.last.say(message(8));
    await reconnect();
    assert.deepEqual(Socket.last.take(), ['/join ops since=a-8']);
    Socket.last.say(joined('a-10'), message(9), message(10), message(11));
    const replayed = told.map(([, event]) => event.replayed);
    assert.deepEqual(short(), [8, 9, 10, 11]);
    assert.deepEqual(replayed, [false, true, true, false]);
});

test('what is published before the replay is told in its place', async () => {
    await inOps(7);
    await reconnect();
    // We were in the room before we asked to go on: 10 came to us then, and comes again.
    Socket.last.say(message(10), joined('a-10'), message(10), message(8), message(9), message(10), message(11));
    assert.deepEqual(short(), [8, 9, 10, 11]);
});

test('what the server has no more is a gap', async () => {
    await inOps(7);
    await reconnect();
    Socket.last.say(joined('a-20'), { event: 'gap', room: 'ops', lost: 10, from_seq: 8 }, message(18), message(19));
    assert.deepEqual(short(), ['lost 10 from 8', 18, 19]);
});

test('a gap that was not told is a gap all the same', async () => {
    await inOps(7);
    Socket.last.say(message(8), message(11));
    assert.deepEqual(short(), [8, 'lost 2 from 9', 11]);
});

test('a room that started over is a reset, and what is missing of it a gap', async () => {
    await inOps(7);
    await reconnect();
    Socket.last.say(joined('b-3'), message(3, 'b'), { event: 'reset', room: 'ops', epoch: 'b' });
    Socket.last.say(message(2, 'b'), message(3, 'b'));
    assert.deepEqual(short(), ['reset', 'lost 1 from 1', 2, 3]);
    await reconnect();
    assert.deepEqual(Socket.last.take(), ['/join ops since=b-3']);
});

test('a connection that breaks before the reset is told asks again from the same place', async () => {
    await inOps(7);
    await reconnect();
    Socket.last.take();
    Socket.last.say(joined('b-3'), message(3, 'b'));
    await reconnect();
    assert.deepEqual(Socket.last.take(), ['/join ops since=a-7']);
    assert.deepEqual(short(), []);
});

test('a room that was left is not joined again', async () => {
    await inOps(7);
    board.leave('OPS');
    assert.deepEqual(Socket.last.take(), ['/leave OPS']);
    Socket.last.say(message(8));
    assert.deepEqual(short(), []);
    await reconnect();
    assert.deepEqual(Socket.last.take(), []);
});

test('a publication resolves once the server has taken it', async () => {
    await inOps(7);
    const published = board.publish('ops', 'a\nb');
    await settled();
    assert.deepEqual(Socket.last.take(), ['/pub ops a\nb', '/ping']);
    Socket.last.say({ event: 'pong' });
    await published;
});

test('a publication that is refused rejects, and only that one', async () => {
    await inOps(7);
    const [one, other] = [board.tell('nobody', 'psst'), board.tell('bob', 'psst')];
    Socket.last.say(refusal('no-such-member'), { event: 'pong' }, { event: 'pong' });
    await assert.rejects(one, (error) => error instanceof Refusal && error.code === 'no-such-member');
    await other;
});

test('a publication that the connection takes along rejects, and is not sent again', async () => {
    await inOps(7);
    const published = board.publish('ops', 'hi');
    await settled();
    await Promise.all([assert.rejects(published, { code: 'disconnected' }), reconnect()]);
    assert.deepEqual(Socket.last.take(), ['/join ops since=a-7']);
    Socket.last.break();
    await assert.rejects(board.publish('ops', 'hi'), { code: 'disconnected' });
});

test('what is asked too often is asked again', async () => {
    await inOps(7);
    const renamed = board.rename('alice');
    Socket.last.say(refusal('rate-limited'));
    await settled();
    Socket.last.take();
    clock.tick(250);
    await settled();
    assert.deepEqual(claimed(), ['/name alice']);
    Socket.last.say({ event: 'named', name: 'alice' });
    await renamed;
    assert.equal(board.name, 'alice');
});

test('a room that cannot be joined rejects', async () => {
    start();
    const join = board.join('ops');
    await settled();
    Socket.last.say(welcome());
    await settled();
    Socket.last.say(refusal('too-many-rooms'));
    await assert.rejects(join, { code: 'too-many-rooms' });
    assert.deepEqual(board.rooms, []);
});

test('a name that somebody else has is told, and not asked for again', async () => {
    start({ name: 'alice' });
    await settled();
    Socket.last.say(welcome('guest-1'));
    assert.deepEqual(claimed(), ['/name alice']);
    Socket.last.say(refusal('name-taken'));
    await settled();
    assert.deepEqual(short(), ['refused']);
    assert.equal(board.name, 'guest-1');
    await reconnect();
    assert.deepEqual(Socket.last.take(), []);
});

test('a name is asked for by the same secret each time, and by another one elsewhere', async () => {
    const asked = [];
    for (const each of [1, 2]) {
        start({ name: 'alice' });
        await settled();
        Socket.last.say(welcome('alice'));
        asked.push(...Socket.last.take());
        Socket.last.say({ event: 'named', name: 'alice' });
        await reconnect();
        asked.push(...Socket.last.take());
        Socket.last.say({ event: 'named', name: 'alice' });
        assert.equal(board.name, 'alice', `client ${each}`);
    }
    for (const line of asked) assert.match(line, /^\/name alice secret=[0-9a-f]{32}$/);
    assert.deepEqual(asked.map((line) => asked.indexOf(line)), [0, 0, 2, 2]);
});

test('a name that the last connection still has is asked for until it is free', async () => {
    start({ name: 'alice' });
    await settled();
    Socket.last.say(welcome('alice'));
    await reconnect();
    Socket.last.say(refusal('name-taken'));
    await settled();
    Socket.last.take();
    for (let attempt = 0; attempt < 2; attempt += 1) {
        clock.tick(5_000);
        assert.deepEqual(claimed(), ['/name alice']);
        Socket.last.say(refusal('name-taken'));
        await settled();
    }
    clock.tick(5_000);
    Socket.last.say({ event: 'named', name: 'alice' });
    assert.equal(board.name, 'alice');
    Socket.last.take();
    clock.tick(5_000);
    assert.deepEqual(Socket.last.take().filter((line) => line !== '/ping'), []);
});

test('a connection that is doubted has three seconds to show that it lives', async () => {
    await inOps(7);
    board.wake();
    assert.deepEqual(Socket.last.take(), ['/ping']);
    Socket.last.say({ event: 'pong' });
    clock.tick(3_000);
    assert.equal(board.state, 'open');
    board.wake();
    board.wake();
    assert.deepEqual(Socket.last.take(), ['/ping']);
    clock.tick(3_000);
    assert.equal(board.state, 'waiting');
    board.wake();
    assert.equal(board.state, 'connecting');
});

test('a name that no server takes is no reason to refuse the connection', async () => {
    for (const name of ['al ice', 'guest-7', 'HTTP', '']) {
        start({ name });
        await settled();
        assert.equal(Socket.last.url.searchParams.get('name'), null, name);
        board.close();
    }
});

test('a name cannot make another command', async () => {
    await inOps(7);
    for (const name of ['ops psst', 'ops\n/quit', '', 'x'.repeat(65)]) {
        const asked = [board.join(name), board.leave(name), board.publish(name, 'x'), board.tell(name, 'x'),
            board.rename(name), board.who(name)];
        for (const one of asked) await assert.rejects(one, { code: 'bad-name' });
    }
    assert.deepEqual(Socket.last.take(), []);
});

test('what takes no commands is told none, and given up', async () => {
    const states = [];
    start();
    await settled();
    board.on('state', ({ state, reason }) => states.push([state, reason]));
    const mute = Socket.last;
    mute.say(message(1));
    clock.tick(20_000);
    assert.deepEqual(mute.take(), []);
    assert.deepEqual(states, [['waiting', 'the server takes no commands there']]);
});

test('a connection without a word is given up', async () => {
    await inOps(7);
    const states = [];
    board.on('state', ({ state, reason }) => states.push([state, reason]));
    const silent = Socket.last;
    clock.tick(20_000);
    assert.deepEqual(silent.take(), ['/ping']);
    clock.tick(20_000);
    assert.deepEqual(states, [['waiting', 'no answer']]);
    assert.ok(silent.closed);
    // What it has to say now is of no interest.
    silent.say(message(8));
    silent.break();
    assert.deepEqual(short(), []);
});

test('attempts are further and further apart, with a jitter', () => {
    assert.deepEqual([0, 1, 2, 5, 50].map((attempt) => delay(attempt, 1)), [1_000, 2_000, 4_000, 30_000, 30_000]);
    assert.equal(delay(3, 0.25), 2_000);
});

test('why a connection ends is told', async () => {
    await inOps(7);
    const states = [];
    board.on('state', (event) => states.push(event));
    Socket.last.say({ event: 'closed', reason: 'drained' });
    Socket.last.break('bye');
    assert.deepEqual(states, [{ state: 'waiting', delay: 1_000, reason: 'drained' }]);
    board.retry();
    assert.equal(board.state, 'connecting');
});

test('what is unknown is skipped, and a closed board stays closed', async () => {
    await inOps(7);
    Socket.last.say({ event: 'news', what: 'ever' }, message(8));
    assert.deepEqual(short(), [8]);
    board.close();
    clock.tick(60_000);
    assert.equal(Socket.all.length, 1);
    assert.equal(board.state, 'closed');
});

test('bytes are published in a binary frame, as they were', async () => {
    await inOps(7);
    const view = Uint8Array.of(0, 47, 10, 255).subarray(1);
    const sent = [board.publish('ops', view), board.publish('ops', view.slice().buffer), board.tell('bob', view)];
    // It may be used for something else at once.
    view.fill(0);
    sent.push(board.publish('ops', new Blob([Uint8Array.of(255)])));
    for (let pongs = 0; pongs < 8 && Socket.last.sent.length < 8; pongs += 1) await settled();
    const frames = Socket.last.take().filter((frame) => frame !== '/ping');
    const shown = frames.map((frame) => frame instanceof Uint8Array && Buffer.from(frame).toString('latin1')).sort();
    assert.deepEqual(shown, ['/msg bob /\n\xff', '/pub ops /\n\xff', '/pub ops /\n\xff', '/pub ops \xff']);
    Socket.last.say(...Array.from({ length: 4 }, () => ({ event: 'pong' })));
    await Promise.all(sent);
});

test('bytes come back as they were, from text and from base64', () => {
    assert.deepEqual([...bytes({ text: 'hé' })], [104, 0xc3, 0xa9]);
    assert.deepEqual([...bytes({ base64: '/y8K' })], [255, 47, 10]);
});

const bearer = (token) => ['switchboard', `switchboard.bearer.${token}`];

test('a token is offered with each connection, and a name waits for what it gives', async () => {
    start({ token: 's3cret', name: 'carol' });
    await settled();
    assert.deepEqual(Socket.last.protocols, bearer('s3cret'));
    assert.equal(Socket.last.url.searchParams.get('name'), null);
    assert.equal(board.token, 's3cret');
    Socket.last.say(welcome('alice'));
    assert.deepEqual(claimed(), ['/name carol']);
    board.present('other');
    assert.deepEqual(Socket.last.protocols, bearer('other'));
    board.present('');
    assert.deepEqual(Socket.last.protocols, []);
    assert.equal(Socket.last.url.searchParams.get('name'), 'carol');
});

test('a function is asked for a token at each connection and before one ends, and once at a time', async () => {
    let asked = 0;
    let give;
    start({ token: () => new Promise((resolve) => { asked += 1; give = resolve; }) });
    await settled();
    assert.deepEqual([asked, Socket.all.length], [1, 0]);
    give('one');
    await settled();
    assert.deepEqual(Socket.last.protocols, bearer('one'));
    Socket.last.say(welcome('alice'), { event: 'expiring', seconds: 60 }, { event: 'expiring', seconds: 60 });
    assert.deepEqual(short(), ['expiring', 'expiring']);
    await settled();
    assert.equal(asked, 2);
    give('two');
    await settled();
    assert.equal(Socket.last.take()[0], '/auth two');
    Socket.last.say({ event: 'authorized', name: 'alice' });
    Socket.last.break('expired');
    board.retry();
    await settled();
    assert.equal(asked, 3);
});

test('why a token does not do is asked for by a request, since a browser is not told', async () => {
    const [asked, before] = [[], globalThis.fetch];
    globalThis.fetch = async (url, { headers }) => {
        asked.push([String(url), headers.authorization]);
        return { json: async () => refusal('token-expired') };
    };
    try {
        start({ token: 'old' });
        await settled();
        Socket.last.fail();
        await settled();
        assert.deepEqual(asked, [['http://localhost/me', 'Bearer old']]);
        assert.equal(told.find(([type]) => type === 'refused')?.[1].error.code, 'token-expired');
    } finally {
        globalThis.fetch = before;
    }
});

test('a function is asked for another token when one has ended, at once and once', async () => {
    const [before, tokens] = [globalThis.fetch, ['one', 'two', 'three']];
    globalThis.fetch = async () => ({ json: async () => refusal('token-expired') });
    try {
        start({ token: () => tokens.shift() });
        await settled();
        assert.deepEqual(Socket.last.protocols, bearer('one'));
        Socket.last.fail();
        await settled();
        assert.deepEqual(Socket.last.protocols, bearer('two'), 'without a wait');
        assert.deepEqual(short(), []);
        Socket.last.fail();
        await settled();
        assert.deepEqual([short(), Socket.all.length], [['refused'], 2], 'the next one waits as any attempt does');
        board.retry();
        await settled();
        assert.deepEqual(Socket.last.protocols, bearer('three'));
        Socket.last.say(welcome());
        tokens.push('four', 'five');
        Socket.last.say({ event: 'expiring', seconds: 60 });
        await settled();
        assert.equal(Socket.last.take()[0], '/auth four');
        Socket.last.say(refusal('token-expired'));
        await settled();
        assert.deepEqual(Socket.last.take(), ['/auth five']);
        Socket.last.say(refusal('token-expired'));
        await settled();
        assert.deepEqual([short().at(-1), Socket.last.take()], ['refused', []]);
    } finally {
        globalThis.fetch = before;
    }
});

test('a server that greets only whom it knows is shown what a handshake cannot hold, or tells what is wrong', async () => {
    start({ token: 's3cret=' });
    await settled();
    Socket.last.say(refusal('not-authorized'));
    assert.deepEqual(Socket.last.take(), ['/auth s3cret=']);
    Socket.last.say({ event: 'authorized', name: 'alice' }, welcome('alice'));
    assert.deepEqual([board.state, Socket.last.take()], ['open', []], 'it is not shown twice');
    Socket.last.break();
    board.retry();
    Socket.last.say(refusal('not-authorized'), refusal('not-authorized'));
    assert.deepEqual([short().at(-1), board.state], ['refused', 'waiting']);
    start();
    await settled();
    const first = Socket.last;
    board.on('refused', () => board.present('better'));
    first.say(refusal('not-authorized'));
    assert.deepEqual([first.closed, Socket.last.protocols], [true, bearer('better')]);
});

test('what one may do in a room is told each time that one comes', async () => {
    const may = [];
    await inOps(0);
    board.on('entered', ({ room, may: rights }) => may.push([room, rights]));
    await reconnect();
    Socket.last.say({ ...joined('a-0'), may: ['history'] });
    assert.deepEqual(may, [['ops', ['history']]]);
});

test('who is removed from a room is told, and does not come back to it', async () => {
    await inOps(0);
    Socket.last.say({ event: 'removed', room: 'OPS', reason: 'not-allowed' }, message(1));
    assert.deepEqual(short(), ['removed']);
    assert.deepEqual(board.rooms, []);
});

test('a token that a handshake cannot hold is given before anything else', async () => {
    start({ token: 's3cret=' });
    board.on('state', ({ state }) => state === 'open' && board.allRooms().catch(() => {}));
    await settled();
    Socket.last.say(welcome());
    assert.deepEqual(Socket.last.take(), ['/auth s3cret=', '/rooms']);
    Socket.last.say({ event: 'authorized' });
    await reconnect();
    assert.deepEqual(Socket.last.take(), ['/auth s3cret=', '/rooms']);
    Socket.last.say(refusal('not-authorized'));
    await settled();
    assert.deepEqual(short(), ['refused']);
    const authorized = board.authorize('better');
    assert.equal(Socket.last.take()[0], '/auth better');
    Socket.last.say({ event: 'rooms', rooms: [], total: 0 }, { event: 'authorized' });
    await authorized;
    for (const token of ['', 'two words', 'a\n/quit']) {
        await assert.rejects(board.authorize(token), { code: 'bad-argument' });
    }
    assert.deepEqual(Socket.last.take(), []);
});

test('an attempt that fails is one whether or not a close follows, and nobody has to listen for errors', async () => {
    start();
    await settled();
    const first = Socket.last;
    first.fail();
    first.break();
    assert.equal(board.state, 'waiting');
    clock.tick(1_000);
    await settled();
    assert.equal(Socket.all.length, 2);
    // `ws` says so after a close that came too early.
    board.close();
    Socket.last.fail();
    assert.equal(board.state, 'closed');
});

test('a server that speaks otherwise is given up, and ends no program', async () => {
    const words = ['echo: hello', '', 'null', '{"event":"gap"}', '{"seq":1,"room":5}', '{"event":"welcome","room":5}', new Blob(['{}'])];
    for (const data of words) {
        start();
        await settled();
        Socket.last.onmessage({ data });
        await settled();
        assert.equal(board.state, 'waiting', `behind ${data}`);
        assert.ok(Socket.last.closed);
        board.close();
    }
});

test('a join that waits at the end, and one after it, are told so', async () => {
    start();
    const waiting = board.join('ops');
    const left = board.join('gone');
    board.leave('gone');
    await assert.rejects(left, { code: 'left' });
    board.close();
    await assert.rejects(waiting, { code: 'closed' });
    await assert.rejects(board.join('ops'), { code: 'closed' });
    board.close();
});

test('what was published before is asked for by a request of its own, with the token that is shown', async () => {
    start({ token: 'sb_alice' });
    await settled();
    const asked = [];
    const answers = [
        { ok: true, text: async () => `${JSON.stringify({ event: 'gap', room: 'ops', lost: 1, from_seq: 1 })}\n${JSON.stringify(message(2))}\n` },
        { ok: true, text: async () => `${JSON.stringify(message(2))}\n` },
        { ok: false, json: async () => refusal('unavailable') },
    ];
    const { fetch } = globalThis;
    globalThis.fetch = async (url, options) => {
        asked.push([String(url), options]);
        return answers.shift();
    };
    try {
        const first = await board.history('ops', { before: 'a-3', limit: 2 });
        assert.deepEqual(first, { messages: [{ ...message(2), replayed: true }], more: false });
        assert.equal((await board.history('ops', { limit: 1 })).more, true);
        await assert.rejects(board.history('ops'), { code: 'unavailable' });
    } finally {
        globalThis.fetch = fetch;
    }
    await assert.rejects(board.history('a b'), { code: 'bad-name' });
    assert.deepEqual(asked[0], ['http://localhost/rooms/ops/messages?before=a-3&limit=2', { headers: { authorization: 'Bearer sb_alice' } }]);
});
