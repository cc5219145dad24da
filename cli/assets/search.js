/** Finds messages in the conversation that is open. The browser's own search sees only those that are in the document. */

import { find } from './elements.js';

/** @typedef {import('./log.js').Log} Log */
/** @typedef {import('./talk.js').Talk} Talk */

export class Search {
    #bar = find('search', HTMLFormElement);
    #words = find('search-words', HTMLInputElement);
    #count = find('search-count', HTMLElement);
    #log;
    #talk;
    /** The number of the row that is shown, if one is. @type {number | undefined} */
    #at;
    /** @type {Element | undefined} */
    #marked;

    /** @param {Log} log @param {() => Talk | undefined} talk that is open @param {() => void} ended */
    constructor(log, talk, ended) {
        this.#log = log;
        this.#talk = talk;
        this.#words.addEventListener('input', () => {
            this.#at = undefined;
            this.#step(-1);
        });
        this.#bar.addEventListener('submit', (event) => {
            event.preventDefault();
            this.#step(-1);
        });
        this.#bar.addEventListener('keydown', (event) => {
            if (event.key === 'Escape' || (event.key === 'Enter' && event.shiftKey)) event.preventDefault();
            if (event.key === 'Enter' && event.shiftKey) this.#step(1);
            if (event.key !== 'Escape') return;
            event.stopPropagation();
            this.close();
            ended();
        });
        find('search-older', HTMLButtonElement).addEventListener('click', () => this.#step(-1));
        find('search-newer', HTMLButtonElement).addEventListener('click', () => this.#step(1));
        find('search-close', HTMLButtonElement).addEventListener('click', () => {
            this.close();
            ended();
        });
    }

    open() {
        this.#bar.hidden = false;
        this.#words.select();
        this.#words.focus();
    }

    close() {
        this.#bar.hidden = true;
        this.#words.value = '';
        this.#at = undefined;
        this.#mark(undefined);
    }

    /** Shows the next one that was found: -1 for an older, 1 for a newer one. @param {1 | -1} by */
    #step(by) {
        const found = this.#talk()?.conversation.search(this.#words.value.trim()) ?? [];
        const last = found.length - 1;
        let place = found.findIndex((number) => number === this.#at);
        place = place < 0 ? last : (place + by + found.length) % found.length;
        this.#at = found[place];
        this.#mark(this.#at === undefined ? undefined : this.#log.reveal(this.#at));
        const none = this.#words.value.trim() ? 'none' : '';
        this.#count.textContent = found.length ? `${found.length - place} of ${found.length.toLocaleString()}` : none;
    }

    /** @param {Element | undefined} element */
    #mark(element) {
        this.#marked?.classList.remove('found');
        element?.classList.add('found');
        this.#marked = element;
    }
}
