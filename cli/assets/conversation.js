/**
 * What one room, or one person, has told: rows, oldest first, as a log shows them.
 *
 * Keeps the last ones only. Rows are found by a number that stays theirs when older ones come or go. Knows nothing of documents
 * and connections.
 *
 * @typedef {{ kind: 'message', from: string | null, text?: string, base64?: string, time: number, own: boolean,
 *     called?: boolean, seq?: number, id?: string, continued: boolean, whole?: boolean }} MessageRow `called`: it is for the reader in
 *     particular; `whole`: the reader wants to see all of a long one
 * @typedef {object} Change who came and went: some by name, and how many more
 * @property {string[]} joined
 * @property {string[]} left
 * @property {number} moreJoined
 * @property {number} moreLeft
 * @property {number} moreRenamed
 * @typedef {{ kind: 'presence' } & Change} PresenceRow
 * @typedef {{ kind: 'day', time: number }} DayRow
 * @typedef {{ kind: 'gap', lost: number, from_seq: number }} GapRow
 * @typedef {{ kind: 'reset' } | { kind: 'note', text: string }} NoteRow
 * @typedef {MessageRow | PresenceRow | DayRow | GapRow | NoteRow} Row
 */

/** Rows that are kept; when there are more, the oldest tenth goes at once. */
export const KEPT = 10_000;

/** Characters of them that are kept, about: long messages are fewer. */
const KEPT_CHARACTERS = 16 << 20;

/** What one person says within this time stands under one name, but no more than so many messages. */
const TOGETHER_MS = 5 * 60_000;
const TOGETHER = 20;

/** No row has this number: those of rows that were recalled are below 0. */
export const NONE = -Infinity;

/** Names that a line about who came and went tells; the others are counted. */
const NAMED = 4;

export class Conversation {
    /** The number of the oldest row that is kept. */
    first = 0;
    /** Messages that nobody has seen. */
    unread = 0;
    /** Whether one of them is for the reader in particular. */
    called = false;
    /** The row before which the unseen ones begin; `NONE` if none is unseen. */
    mark = NONE;
    /** @type {Row[]} */
    #rows = [];
    #characters = 0;
    /** @type {MessageRow | undefined} */
    #lastMessage;
    /** When the message with the last name was said, and how many stand under it. */
    #group = { time: 0, size: 0 };

    /** The number behind that of the newest row. */
    get end() {
        return this.first + this.#rows.length;
    }

    /** @param {number} number @returns {Row | undefined} */
    row(number) {
        return this.#rows[number - this.first];
    }

    /** The oldest message that is kept. */
    get earliest() {
        const row = this.#rows.find((row) => row.kind === 'message');
        return row?.kind === 'message' ? row : undefined;
    }

    /** Its number in its room. */
    get oldest() {
        return this.earliest?.seq;
    }

    /** Whether as many more rows can be kept. @param {number} more */
    takes(more) {
        return this.#rows.length + 2 * more <= KEPT && this.#characters < KEPT_CHARACTERS / 2;
    }

    /** Puts what was said before in front of it all. @param {Omit<MessageRow, 'kind' | 'continued'>[]} messages oldest first */
    recall(messages) {
        const past = new Conversation();
        for (const message of messages) past.say(message);
        const last = messages.at(-1);
        const first = this.#rows[0];
        // What was the first of its day stands under one line with the others.
        if (last && first?.kind === 'day' && day(first.time) === day(last.time)) this.#forget(1);
        this.#rows.unshift(...past.#rows);
        this.first -= past.#rows.length;
        this.#characters += past.#characters;
    }

    /** @param {Omit<MessageRow, 'kind' | 'continued'>} message */
    say(message) {
        const last = this.#lastMessage;
        if (!last || day(last.time) !== day(message.time)) this.#push({ kind: 'day', time: message.time });
        const same = this.#rows.at(-1) === last && last?.from === message.from && last.own === message.own;
        const continued = same && message.time - this.#group.time < TOGETHER_MS && this.#group.size < TOGETHER;
        if (!continued) this.#group = { time: message.time, size: 0 };
        this.#group.size += 1;
        this.#lastMessage = { kind: 'message', ...message, continued };
        this.#push(this.#lastMessage);
    }

