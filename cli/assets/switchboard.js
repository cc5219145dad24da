/**
 * Rooms of a switchboard server, in a browser or wherever there is a WebSocket: one connection, any number of rooms,
 * and a new connection when it breaks, which goes on where the last one ended. docs/protocol.md has the manual.
 *
 * Each message of a room is told once and in order. What was lost on the way is told as a `gap` or a `reset`, never
 * left out in silence. What you publish is sent at most once: a promise that rejects says that it may not have arrived.
 *
 * Shows nothing, keeps no messages, and knows nothing of documents.
 *
 * @typedef {object} Message
 * @property {string} room
 * @property {number} seq its place in the room's order, from 1
 * @property {string} id such as `k3f9-7`, never used again
 * @property {string} time RFC 3339, in UTC
 * @property {string | null} from `null` if the server's own program published it
 * @property {string} [user] whom the publisher has shown itself to be; `from` is what it calls itself
 * @property {string} [text]
 * @property {string} [base64] in the place of `text`, if it is not UTF-8: `bytes` gives either as it was sent
 * @property {boolean} replayed whether it was published before you came, or while you were away
 *
 * @typedef {object} Events
 * @property {Message} message
 * @property {{ room: string, lost: number, from_seq: number }} gap messages that cannot be had any more
 * @property {{ room: string, epoch: string }} reset the room started over: what it had is gone, and numbers start again
 * @property {{ state: State, delay?: number, reason?: string }} state with milliseconds until the next attempt
 * @property {{ name: string }} named you are called this from now on
 * @property {{ room: string, name: string }} joined
 * @property {{ room: string, name: string }} left
 * @property {{ room: string, joined: number, left: number, renamed?: number, members: number }} presence
 * @property {{ room: string, from: string, to: string }} renamed
 * @property {{ from: string, text?: string, base64?: string }} direct to you alone
 * @property {{ room: string, may: Right[] }} entered you are in a room, and may do this there: told where the server
 *     knows who may do what, each time that you come
 * @property {{ room: string }} removed you may no longer be in a room, and are not
 * @property {{ text: string }} announcement what the operators tell everybody who comes
 * @property {{ seconds: number }} expiring your token ends soon; a function is asked for another by itself
 * @property {{ error: Refusal, room?: string }} refused what nobody waits for: your name or your token, or a room when
 *     reconnected
 *
 * @typedef {'publish' | 'history' | 'presence' | 'moderate'} Right
 *
 * @typedef {'connecting' | 'open' | 'waiting' | 'closed'} State
 *
 * @typedef {string | ArrayBuffer | ArrayBufferView | Blob} Payload what is published: a text, or bytes
 *
 * @typedef {string | (() => string | Promise<string>)} Token a function is asked at each connection, before the token ends,
 *     and when it has ended; once at a time
 *
 * @typedef {object} Options
 * @property {string} [name] to be called by, instead of `guest-N`
 * @property {Token} [token] shows who you are, on each connection
 * @property {typeof WebSocket} [WebSocket] instead of the one that is there
 * @property {() => number} [random] from 0 to 1, for the jitter
 *
 * @typedef {object} Asked a command that waits for its answer
 * @property {string} event
 * @property {(answer: any) => void} resolve
 * @property {(error: Refusal) => void} reject
 * @property {Refusal} [error] of the command before this ping
 */

/** After this long without a word the server is asked for one, and after as long again the connection is given up. */
const SILENCE_MS = 20_000;

/** The longest wait before the first new attempt. It doubles with each one that fails, up to the last. */
const FIRST_DELAY_MS = 1_000;
const LAST_DELAY_MS = 30_000;

/** How long a connection has to show that it lives, when there is reason to doubt it. */
const DOUBT_MS = 3_000;

/** How often a name is asked for again that was ours, and that the server still knows the last connection by. */
const CLAIM_MS = 5_000;

/** The server allows five joins and names a second. */
const RATE_LIMITED_MS = 250;

