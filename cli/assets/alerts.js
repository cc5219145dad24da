/**
 * Calls back whoever does not look: the tab's title and icon say that there is news, and the system tells of what is for the
 * reader in particular, once that is allowed. A muted room does neither.
 */

import { find } from './elements.js';
import { load, save } from './settings.js';

/** @typedef {import('./talk.js').Talk} Talk */

/** Characters of a message that the system shows. */
const SHOWN = 200;

export class Alerts {
    #icon = /** @type {HTMLLinkElement} */ (document.querySelector('link[rel=icon]'));
    #button = find('notify', HTMLButtonElement);
    #muted = new Set(load().muted);

    constructor() {
        this.#button.addEventListener('click', async () => {
            await Notification.requestPermission();
            this.#offer();
        });
        this.#offer();
    }

    /** @param {Talk} talk */
    isMuted(talk) {
        return this.#muted.has(talk.key);
    }

    /** Mutes a conversation, or lets it be heard again. @param {Talk} talk */
    toggle(talk) {
        if (!this.#muted.delete(talk.key)) this.#muted.add(talk.key);
        save({ muted: [...this.#muted] });
    }

    /** @param {Talk[]} talks @param {Talk | undefined} active */
    show(talks, active) {
        const heard = talks.filter((talk) => !this.isMuted(talk));
        const unread = heard.reduce((sum, { conversation }) => sum + conversation.unread, 0);
        const called = heard.some(({ conversation }) => conversation.called);
        const title = active ? `${active.title} · switchboard` : 'switchboard';
        document.title = unread ? `(${unread}${called ? '!' : ''}) ${title}` : title;
        const icon = called ? 'icon-news.svg' : 'icon.svg';
        if (this.#icon.getAttribute('href') !== icon) this.#icon.href = icon;
    }

    /** Something is for the reader in particular. @param {Talk} talk @param {string} words @param {() => void} open */
    call(talk, words, open) {
        if (document.visibilityState === 'visible' || !canNotify() || Notification.permission !== 'granted') return;
        if (this.isMuted(talk)) return;
        // One for each conversation: the next takes its place.
        const note = new Notification(talk.title, { body: words.slice(0, SHOWN), tag: talk.key, icon: 'icon.svg' });
        note.onclick = () => {
            window.focus();
            open();
            note.close();
        };
    }

    /** Offers to notify where that can still be allowed. */
    #offer() {
        this.#button.hidden = !canNotify() || Notification.permission !== 'default';
    }
}

/** Browsers notify for pages that came by TLS, or from this machine. */
function canNotify() {
    return 'Notification' in globalThis && isSecureContext;
}
