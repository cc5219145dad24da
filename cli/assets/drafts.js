/**
 * What was typed and not sent, kept for as long as the tab: a page that is loaded again, or that a phone has thrown away in
 * the background, still has it. The browser may refuse to keep it, and that is fine.
 *
 * @typedef {import('./talk.js').Talk} Talk
 */

const PLACE = 'switchboard-drafts';

export class Drafts {
    /** By the key of a conversation. @type {Map<string, string>} */
    #texts = new Map();

    constructor() {
        try {
            this.#texts = new Map(Object.entries(JSON.parse(sessionStorage.getItem(PLACE) ?? '{}') ?? {}));
        } catch {
            // It is turned off, or somebody else's.
        }
    }

    /** @param {string} key */
    of(key) {
        return this.#texts.get(key) ?? '';
    }

    /** @param {string} key @param {string} text */
    set(key, text) {
        if (text) this.#texts.set(key, text);
        else this.#texts.delete(key);
    }

    /** Keeps them, and what was sent in vain. @param {Iterable<Talk>} talks */
    keep(talks) {
        const kept = new Map(this.#texts);
        for (const { key, outgoing } of talks) {
            const failed = outgoing.filter(({ failure }) => failure).map(({ text }) => text);
            if (failed.length) kept.set(key, [...failed, this.of(key)].filter(Boolean).join('\n'));
        }
        try {
            sessionStorage.setItem(PLACE, JSON.stringify(Object.fromEntries(kept)));
        } catch {
            // It is turned off, or full.
        }
    }
}
