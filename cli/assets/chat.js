/**
 * The conversations: what is told goes to the one that it belongs to, and what one types goes out.
 *
 * Knows what is unread and which conversation is open, and tells the page what has changed. Knows no documents.
 *
 * @typedef {import('./switchboard.js').Message} Message
 * @typedef {import('./conversation.js').Change} Change
 * @typedef {import('./conversation.js').GapRow | import('./conversation.js').NoteRow} Note
 *
 * @typedef {object} View
 * @property {(talk: Talk | undefined) => void} changed something came to a conversation, or to the lists
 * @property {(before: Talk | undefined) => void} opened another conversation is active
 * @property {(talk: Talk) => boolean} sees whether the newest of a conversation is in sight
 * @property {(words: string) => void} announce
 * @property {(words: string) => void} notice what is told even if much else is
 * @property {(talk: Talk, words: string) => void} called something is for the reader in particular
 * @property {(talk: Talk) => void} recalled there is more in front of a conversation
 * @property {() => void} moved somebody came, went, or took another name
 */

import { NONE } from './conversation.js';
import { Refusal } from './switchboard.js';
import { Talk, key } from './talk.js';

/** Messages of a room's past that are asked for at once. */
const RECALLED = 100;

/** A connection that is back within this time is not worth a word. */
const BLINK_MS = 1_500;

export class Chat {
    /** @type {Map<string, Talk>} */
    talks = new Map();
    /** @type {Talk | undefined} */
    active;
    /** How often there was a connection. */
    connections = 0;

    #switchboard;
    #view;
    /** Names we have had: what is said under one is ours. */
    #ownNames = new Set();
    #awaySince = 0;

