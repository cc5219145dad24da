/**
 * Shows a conversation in a scrolling element, with as many rows in the document as are near what one sees.
 *
 * Follows what is new while one is at the end, and stays where one is otherwise. What is said is always set as text.
 *
 * @typedef {import('./conversation.js').Conversation} Conversation
 * @typedef {import('./conversation.js').Row} Row
 */

import { describe } from './conversation.js';
import { avatar, make, tint } from './elements.js';
import { addresses } from './links.js';
import { bytes } from './switchboard.js';

/** Rows in the document: at least a few screens, and never more than this. */
const ROWS = 300;

/** Rows that are added when one comes near an end, and that there are at first: more than fit on a screen. */
const STEP = 120;

/** What is near an end, in pixels. */
const NEAR = 800;

/** Within this many pixels of the end, one is at the end. */
const AT_END = 48;

/** Bytes of a message that is not text which are shown. */
const SHOWN_BYTES = 64;

/** Characters and lines of a message that are shown until one asks for all of it. */
const SHOWN_CHARACTERS = 1_500;
const SHOWN_LINES = 20;

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const date = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });

export class Log {
    /** Whether the newest row is in sight, and stays there. */
    atEnd = true;

    #scroller;
    #list;
    /** @type {Conversation | undefined} */
    #conversation;
    /** Numbers of the rows in the document. */
    #start = 0;
    #end = 0;
    /** The rows that the list's children show. @type {Row[]} */
    #shown = [];
    #line = make('span', 'mark', 'New');
    #changed;
    #frame = 0;