/** An id of no incarnation: whoever resumes from it is told all that the room still has. */
const START = '0-0';

/** Names of rooms and people, and those that only the server gives. */
const NAME = /^[A-Za-z0-9._-]{1,64}$/;
const RESERVED = /^(guest-.*|udp|http|server)$/i;

/** What would make another command, or none, of one. */
const TOKEN = /^[^\s\p{Cc}]+$/u;

/** What can be offered beside `switchboard` when a WebSocket is asked for. */
const OFFERED = /^[A-Za-z0-9._~+-]+$/;

/** What is wrong with a token, and not with the network. */
const UNSHOWN = new Set(['not-authorized', 'token-expired', 'auth-unavailable']);

/** What answers a command, as opposed to what is told without being asked. */
const ANSWERS = new Set(['you-joined', 'you-left', 'named', 'who', 'rooms', 'authorized', 'pong']);

/** The server's answer to what cannot be done. `code` never changes, the message is for people. */
export class Refusal extends Error {
    /** @param {string} code @param {string} text */
    constructor(code, text) {
        super(text);
        this.name = 'Refusal';
        this.code = code;
    }
}

/** @param {number} attempt from 0 @param {number} random from 0 to 1 @returns milliseconds to wait before it */
export function delay(attempt, random) {
    return random * Math.min(LAST_DELAY_MS, FIRST_DELAY_MS * 2 ** attempt);
}

/**
 * The bytes of a message, whether it came as text or not.
 *
 * @param {{ text?: string, base64?: string }} message @returns {Uint8Array}
 */
