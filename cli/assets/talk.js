/** One place to talk: a room, or one person alone. Knows what was sent but not heard. */

import { Conversation } from './conversation.js';

/**
 * @typedef {object} Outgoing a text on its way
 * @property {string} text
 * @property {string} [failure] why it may not have arrived
 */

export class Talk {
    conversation = new Conversation();
    /** @type {Outgoing[]} */
    outgoing = [];
    /** How many connections there had been when we came. */
    enteredAt = 0;
    /** How many are in the room. */
    members = 0;
    /** Those of them whose names are known. @type {string[]} */
    names = [];
    /** The oldest message that the server still has, once it has said so: its id. */
    beginsAt = '';
    /** What becomes of what was said before: nothing was asked, or it is on its way, or it does not come. @type {'' | 'asked' | 'failed'} */
    past = '';
    /** What one may do there, where the server knows. @type {string[] | undefined} */
    rights;

    /** @param {'room' | 'person'} kind @param {string} name */
    constructor(kind, name) {
        this.kind = kind;
        this.name = name;
    }

    get key() {
        return key(this.kind, this.name);
    }

    /** Whether one may do that there, as far as is known. @param {import('./switchboard.js').Right} right */
    may(right) {
        return this.rights?.includes(right) ?? true;
    }

    /** Whether the server may have more that was said before. */
    get hasPast() {
        const { earliest } = this.conversation;
        return earliest?.id !== undefined && earliest.seq !== 1 && earliest.id !== this.beginsAt;
    }

    get title() {
        return this.kind === 'room' ? this.name : `@${this.name}`;
    }

    /** A text of ours was heard in the room: it is on its way no more. @param {string} text */
    heard(text) {
        const at = this.outgoing.findIndex((outgoing) => outgoing.text === text);
        if (at >= 0) this.outgoing.splice(at, 1);
    }

    /** @param {Outgoing} outgoing */
    discard(outgoing) {
        this.outgoing = this.outgoing.filter((other) => other !== outgoing);
    }
}

/** Names are the same in capital and small letters. @param {'room' | 'person'} kind @param {string} name */
export function key(kind, name) {
    return (kind === 'room' ? '#' : '@') + name.toLowerCase();
}
