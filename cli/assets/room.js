/** What stands around the log of the conversation that is open: its title, how it began, and what is on its way. */

import { find, make } from './elements.js';

/** @typedef {import('./talk.js').Talk} Talk */
/** @typedef {import('./talk.js').Outgoing} Outgoing */
/** @typedef {import('./log.js').Log} Log */

/** What can be done with a text that may not have arrived. */
/** @typedef {{ discard: (outgoing: Outgoing) => void, again: (outgoing: Outgoing) => void }} Failed */

export class Room {
    #title = find('title', HTMLElement);
    #subtitle = find('subtitle', HTMLElement);
    #leave = find('leave', HTMLButtonElement);
    #members = find('members', HTMLElement);
    #membersButton = find('members-button', HTMLButtonElement);
    #empty = find('empty', HTMLElement);
    #beginning = find('beginning', HTMLElement);
    #pending = find('pending', HTMLElement);
    #latest = find('latest', HTMLButtonElement);
    #composer = find('composer', HTMLElement);
    #text = find('text', HTMLTextAreaElement);
    #send = find('send', HTMLButtonElement);
    /** What `#empty` and `#pending` show. */
    #emptied = '';
    #sent = '';

    /** @param {Talk | undefined} talk @param {Log} log @param {Failed} failed */
    show(talk, log, failed) {
        const isRoom = talk?.kind === 'room';
        this.#title.textContent = talk?.title ?? 'No room';
        this.#subtitle.textContent = subtitle(talk);
        this.#leave.hidden = !talk;
        const leaves = `${isRoom ? 'Leave' : 'Close'} ${talk?.title ?? ''}`.trim();
        if (this.#leave.title !== leaves) {
            this.#leave.title = leaves;
            this.#leave.setAttribute('aria-label', leaves);
        }
        this.#members.hidden = this.#membersButton.hidden = !isRoom || !talk?.may('presence');
        this.#composer.hidden = !talk;
        const mayPublish = talk?.may('publish') ?? true;
        // One can still type a command.
        this.#composer.classList.toggle('silent', !mayPublish);
        this.#send.disabled = !mayPublish && !this.#text.value.startsWith('/');
        this.#text.placeholder = placeholder(talk, mayPublish);
        this.#showEmpty(talk);
        this.#showPending(talk, failed);
        const begins = log.atStart ? beginning(talk) : '';
        if (this.#beginning.textContent !== begins || this.#beginning.hidden !== !begins) {
            log.keep(() => {
                this.#beginning.textContent = begins;
                this.#beginning.hidden = !begins;
            });
        }
        this.#latest.hidden = log.atEnd;
        const unread = talk?.conversation.unread ?? 0;
        this.#latest.textContent = unread ? `${unread.toLocaleString()} new ↓` : 'Latest ↓';
    }

    /** @param {Talk | undefined} talk */
    #showEmpty(talk) {
        this.#empty.hidden = talk !== undefined && talk.conversation.end > talk.conversation.first;
        const key = talk ? `${talk.key} ${talk.rights}` : '';
        if (this.#empty.hidden || this.#emptied === key) return;
        this.#emptied = key;
        const parts = [make('img')];
        parts[0].setAttribute('src', 'icon.svg');
        parts[0].setAttribute('alt', '');
        if (!talk) {
            parts.push(make('h2', '', 'You are in no room'), make('p', '', 'Choose one from the list, or start a new one.'));
        } else if (talk.kind === 'person') {
            parts.push(make('h2', '', `Between you and ${talk.name}`));
            parts.push(make('p', '', 'Nobody else sees it, and nothing is kept: people who are away miss it.'));
        } else {
            const isKnown = talk.may('history');
            parts.push(make('h2', '', `Nothing has been said here ${isKnown ? 'yet' : 'since you came'}`));
            if (talk.may('publish')) {
                parts.push(make('p', '', 'Say the first word, or let a terminal do it:'));
                parts.push(make('code', 'snippet', publishing(talk.name)));
            }
        }
        this.#empty.replaceChildren(...parts);
    }

    /** @param {Talk | undefined} talk @param {Failed} failed */
    #showPending(talk, { discard, again }) {
        const outgoing = talk?.outgoing ?? [];
        const state = JSON.stringify([talk?.key, outgoing]);
        if (state === this.#sent) return;
        this.#sent = state;
        this.#pending.replaceChildren(...outgoing.map((one) => {
            const item = make('li', one.failure ? 'failed' : 'sending');
            item.append(make('div', 'body', one.text), make('span', 'fate', one.failure ?? 'Sending…'));
            if (one.failure) item.append(button('Send again', () => again(one)), button('Discard', () => discard(one)));
            return item;
        }));
    }
}

/** @param {string} room */
export function publishing(room) {
    return `curl -d 'hello' ${new URL(`rooms/${room}`, document.baseURI)}`;
}

/** @param {string} room */
export function following(room) {
    return `curl -N '${new URL(`rooms/${room}/messages?follow=1`, document.baseURI)}'`;
}

/** @param {Talk | undefined} talk @param {boolean} mayPublish */
function placeholder(talk, mayPublish) {
    if (!talk) return '';
    return mayPublish ? `Message ${talk.title}` : `You may only read in ${talk.title}`;
}

/** @param {Talk | undefined} talk */
function subtitle(talk) {
    if (!talk) return '';
    if (talk.kind === 'person') return 'In private';
    if (!talk.may('presence')) return 'You may not see who is here';
    if (talk.members === 0) return 'Joining…';
    return talk.members === 1 ? 'Only you are here' : `${talk.members.toLocaleString()} here now`;
}

/** @param {Talk | undefined} talk */
function beginning(talk) {
    if (talk?.kind !== 'room') return '';
    const { oldest } = talk.conversation;
    if (!talk.may('history')) return 'You may not read what was said before you came.';
    if (oldest === undefined) return '';
    if (oldest === 1) return `This is where ${talk.name} begins.`;
    if (talk.past === 'asked') return 'Earlier messages are on their way…';
    if (talk.past === 'failed') return 'Earlier messages cannot be had now: there is no connection, or the server refuses.';
    if (talk.hasPast) return 'Earlier messages are not on this page.';
    return 'The server keeps only the latest messages: earlier ones are gone.';
}

/** @param {string} text @param {() => void} act */
function button(text, act) {
    const element = make('button', 'quiet', text);
    element.setAttribute('type', 'button');
    element.addEventListener('click', act);
    return element;
}