    /** Who came and went stands in one line until somebody says something. @param {Partial<Change>} change */
    move({ joined = [], left = [], moreJoined = 0, moreLeft = 0, moreRenamed = 0 }) {
        const last = this.#rows.at(-1);
        const before = last?.kind === 'presence' ? last : { joined: [], left: [], moreJoined: 0, moreLeft: 0, moreRenamed: 0 };
        if (last === before) this.#rows.pop();
        // Somebody who came back at once, as after a reconnection, was hardly away.
        const row = {
            joined: [...without(before.joined, left), ...without(joined, before.left)],
            left: [...without(before.left, joined), ...without(left, before.joined)],
            moreJoined: before.moreJoined + moreJoined,
            moreLeft: before.moreLeft + moreLeft,
            moreRenamed: before.moreRenamed + moreRenamed,
        };
        if (describe(row)) this.#push({ kind: 'presence', ...row });
    }

    /** @param {GapRow | NoteRow} row */
    note(row) {
        this.#push(row);
    }

    /**
     * The numbers of the messages that hold `words`, in capital or small letters, or come from somebody with that in the
     * name; oldest first.
     *
     * @param {string} words
     */
    search(words) {
        const sought = words.toLowerCase();
        if (!sought) return [];
        const holds = (/** @type {Row} */ row) => row.kind === 'message'
            && `${row.from ?? ''}\n${row.text ?? ''}`.toLowerCase().includes(sought);
        return this.#rows.flatMap((row, at) => (holds(row) ? [this.first + at] : []));
    }

    /** One more that was not seen. @param {boolean} called */
    miss(called) {
        if (this.unread === 0) this.mark = this.end - 1;
        this.unread += 1;
        this.called ||= called;
    }

    /** All is seen. The mark stays until there is news again. */
    see() {
        this.unread = 0;
        this.called = false;
    }

    /** @param {Row} row */
    #push(row) {
        this.#rows.push(row);
        this.#characters += size(row);
        if (this.#rows.length > KEPT) this.#forget(KEPT / 10);
        while (this.#characters > KEPT_CHARACTERS) this.#forget(Math.ceil(this.#rows.length / 10));
    }

    /** @param {number} count */
    #forget(count) {
        const gone = this.#rows.splice(0, count);
        this.first += gone.length;
        for (const row of gone) this.#characters -= size(row);
    }
}

/** Characters that a row keeps. @param {Row} row */
function size(row) {
    return row.kind === 'message' ? (row.text ?? row.base64 ?? '').length : 0;
}

/** @param {Change} change */
export function describe({ joined, left, moreJoined, moreLeft, moreRenamed }) {
    const renamed = moreRenamed === 1 ? '1 has a new name' : `${moreRenamed.toLocaleString()} have new names`;
    const parts = [list(joined, moreJoined, 'joined'), list(left, moreLeft, 'left'), moreRenamed > 0 ? renamed : ''];
    return parts.filter(Boolean).join(' · ');
}

/** @param {string[]} names @param {number} more @param {string} did */
function list(names, more, did) {
    const told = names.slice(0, NAMED);
    const rest = names.length - told.length + more;
    if (rest > 0) told.push(told.length ? `${rest.toLocaleString()} more` : rest.toLocaleString());
    const last = told.pop();
    if (last === undefined) return '';
    return `${told.length ? `${told.join(', ')} and ` : ''}${last} ${did}`;
}

/** @param {string[]} names @param {string[]} others */
function without(names, others) {
    return names.filter((name) => !others.includes(name));
}

/** @param {number} time */
function day(time) {
    return new Date(time).toDateString();
}