    /** @param {import('./switchboard.js').Switchboard} switchboard @param {View} view */
    constructor(switchboard, view) {
        this.#switchboard = switchboard;
        this.#view = view;
        switchboard.on('state', ({ state }) => this.#connection(state));
        switchboard.on('named', ({ name }) => this.#ownNames.add(name));
        switchboard.on('message', (message) => this.#hear(message));
        switchboard.on('direct', (message) => this.#direct(message));
        switchboard.on('gap', ({ room, lost, from_seq }) => this.#note('room', room, { kind: 'gap', lost, from_seq }));
        switchboard.on('reset', ({ room }) => this.#note('room', room, { kind: 'reset' }));
        switchboard.on('joined', ({ room, name }) => this.#move(room, { joined: [name] }));
        switchboard.on('left', ({ room, name }) => this.#move(room, { left: [name] }));
        switchboard.on('presence', ({ room, joined: moreJoined, left: moreLeft, renamed: moreRenamed }) => {
            this.#move(room, { moreJoined, moreLeft, moreRenamed });
        });
        switchboard.on('renamed', (change) => this.#renamed(change));
        switchboard.on('entered', ({ room, may }) => {
            const talk = this.talks.get(key('room', room));
            if (talk) talk.rights = may;
            this.#view.changed(talk);
        });
        switchboard.on('refused', ({ room, error }) => {
            if (room) this.#say('room', room, `You are no longer in this room: ${error.message}`);
        });
    }

    /** @param {'room' | 'person'} kind */
    of(kind) {
        return [...this.talks.values()].filter((talk) => talk.kind === kind);
    }

    /** Messages that nobody has seen. */
    get unread() {
        return [...this.talks.values()].reduce((sum, { conversation }) => sum + conversation.unread, 0);
    }

    /** Joins a room, unless we are in it. @param {string} name */
    async join(name) {
        if (this.talks.has(key('room', name))) return;
        const talk = this.#talk('room', name);
        // Before the first connection, it is the first that brings us there.
        talk.enteredAt = Math.max(this.connections, 1);
        try {
            const { room, members } = await this.#switchboard.join(name, { since: 'start' });
            [talk.name, talk.members] = [room, members];
            this.#view.moved();
        } catch (error) {
            this.#forget(talk);
            throw error;
        } finally {
            this.#view.changed(talk);
        }
    }

    /** Opens a conversation, which begins if there was none. @param {'room' | 'person'} kind @param {string} name */
    async open(kind, name) {
        const joining = kind === 'room' ? this.join(name) : undefined;
        this.#activate(this.#talk(kind, name));
        await joining;
    }

    /** Opens the conversation before or behind this one. @param {1 | -1} by */
    step(by) {
        const all = [...this.of('room'), ...this.of('person')];
        const next = all[(all.findIndex((talk) => talk === this.active) + by + all.length) % all.length];
        if (next) this.#activate(next);
    }

    /** Leaves a room, or closes a private conversation. @param {Talk} talk */
    async leave(talk) {
        this.#forget(talk);
        if (talk.kind === 'room') await this.#switchboard.leave(talk.name);
    }

    /** Brings what was said in a room before the oldest message that is here, a piece of it. @param {Talk} talk */
    async recall(talk) {
        const { conversation } = talk;
        const before = conversation.earliest?.id;
        if (talk.past === 'asked' || !talk.hasPast || !talk.may('history') || !conversation.takes(RECALLED)) return;
        talk.past = 'asked';
        this.#view.changed(undefined);
        try {
            const { messages, more } = await this.#switchboard.history(talk.name, { before, limit: RECALLED });
            talk.past = '';
            // In a flood the oldest may have gone meanwhile, and the next look asks again.
            if (conversation.earliest?.id !== before) return;
            conversation.recall(messages.map((message) => this.#said(message)));
            if (!more) talk.beginsAt = conversation.earliest?.id ?? '';
            this.#view.recalled(talk);
        } catch {
            talk.past = 'failed';
        }
        this.#view.changed(undefined);
    }

    /** All of the open conversation is seen. */
    see() {
        this.active?.conversation.see();
    }

    /** @param {Talk} talk @param {string} text */
    async send(talk, text) {
        /** @type {import('./talk.js').Outgoing} */
        const outgoing = { text };
        talk.outgoing.push(outgoing);
        talk.conversation.mark = NONE;
        this.#view.changed(talk);
        try {
            if (talk.kind === 'room') {
                await this.#switchboard.publish(talk.name, text);
            } else {
                await this.#switchboard.tell(talk.name, text);
                talk.conversation.say({ from: this.#switchboard.name, text, own: true, time: Date.now() });
            }
            talk.discard(outgoing);
        } catch (error) {
            outgoing.failure = error instanceof Refusal && error.code !== 'disconnected'
                ? `Not sent: ${error.message}.` : 'The connection was lost: it may not have arrived.';
            this.#view.notice(`Your message to ${talk.title}: ${outgoing.failure}`);
        }
        this.#view.changed(talk);
    }

    // What is told.

    /** @param {Message} message */
    #hear(message) {
        const { room, from, text, replayed } = message;
        const talk = this.talks.get(key('room', room));
        if (!talk) return;
        const said = this.#said(message);
        const { own, called } = said;
        talk.conversation.say(said);
        if (own && text !== undefined) talk.heard(text);
        // What was said before we came is no news, but what was said while we were away is.
        const isNews = !replayed || this.connections > talk.enteredAt;
        if (isNews && !own) this.#news(talk, `${from ?? 'server'}: ${text ?? 'not text'}`, called);
        this.#view.changed(talk);
    }

    /** As a conversation has it. @param {Message} message */
    #said({ seq, id, time, from, text, base64 }) {
        const own = from !== null && this.#ownNames.has(from);
        return { from, text, base64, seq, id, own, called: !own && this.#calls(text ?? ''), time: Date.parse(time) };
    }

    /** @param {{ from: string, text?: string, base64?: string }} message */
    #direct({ from, text, base64 }) {
        const talk = this.#talk('person', from);
        talk.conversation.say({ from, text, base64, own: false, time: Date.now() });
        this.#news(talk, `${from}, in private: ${text ?? 'not text'}`, true);
        this.#view.changed(talk);
    }

    /** @param {Talk} talk @param {string} words @param {boolean} called */
    #news(talk, words, called) {
        if (!this.#view.sees(talk)) talk.conversation.miss(called);
        if (talk === this.active || called) this.#view.announce(words);
        if (called) this.#view.called(talk, words);
    }

    /** Whether a text has our name in it. @param {string} text */
    #calls(text) {
        const own = this.#switchboard.name.toLowerCase();
        const words = text.toLowerCase().split(/[^a-z0-9._-]+/);
        // What is part of a name may also end a sentence. A word that is much longer is no name, and is not looked through:
        // a message may be one word of 64 KiB.
        return own !== '' && words.some((word) => word.startsWith(own) && /^[._-]{0,8}$/.test(word.slice(own.length)));
    }

    /** @param {string} room @param {Partial<Change>} change */
    #move(room, change) {
        const talk = this.talks.get(key('room', room));
        talk?.conversation.move(change);
        this.#view.moved();
        this.#view.changed(talk);
    }

    /** @param {{ room: string, from: string, to: string }} change */
    #renamed({ room, from, to }) {
        this.#say('room', room, `${from} is now ${to}`);
        const talk = this.talks.get(key('person', from));
        if (talk && !this.talks.has(key('person', to))) {
            this.talks.delete(talk.key);
            talk.name = to;
            this.talks.set(talk.key, talk);
            this.#say('person', to, `${from} is now ${to}`);
        }
        this.#view.moved();
    }

    /** @param {import('./switchboard.js').State} state */
    #connection(state) {
        if (state !== 'open') {
            this.#awaySince ||= this.connections && Date.now();
            return;
        }
        this.connections += 1;
        for (const talk of this.of('room')) if (talk.past === 'failed') talk.past = '';
        const away = Date.now() - this.#awaySince;
        if (this.#awaySince && away > BLINK_MS) {
            // Rooms go on where they were; what is sent to one person is kept nowhere.
            const text = `You were away for ${Math.round(away / 1000)} s: what was sent to you meanwhile is lost`;
            for (const { name } of this.of('person')) this.#say('person', name, text);
        }
        this.#awaySince = 0;
    }

    /** @param {'room' | 'person'} kind @param {string} name @param {string} text */
    #say(kind, name, text) {
        this.#note(kind, name, { kind: 'note', text });
    }

    /** @param {'room' | 'person'} kind @param {string} name @param {Note} note */
    #note(kind, name, note) {
        const talk = this.talks.get(key(kind, name));
        talk?.conversation.note(note);
        this.#view.changed(talk);
    }

    // Conversations.

    /** @param {'room' | 'person'} kind @param {string} name */
    #talk(kind, name) {
        const talk = this.talks.get(key(kind, name)) ?? new Talk(kind, name);
        this.talks.set(talk.key, talk);
        return talk;
    }

    /** @param {Talk | undefined} talk */
    #activate(talk) {
        if (talk === this.active) return;
        const before = this.active;
        if (before?.conversation.unread === 0) before.conversation.mark = NONE;
        this.active = talk;
        this.#view.opened(before);
    }

    /** @param {Talk} talk */
    #forget(talk) {
        this.talks.delete(talk.key);
        if (talk === this.active) this.#activate([...this.talks.values()].at(-1));
        this.#view.changed(undefined);
    }
}