    /** @param {HTMLElement} scroller @param {HTMLElement} list in it @param {() => void} changed where one is */
    constructor(scroller, list, changed) {
        this.#scroller = scroller;
        this.#list = list;
        this.#changed = changed;
        scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true });
        // What is below may grow, or a keyboard slide in.
        new ResizeObserver(() => this.atEnd && this.#toEnd()).observe(scroller);
    }

    /** Shows another conversation, at its end. @param {Conversation} conversation */
    open(conversation) {
        this.#conversation = conversation;
        this.#clear();
        this.latest();
    }

    /** Shows what has changed, before the next frame. */
    refresh() {
        this.#frame ||= requestAnimationFrame(() => {
            this.#frame = 0;
            this.#render();
        });
    }

    /** Shows some of what has come in front, above what one reads. */
    recall() {
        const first = this.#conversation?.first ?? 0;
        const start = Math.max(first, this.#start - STEP);
        this.#stay(() => this.#window(start, Math.min(this.#end, start + ROWS)));
        if (this.atEnd) this.#render();
        else this.#changed();
    }

    /** Keeps one where one is while something above the rows changes; whoever is at the top sees it. @param {() => void} change */
    keep(change) {
        if (this.#scroller.scrollTop > 0) this.#stay(change);
        else change();
        if (this.atEnd) this.#toEnd();
    }

    /** Goes to the newest row. */
    latest() {
        const end = this.#conversation?.end ?? 0;
        this.#window(end - STEP, end);
        this.#toEnd();
    }

    /** Goes to the oldest row. */
    earliest() {
        const first = this.#conversation?.first ?? 0;
        this.#window(first, first + STEP);
        this.#scroller.scrollTop = 0;
    }

    /** Shows one row in the middle, and says which element it is. @param {number} number */
    reveal(number) {
        this.atEnd = false;
        this.#window(number - STEP / 2, number + STEP / 2);
        const element = this.#list.children[number - this.#start];
        element?.scrollIntoView({ block: 'center' });
        this.#scrolled();
        return element;
    }

    /** Whether the oldest row that is kept is in the document. */
    get atStart() {
        return this.#start === (this.#conversation?.first ?? 0);
    }

    /** Whether one is about to come to it, or sees it. */
    get isNearStart() {
        return this.atStart && this.#scroller.scrollTop < NEAR;
    }

    #clear() {
        this.#list.replaceChildren();
        this.#shown = [];
        this.#start = this.#end = 0;
    }

    #render() {
        const conversation = this.#conversation;
        if (!conversation) return;
        if (this.atEnd) {
            const start = Math.max(this.#start, conversation.end - ROWS);
            // In a flood none of the rows stays, and no more than one sees are worth making.
            this.#window(start < this.#end ? start : conversation.end - STEP, conversation.end);
            this.#toEnd();
        } else {
            // New rows wait behind the window, unless there is room for them.
            this.#stay(() => this.#window(this.#start, Math.min(conversation.end, this.#start + ROWS)));
        }
        this.#changed();
    }

    #toEnd() {
        this.#scroller.scrollTop = this.#scroller.scrollHeight;
        this.atEnd = true;
    }

    #scrolled() {
        const conversation = this.#conversation;
        if (!conversation) return;
        const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
        const below = scrollHeight - clientHeight - scrollTop;
        // What came meanwhile is in the document with the next frame.
        if (this.atEnd && below < AT_END) return;
        if (scrollTop < NEAR && this.#start > conversation.first) {
            const start = Math.max(conversation.first, this.#start - STEP);
            this.#stay(() => this.#window(start, Math.min(this.#end, start + ROWS)));
        } else if (below < NEAR && this.#end < conversation.end) {
            const end = Math.min(conversation.end, this.#end + STEP);
            this.#stay(() => this.#window(Math.max(this.#start, end - ROWS), end));
        }
        this.atEnd = below < AT_END && this.#end === conversation.end;
        this.#changed();
    }

    /** Keeps what one reads in its place while rows change around it. @param {() => void} change */
    #stay(change) {
        const top = this.#scroller.getBoundingClientRect().top;
        const rows = [...this.#list.children];
        const seen = rows.find((row) => row.getBoundingClientRect().bottom > top);
        const before = seen?.getBoundingClientRect().top ?? 0;
        change();
        if (seen?.isConnected) this.#scroller.scrollTop += seen.getBoundingClientRect().top - before;
    }

    /** Has the rows of these numbers in the document, and no others. @param {number} start @param {number} end */
    #window(start, end) {
        const conversation = this.#conversation;
        if (!conversation) return;
        start = Math.max(start, conversation.first);
        end = Math.min(end, conversation.end);
        if (start >= this.#end || end <= this.#start) {
            this.#clear();
            this.#start = this.#end = start;
        }
        while (this.#start < start) this.#remove('shift');
        while (this.#end > end) this.#remove('pop');
        // The last row changes when more come and go.
        // And the first one, when some come in front of it.
        while (this.#shown.length && this.#shown[0] !== conversation.row(this.#start)) this.#remove('shift');
        while (this.#shown.length && this.#shown.at(-1) !== conversation.row(this.#end - 1)) this.#remove('pop');
        this.#list.prepend(this.#make(start, this.#start, 'unshift'));
        this.#list.append(this.#make(this.#end, end, 'push'));
        this.#start = start;
        this.#end = end;
        this.#draw(conversation.mark);
    }

    /** Draws the line above what is new. @param {number} mark the number of the row below it */
    #draw(mark) {
        const row = mark < this.#start ? undefined : this.#list.children[mark - this.#start];
        if (row?.contains(this.#line)) return;
        if (row) row.prepend(this.#line);
        else this.#line.remove();
    }

    /** @param {'shift' | 'pop'} from */
    #remove(from) {
        this.#shown[from]();
        if (from === 'shift') {
            this.#list.firstElementChild?.remove();
            this.#start += 1;
        } else {
            this.#list.lastElementChild?.remove();
            this.#end -= 1;
        }
    }

    /** @param {number} start @param {number} end @param {'unshift' | 'push'} to */
    #make(start, end, to) {
        const fragment = document.createDocumentFragment();
        const rows = [];
        for (let number = start; number < end; number += 1) {
            const row = this.#conversation?.row(number);
            if (!row) continue;
            rows.push(row);
            fragment.append(show(row));
        }
        this.#shown[to](...rows);
        return fragment;
    }
}

/** @param {Row} row */
function show(row) {
    switch (row.kind) {
        case 'message':
            return message(row);
        case 'day':
            return make('li', 'day', date.format(row.time));
        case 'presence':
            return make('li', 'note', describe(row));
        case 'gap':
            return gap(row);
        case 'reset':
            return rupture('This room started over.',
                'The server was restarted, or had forgotten the room. What was said in between is lost.');
        case 'note':
            return make('li', 'note', row.text);
    }
}

/** @param {import('./conversation.js').GapRow} row */
function gap({ lost, from_seq: first }) {
    if (lost === 1) return rupture('A message is missing here.', `The server no longer has number ${first}.`);
    const numbers = `${first} to ${first + lost - 1}`;
    return rupture(`${lost.toLocaleString()} messages are missing here.`, `The server no longer has ${numbers}.`);
}

/** @param {string} what @param {string} why */
function rupture(what, why) {
    const element = make('li', 'rupture');
    element.append(make('strong', '', what), ' ', make('span', '', why));
    return element;
}

/** @param {import('./conversation.js').MessageRow} row */
function message(row) {
    const element = make('li', 'message');
    element.classList.toggle('own', row.own);
    element.classList.toggle('called', row.called ?? false);
    element.classList.toggle('continued', row.continued);
    const time = make('time', '', row.continued ? hours(row.time) : clock.format(row.time));
    time.setAttribute('datetime', new Date(row.time).toISOString());
    time.title = moment.format(row.time);
    const from = make('span', row.continued ? 'unseen' : 'from', row.from ?? 'server');
    tint(from, row.from);
    if (row.own && !row.continued) from.append(make('span', 'you', 'you'));
    if (!row.continued) element.append(avatar(row.from));
    element.append(from, time, body(row));
    return element;
}

/** In little space. @param {number} time */
function hours(time) {
    const parts = clock.formatToParts(time).filter(({ type }) => type !== 'dayPeriod');
    return parts.map(({ value }) => value).join('').trim();
}

/** @param {import('./conversation.js').MessageRow} row */
function body(row) {
    const { text = '', base64 } = row;
    const element = make('div', 'body');
    if (base64 === undefined) {
        // Whoever writes from right to left is read so.
        element.dir = 'auto';
        const shown = row.whole ? text.length : beginning(text);
        element.append(...links(text.slice(0, shown)));
        if (shown < text.length) element.append('…', whole(row, element));
        return element;
    }
    const raw = bytes({ base64 });
    const hex = Array.from(raw.subarray(0, SHOWN_BYTES), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
    element.classList.add('binary');
    element.append(make('span', 'size', `${raw.length.toLocaleString()} bytes, not text`));
    element.append(make('code', '', raw.length > SHOWN_BYTES ? `${hex} …` : hex));
    return element;
}

/** How much of a text is shown at first. @param {string} text */
function beginning(text) {
    let end = -1;
    for (let line = 0; line < SHOWN_LINES; line += 1) {
        end = text.indexOf('\n', end + 1);
        if (end < 0) break;
    }
    const shown = Math.min(end < 0 ? text.length : end, SHOWN_CHARACTERS);
    // A button for a few characters is more than they are; and no character is cut in two.
    if (text.length - shown < 200) return text.length;
    return /[\uD800-\uDBFF]/.test(text[shown - 1] ?? '') ? shown - 1 : shown;
}

/** Shows all of a long message. @param {import('./conversation.js').MessageRow} row @param {HTMLElement} element */
function whole(row, element) {
    const button = make('button', 'whole', `Show all ${row.text?.length.toLocaleString()} characters`);
    button.setAttribute('type', 'button');
    button.addEventListener('click', () => {
        row.whole = true;
        element.replaceChildren(...links(row.text ?? ''));
    });
    return button;
}

/** Text, with what looks like an address as one. @param {string} text */
function links(text) {
    const parts = [];
    let at = 0;
    for (const { address, index } of addresses(text)) {
        const link = /** @type {HTMLAnchorElement} */ (make('a', '', address));
        link.href = address;
        link.target = '_blank';
        link.rel = 'noopener noreferrer';
        parts.push(text.slice(at, index), link);
        at = index + address.length;
    }
    return [...parts, text.slice(at)];
}