export function bytes({ text, base64 }) {
    if (base64 === undefined) return new TextEncoder().encode(text);
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

export class Switchboard {
    /** @type {State} */
    state = 'connecting';
    /** What you are called; empty until the server has said so. */
    name = '';
    /** What you want to be called, and will be once it is free; empty for what the server gives. */
    wanted;

    /** @type {Map<string, Set<(event: any) => void>>} */
    #listeners = new Map();
    #url;
    #WebSocket;
    #random;
    /** @type {WebSocket | undefined} */
    #socket;
    /** Rooms to be in, by their names in small letters. @type {Map<string, Place>} */
    #places = new Map();
    /** Commands that are not answered yet, in their order. @type {Asked[]} */
    #asked = [];
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    #timer;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    #doubting;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    #claiming;
    #attempt = 0;
    #heard = false;
    /** Whether the name we want was ours already. */
    #had = false;
    /** @type {Token} */
    #token;
    /** The one that is shown on this connection. */
    #shown = '';
    /** What a function was asked for. @type {Promise<string> | undefined} */
    #asking;
    /** Which attempt waits for it. @type {object | undefined} */
    #turn;
    /** Whether the server has greeted us on this connection. */
    #welcomed = false;
    /** Whether a token was shown on this connection before that, because the server asked for it. */
    #handed = false;
    /** Whether a function was asked for another token since the server greeted us. */
    #renewed = false;
    /** What shows on the next connection that the name was ours on the last one. */
    #secret = drawn();
    /** What the server said of the end that is coming. */
    #reason = '';

    /**
     * Connects, and does so again until `close`.
     *
     * @param {string | URL} url such as `/ws` or `wss://example.org/ws`
     * @param {Options} [options]
     */
    constructor(url, options = {}) {
        this.#url = new URL(url, globalThis.location?.href);
        this.#url.protocol = this.#url.protocol.replace('http', 'ws');
        this.wanted = options.name ?? '';
        this.#token = options.token ?? '';
        this.#WebSocket = options.WebSocket ?? globalThis.WebSocket;
        this.#random = options.random ?? Math.random;
        globalThis.addEventListener?.('online', this.wake);
        // Whoever made it can listen first.
        queueMicrotask(() => this.#connect());
    }

    /**
     * Calls `listener` for each event of a type, until the function that it returns is called.
     *
     * @template {keyof Events} T
     * @param {T} type
     * @param {(event: Events[T]) => void} listener
     * @returns {() => boolean}
     */
    on(type, listener) {
        const listeners = this.#listeners.get(type) ?? new Set();
        this.#listeners.set(type, listeners.add(listener));
        return () => listeners.delete(listener);
    }

    /** The rooms you are in, or will be once there is a connection. */
    get rooms() {
        return [...this.#places.values()].map((place) => place.room);
    }

    /**
     * Joins a room, and again after each reconnection. Without a connection it waits for the next one.
     *
     * @param {string} room
     * @param {{ since?: string }} [options] an id, to be told what came behind it; or `start`, to be told all that the
     *     room still has
     * @returns {Promise<{ room: string, members: number, may?: Right[] }>} which need not be waited for: one that is
     *     rejected and has nobody to hear it ends no program
     */
    join(room, options = {}) {
        const entered = this.#join(room, options);
        entered.catch(() => {});
        return entered;
    }

    /** @param {string} room @param {{ since?: string }} options @returns {Promise<any>} */
    async #join(room, { since }) {
        check(room);
        if (this.state === 'closed') throw closed();
        let place = this.#places.get(room.toLowerCase());
        if (!place) {
            place = new Place(room, since);
            this.#places.set(room.toLowerCase(), place);
            if (this.state === 'open') this.#enter(place);
        }
        return place.entered.promise;
    }

    /** Leaves a room, as a connection that is lost does by itself. @param {string} room @returns {Promise<void>} */
    async leave(room) {
        check(room);
        this.#places.get(room.toLowerCase())?.entered.reject(new Refusal('left', `you left ${room}`));
        this.#places.delete(room.toLowerCase());
        await this.#change(`/leave ${room}`, 'you-left').catch((error) => {
            if (error.code !== 'disconnected') throw error;
        });
    }

    /**
     * Publishes to a room that you are in. Resolves when the server has taken it. A `Blob` is read first, so what is
     * published behind it may come before it.
     *
     * @param {string} room @param {Payload} payload at most 64 KiB, unless the server says otherwise
     * @returns {Promise<void>}
     */
    async publish(room, payload) {
        check(room);
        await this.#send(`/pub ${room} `, payload, this.#places.get(room.toLowerCase()));
    }

    /**
     * Sends to one person alone. Resolves when the server has taken it.
     *
     * @param {string} name @param {Payload} payload @returns {Promise<void>}
     */
    async tell(name, payload) {
        check(name);
        await this.#send(`/msg ${name} `, payload);
    }

    /**
     * Proves that you are allowed, and again after each reconnection. A server that wants no proof takes any.
     *
     * @param {string} token @returns {Promise<void>}
     */
    async authorize(token) {
        if (!TOKEN.test(token)) throw new Refusal('bad-argument', 'a token is one word, without spaces');
        [this.#token, this.#shown] = [token, token];
        await this.#change(`/auth ${token}`, 'authorized');
    }

    /** What you show yourself by now, for requests of your own; empty for nothing. */
    get token() {
        return this.#shown;
    }

    /** Presents another token, or none, on a connection of its own. @param {Token} token */
    present(token) {
        this.#token = token;
        if (this.state === 'closed') return;
        this.#drop();
        this.#attempt = 0;
        this.#connect();
    }

    /** Takes another name, and again after each reconnection. @param {string} name @returns {Promise<void>} */
    async rename(name) {
        check(name);
        await this.#change(`/name ${name}${this.#secret}`, 'named');
        this.wanted = name;
        this.#had = true;
    }

    /**
     * How many are in a room, and the names of the first hundred.
     *
     * @param {string} room @returns {Promise<{ room: string, members: string[], total: number }>}
     */
    async who(room) {
        check(room);
        return this.#ask(`/who ${room}`, 'who');
    }

    /**
     * How many rooms there are, and the first hundred.
     *
     * @returns {Promise<{ rooms: { room: string, members: number }[], total: number }>}
     */
    allRooms() {
        return this.#ask('/rooms', 'rooms');
    }

    /**
     * What was published in a room, by a request of its own: the last messages, or those before one, oldest first; with
     * `since` the first behind that one. Fewer than `limit` are all that the server has there.
     *
     * @param {string} room @param {{ before?: string, since?: string, limit?: number }} [span] ids
     * @returns {Promise<{ messages: Message[], more: boolean }>}
     */
    async history(room, { before, since, limit = 100 } = {}) {
        check(room);
        const url = new URL(`rooms/${room}/messages`, this.#url);
        url.protocol = url.protocol.replace('ws', 'http');
        for (const [key, value] of Object.entries({ before, since, limit })) {
            if (value !== undefined) url.searchParams.set(key, String(value));
        }
        const answer = await fetch(url, this.#shown ? { headers: { authorization: `Bearer ${this.#shown}` } } : {});
        if (!answer.ok) {
            const { error, text } = await answer.json();
            throw new Refusal(error, text);
        }
        const lines = (await answer.text()).split('\n').filter(Boolean).map((line) => JSON.parse(line));
        const messages = lines.filter((line) => line.seq).map((message) => ({ ...message, replayed: true }));
        return { messages, more: messages.length > 0 && messages.length === limit };
    }

    /** Connects now, if it is waiting to. */
    retry = () => {
        if (this.state === 'waiting') this.#connect();
    };

    /**
     * Looks whether the connection is still alive, and makes another one soon if it is not: for when the network has
     * changed, or the machine was asleep. Connects now, if it is waiting to.
     */
    wake = () => {
        this.retry();
        if (this.state !== 'open' || this.#doubting) return;
        this.#heard = false;
        this.#ask('/ping', 'pong').catch(() => {});
        this.#doubting = setTimeout(() => {
            this.#doubting = undefined;
            if (!this.#heard) this.#lose('no answer');
        }, DOUBT_MS);
    };

    /** Ends the connection for good. Whatever waits for an answer is rejected with `closed` or `disconnected`. */
    close() {
        if (this.state === 'closed') return;
        globalThis.removeEventListener?.('online', this.wake);
        this.#drop();
        for (const place of this.#places.values()) place.entered.reject(closed());
        this.#places.clear();
        this.#become('closed');
    }

    // The connection.

    #connect() {
        if (this.state === 'closed') return;
        clearTimeout(this.#timer);
        this.#reason = '';
        this.#become('connecting');
        if (typeof this.#token === 'string') return this.#dial(this.#token);
        const turn = (this.#turn = {});
        this.#ticket().then(
            (token) => turn === this.#turn && this.#dial(token),
            (error) => turn === this.#turn && this.#lose(`no token: ${error?.message ?? error}`),
        );
    }

    /** A token of the function's, which is not asked twice at a time. @returns {Promise<string>} */
    #ticket() {
        const ask = async () => {
            const token = typeof this.#token === 'function' ? await this.#token() : this.#token;
            if (token && !TOKEN.test(token)) throw new Refusal('bad-argument', 'a token is one word, without spaces');
            return token ?? '';
        };
        this.#asking ??= ask().finally(() => {
            this.#asking = undefined;
        });
        return this.#asking;
    }

    /** @param {string} token */
    #dial(token) {
        this.#shown = token;
        [this.#welcomed, this.#handed] = [false, false];
        const url = new URL(this.#url);
        url.searchParams.set('format', 'json');
        url.searchParams.set('echo', 'on');
        // A browser is not told why a connection is refused, but why a command is. A name that a token gives needs no asking.
        if (!token && NAME.test(this.wanted) && !RESERVED.test(this.wanted)) url.searchParams.set('name', this.wanted);
        const [first] = this.rooms;
        if (first) url.searchParams.set('room', first);
        const offers = OFFERED.test(token) ? ['switchboard', `switchboard.bearer.${token}`] : [];
        const socket = new this.#WebSocket(url, offers);
        this.#socket = socket;
        // One that was given up may still have something to say.
        socket.onmessage = ({ data }) => socket === this.#socket && this.#hear(data);
        socket.onclose = ({ reason }) => socket === this.#socket && this.#lose(reason);
        // Always there: `ws` throws an error that nobody listens to, and Node's own WebSocket says nothing else when it
        // cannot connect.
        socket.onerror = () => socket === this.#socket && this.#lose('no connection');
        this.#watch();
    }

    /** Gives up a connection in which nothing is heard: it can die without a word. */
    #watch() {
        this.#heard = false;
        this.#timer = setTimeout(() => {
            if (!this.#heard) return this.#lose('no answer');
            // What takes no commands greets nobody, and would publish them.
            if (this.state !== 'open') return this.#lose('the server takes no commands there');
            // It lasts, so the next failure is a first one again.
            this.#attempt = 0;
            this.#ask('/ping', 'pong').catch(() => {});
            this.#watch();
        }, SILENCE_MS);
    }

    /** @param {string} reason */
    #lose(reason) {
        // Without a token once for each outage: it is the network that most fails.
        const refused = this.#socket && !this.#welcomed && (this.#shown || this.#attempt === 0);
        this.#drop();
        if (refused) this.#explain(this.#shown);
        const wait = delay(this.#attempt, this.#random());
        this.#attempt += 1;
        this.#timer = setTimeout(() => this.#connect(), wait);
        this.#become('waiting', { delay: wait, reason: this.#reason || reason });
    }

    /** A browser is not told why a WebSocket is refused, but why a request is. @param {string} token */
    async #explain(token) {
        const url = new URL('me', this.#url);
        url.protocol = url.protocol.replace('ws', 'http');
        try {
            const headers = token ? { authorization: `Bearer ${token}` } : undefined;
            const answer = await fetch(url, { headers });
            const { error, text } = await answer.json();
            if (!UNSHOWN.has(error) || this.state === 'closed' || token !== this.#shown) return;
            this.#deny(new Refusal(error, text));
        } catch {
            // It is the network.
        }
    }

    /** What was shown does not do. A function is asked for another one at once if it has ended, but not again and again. @param {Refusal} error */
    #deny(error) {
        if (error.code !== 'token-expired' || typeof this.#token !== 'function' || this.#renewed) {
            return this.#emit('refused', { error });
        }
        this.#renewed = true;
        if (this.state === 'open') this.#renew();
        else this.retry();
    }

    /** Shows another token before the one that is shown ends. */
    async #renew() {
        const socket = this.#socket;
        try {
            const token = await this.#ticket();
            // Another connection shows it by itself.
            if (!token || socket !== this.#socket) return;
            this.#shown = token;
            await this.#change(`/auth ${token}`, 'authorized');
            this.#renewed = false;
        } catch (error) {
            if (isRefused(error)) this.#deny(error);
        }
    }

    /**
     * The server greets only whom it knows: it is shown the token that the handshake could not hold, or there is none that does.
     *
     * @param {Refusal} error
     */
    #show(error) {
        if (this.#shown && !OFFERED.test(this.#shown) && !this.#handed) {
            this.#handed = true;
            this.#socket?.send(`/auth ${this.#shown}`);
            return;
        }
        // It is known why.
        this.#welcomed = true;
        this.#lose(error.code);
        this.#deny(error);
    }

    #drop() {
        this.#turn = undefined;
        for (const timer of [this.#timer, this.#doubting, this.#claiming]) clearTimeout(timer);
        this.#doubting = undefined;
        const [socket, asked] = [this.#socket, this.#asked];
        this.#socket = undefined;
        this.#asked = [];
        socket?.close();
        for (const place of this.#places.values()) place.interrupt();
        for (const { reject, error } of asked) reject(error ?? disconnected());
    }

    /** @param {State} state @param {object} [more] */
    #become(state, more) {
        this.state = state;
        this.#emit('state', { state, ...more });
    }

    /** @param {keyof Events} type @param {object} event */
    #emit(type, event) {
        for (const listener of this.#listeners.get(type) ?? []) {
            try {
                listener(event);
            } catch (error) {
                // It is told where it can be seen, and holds up nobody else.
                queueMicrotask(() => {
                    throw error;
                });
            }
        }
    }

    // What is asked. Answers come in the order of the commands.

    /** @param {string} line @param {string} event that answers it @returns {Promise<any>} */
    #ask(line, event) {
        return new Promise((resolve, reject) => {
            if (!this.#socket || this.state !== 'open') return reject(disconnected());
            this.#asked.push({ event, resolve, reject });
            this.#socket.send(line);
        });
    }

    /**
     * A command that has no answer unless it fails: the one to a ping behind it tells.
     *
     * @param {string} head @param {Payload} payload @param {Place} [place] to be in before
     */
    async #send(head, payload, place) {
        const socket = this.#socket;
        if (!socket || this.state !== 'open') throw disconnected();
        const frame = framed(head, payload instanceof Blob ? await payload.arrayBuffer() : payload);
        if (place) await place.entered.promise;
        // Whoever wrote it may have given up on it meanwhile.
        if (socket !== this.#socket) throw disconnected();
        socket.send(frame);
        await this.#ask('/ping', 'pong');
    }

    /** A command that the server allows a few of in a second. @param {string} line @param {string} event */
    async #change(line, event) {
        for (;;) {
            try {
                return await this.#ask(line, event);
            } catch (error) {
                if (!(error instanceof Refusal) || error.code !== 'rate-limited') throw error;
                await new Promise((resolve) => setTimeout(resolve, RATE_LIMITED_MS));
            }
        }
    }

    /** @param {Place} place */
    async #enter(place) {
        const since = place.since ? ` since=${place.since}` : '';
        try {
            place.entered.resolve(await this.#change(`/join ${place.room}${since}`, 'you-joined'));
        } catch (error) {
            // The next connection tries again.
            if (!isRefused(error)) return;
            this.#places.delete(place.room.toLowerCase());
            place.entered.reject(error);
            if (place.epoch) this.#emit('refused', { room: place.room, error });
        }
    }

    /**
     * Asks for the name that we want. After a reconnection, the server may still know the last one by it, and takes it from
     * that for the secret that it was given with it; for that it is told the secret also where the name is ours already.
     */
    async #claim() {
        const wanted = this.wanted;
        if (!wanted) return;
        try {
            await this.#change(`/name ${wanted}${this.#secret}`, 'named');
        } catch (error) {
            if (!isRefused(error)) return;
            if (this.#had) this.#claiming = setTimeout(() => this.#claim(), CLAIM_MS);
            else this.wanted = '';
            this.#emit('refused', { error });
        }
    }

    // What is told.

    /**
     * Gives up a connection whose other end speaks otherwise, as an echo service does: what is thrown here would end a
     * program of Node.
     *
     * @param {any} data
     */
    #hear(data) {
        this.#heard = true;
        try {
            this.#receive(JSON.parse(data));
        } catch {
            this.#lose('not understood');
        }
    }

    /** @param {any} welcome */
    #begin(welcome) {
        const socket = this.#socket;
        this.#open(welcome).catch(() => socket === this.#socket && this.#lose('not understood'));
    }

    /** @param {any} frame */
    #receive(frame) {
        if (frame.seq) return this.#deliver(frame);
        if (frame.error) return this.#refuse(new Refusal(frame.error, frame.text));
        // Not asked for: another connection of ours has the name that we had.
        if (frame.event === 'named' && this.#asked[0]?.event !== 'named') return this.#call(frame.name);
        if (ANSWERS.has(frame.event)) return this.#answer(frame);
        switch (frame.event) {
            case 'welcome':
                return this.#begin(frame);
            case 'closed':
                this.#reason = frame.reason;
                return;
            case 'gap':
                return this.#skip(frame);
            case 'removed':
                this.#place(frame)?.entered.reject(new Refusal('not-allowed', `you may not be in ${frame.room}`));
                if (this.#places.delete(frame.room.toLowerCase())) this.#emit('removed', frame);
                return;
            case 'expiring':
                this.#emit('expiring', frame);
                if (typeof this.#token === 'function') this.#renew();
                return;
            case 'reset':
                if (this.#place(frame)?.reset(frame.epoch)) this.#emit('reset', frame);
                return;
            default:
                // A room that we are in because every new connection is, and did not ask for, is silent.
                if (!frame.room || this.#place(frame)) this.#emit(frame.event, frame);
        }
    }

    /** @param {{ room: string }} frame */
    #place({ room }) {
        return this.#places.get(room.toLowerCase());
    }

    /** @param {any} message */
    #deliver(message) {
        const place = this.#place(message);
        const lost = place?.take(message);
        if (!place || lost === undefined) return;
        if (lost > 0) this.#emit('gap', { room: message.room, lost, from_seq: message.seq - lost });
        this.#emit('message', { ...message, replayed: message.seq <= place.until });
    }

    /** @param {{ room: string, lost: number, from_seq: number }} gap */
    #skip({ room, lost, from_seq }) {
        const skipped = this.#place({ room })?.skip(from_seq + lost) ?? 0;
        if (skipped > 0) this.#emit('gap', { room, lost: skipped, from_seq: from_seq + lost - skipped });
    }

    /** @param {Refusal} error */
    #refuse(error) {
        if (!this.#welcomed && this.state !== 'open' && UNSHOWN.has(error.code)) return this.#show(error);
        const asked = this.#asked[0];
        // A ping is never refused: what went before it was.
        if (asked?.event === 'pong') asked.error ??= error;
        else this.#asked.shift()?.reject(error);
    }

    /** @param {any} frame */
    #answer(frame) {
        if (this.#asked[0]?.event !== frame.event) return;
        // At once, since the next frame may be a message already.
        if (frame.event === 'you-joined') {
            this.#place(frame)?.enter(frame);
            if (frame.may) this.#emit('entered', { room: frame.room, may: frame.may });
        }
        if (frame.event === 'named') this.#call(frame.name);
        const asked = this.#asked.shift();
        if (asked?.error) asked.reject(asked.error);
        else asked?.resolve(frame);
    }

    /** @param {string} name */
    #call(name) {
        if (name === this.wanted) this.#had = true;
        if (name === this.name) return;
        this.name = name;
        this.#emit('named', { name });
    }

    /** @param {{ name: string, room: string | null }} welcome */
    async #open(welcome) {
        const socket = this.#socket;
        // Before whatever those ask who hear of it.
        this.state = 'open';
        this.#welcomed = true;
        if (OFFERED.test(this.#shown) || this.#handed) this.#renewed = false;
        if (this.#shown && !OFFERED.test(this.#shown) && !this.#handed) {
            this.#change(`/auth ${this.#shown}`, 'authorized').then(
                () => (this.#renewed = false),
                (error) => isRefused(error) && this.#deny(error),
            );
        }
        this.#become('open');
        this.#call(welcome.name);
        this.#claim();
        const places = [...this.#places.values()];
        const { room } = welcome;
        if (room && !this.#place({ room })) this.leave(room).catch(() => {});
        // One after the other, since there may be more than the server allows at once.
        for (const place of places) {
            if (socket !== this.#socket) return;
            if (this.#place(place) === place) await this.#enter(place);
        }
    }
}

/** How far we got in one room. */
class Place {
    /** The room's incarnation; empty before we were in. */
    epoch = '';
    /** The number of the last message that was told, or that is lost. */
    last = 0;
    /** The number of the last message that was there when we came. */
    until = 0;
    /** Settled once we are in. @type {Deferred} */
    entered = new Deferred();

    #start;
    /** Nothing was told yet, so nothing is missed. */
    #fresh;
    /** We do not know yet how what we have goes with what the room has: what comes until then is not told. */
    #lost = true;
    /** The next message may have any number. */
    #anew = false;

    /** @param {string} room @param {string} [since] */
    constructor(room, since) {
        this.room = room;
        this.#start = since === 'start' ? START : since;
        this.#fresh = since === 'start';
    }

    /** From where to go on. */
    get since() {
        return this.epoch ? `${this.epoch}-${this.last}` : this.#start;
    }

    /** @param {{ room: string, id: string }} answer with the id of the room's last message */
    enter({ room, id }) {
        const [epoch, seq] = parse(id);
        const [known, since] = parse(this.since ?? id);
        this.room = room;
        this.until = seq;
        this.#lost = known !== epoch;
        if (!this.#lost) [this.epoch, this.last] = [epoch, since];
    }

    /** Whether it is to be told. @param {string} epoch */
    reset(epoch) {
        if (!this.#lost) return false;
        [this.epoch, this.last] = [epoch, 0];
        this.#lost = false;
        this.#anew = true;
        return !this.#fresh;
    }

    /**
     * How many were lost before a message that is to be told; nothing for one that is not.
     *
     * @param {{ id: string, seq: number }} message
     */
    take({ id, seq }) {
        if (this.#lost || seq <= this.last || parse(id)[0] !== this.epoch) return undefined;
        const lost = seq - this.last - 1;
        // Published just before our join was heard, when we were in the room already: it comes again in its place.
        if (lost > 0 && seq <= this.until && !this.#anew) return undefined;
        const told = this.#fresh ? 0 : lost;
        this.last = seq;
        this.#anew = false;
        this.#fresh = false;
        return told;
    }

    /** How many of the messages before number `to` are lost. @param {number} to */
    skip(to) {
        const lost = this.#lost ? 0 : to - 1 - this.last;
        if (lost <= 0) return 0;
        this.last = to - 1;
        return this.#fresh ? 0 : lost;
    }

    /** The connection is lost. */
    interrupt() {
        this.#lost = true;
        if (this.entered.settled) this.entered = new Deferred();
    }
}

/** A promise that others settle. */
class Deferred {
    settled = false;
    /** @type {(value: any) => void} */
    resolve = () => {};
    /** @type {(error: Error) => void} */
    reject = () => {};
    /** @type {Promise<any>} */
    promise = new Promise((resolve, reject) => {
        this.resolve = (value) => {
            this.settled = true;
            resolve(value);
        };
        this.reject = reject;
    });

    constructor() {
        // Nobody has to wait for it.
        this.promise.catch(() => {});
    }
}

/** @param {string} id @returns {[string, number]} */
function parse(id) {
    const [epoch, seq] = id.split('-');
    return [epoch, Number(seq)];
}

/**
 * A command and what it brings, in one frame, which is binary if that is.
 *
 * @param {string} head @param {string | ArrayBuffer | ArrayBufferView} payload
 */
function framed(head, payload) {
    if (typeof payload === 'string') return head + payload;
    const { buffer, byteOffset, byteLength } = ArrayBuffer.isView(payload) ? payload : new Uint8Array(payload);
    const start = new TextEncoder().encode(head);
    const frame = new Uint8Array(start.length + byteLength);
    frame.set(start);
    frame.set(new Uint8Array(buffer, byteOffset, byteLength), start.length);
    return frame;
}

/** A secret of 128 bits as `/name` takes it; nothing where nobody draws one. */
function drawn() {
    const drawn = globalThis.crypto?.getRandomValues(new Uint8Array(16));
    return drawn ? ` secret=${Array.from(drawn, (byte) => byte.toString(16).padStart(2, '0')).join('')}` : '';
}

/** A name with a space in it would make another command of one. @param {string} name */
function check(name) {
    if (!NAME.test(name)) throw new Refusal('bad-name', 'a name has 1 to 64 ASCII letters, digits, -, _ and .');
}

/** By the server, and not by chance. @param {unknown} error @returns {error is Refusal} */
function isRefused(error) {
    return error instanceof Refusal && error.code !== 'disconnected';
}

function disconnected() {
    return new Refusal('disconnected', 'there is no connection');
}

function closed() {
    return new Refusal('closed', 'this connection is closed for good');
}
