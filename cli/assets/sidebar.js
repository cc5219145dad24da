/** The lists of rooms and people to talk to, with how many are there and how much is unread. */

import { avatar, find, make, sync } from './elements.js';
import { key } from './talk.js';

/** @typedef {import('./talk.js').Talk} Talk */

/** Counts above this are not worth telling apart. */
const COUNTED = 99;

export class Sidebar {
    #yours = find('yours', HTMLUListElement);
    #private = find('private', HTMLUListElement);
    #others = find('others', HTMLUListElement);
    #rest = find('others-rest', HTMLElement);
    #button = find('rooms-button', HTMLButtonElement);
    /** The conversation that was brought into sight. @type {string | undefined} */
    #followed;

    /** @param {(kind: 'room' | 'person', name: string) => void} choose */
    constructor(choose) {
        for (const list of [this.#yours, this.#private, this.#others]) {
            list.addEventListener('click', ({ target }) => {
                const button = target instanceof Element && target.closest('button');
                if (button) choose(list === this.#private ? 'person' : 'room', button.value);
            });
        }
    }

    /**
     * @param {Talk[]} talks
     * @param {Talk | undefined} active
     * @param {{ rooms: { room: string, members: number }[], total: number }} all
     */
    show(talks, active, all) {
        const ours = talks.filter(({ kind }) => kind === 'room');
        const people = talks.filter(({ kind }) => kind === 'person');
        const known = new Set(ours.map(({ key }) => key));
        const others = all.rooms.filter(({ room }) => !known.has(key('room', room)));
        others.sort((one, other) => other.members - one.members);

        sync(this.#yours, ours, ({ key }) => key, ({ name }) => item(name, make('span', 'jack')));
        sync(this.#private, people, ({ key }) => key, ({ name }) => item(name, avatar(name)));
        sync(this.#others, others, ({ room }) => room, ({ room }) => item(room, make('span', 'jack open')));
        ours.forEach((talk, at) => describe(this.#yours.children[at], talk, talk === active));
        people.forEach((talk, at) => describe(this.#private.children[at], talk, talk === active));
        others.forEach(({ members }, at) => count(this.#others.children[at], members));

        reveal(this.#private, people.length > 0);
        reveal(this.#others, others.length > 0);
        const rest = all.total - all.rooms.length;
        this.#rest.hidden = rest <= 0;
        this.#rest.textContent = `and ${rest.toLocaleString()} more`;

        if (active && active.key !== this.#followed) this.follow();
        this.#followed = active?.key;

        const news = talks.some(({ conversation }) => conversation.unread > 0);
        this.#button.classList.toggle('news', news);
        this.#button.setAttribute('aria-label', news ? 'Rooms, with new messages' : 'Rooms');
    }

    /** Brings the conversation that is open into sight. */
    follow() {
        for (const list of [this.#yours, this.#private]) {
            list.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest' });
        }
    }
}

/** @param {Element} list @param {boolean} visible */
function reveal(list, visible) {
    list.closest('section')?.toggleAttribute('hidden', !visible);
}

/** @param {string} name @param {HTMLElement} sign */
function item(name, sign) {
    const button = /** @type {HTMLButtonElement} */ (make('button', 'talk'));
    button.type = 'button';
    button.value = name;
    sign.setAttribute('aria-hidden', 'true');
    button.append(sign, make('span', 'name', name), make('span', 'count'));
    const element = make('li');
    element.append(button);
    return element;
}

/** @param {Element} element @param {Talk} talk @param {boolean} active */
function describe(element, { conversation, kind, members }, active) {
    const button = element.querySelector('button');
    if (active) button?.setAttribute('aria-current', 'true');
    else button?.removeAttribute('aria-current');
    element.classList.toggle('news', conversation.unread > 0);
    element.classList.toggle('called', conversation.called);
    if (conversation.unread > 0) count(element, conversation.unread, 'unread', conversation.called);
    else if (kind === 'room' && members > 0) count(element, members);
    else count(element);
}

/** @param {Element} element @param {number} [number] @param {string} [what] @param {boolean} [called] */
function count(element, number, what = '', called = false) {
    const badge = element.querySelector('.count');
    if (!badge) return;
    const shown = what && number && number > COUNTED ? `${COUNTED}+` : number?.toLocaleString() ?? '';
    const unit = what || (number === 1 ? 'member' : 'members');
    const words = number === undefined ? '' : ` ${unit}${called ? ', for you' : ''}`;
    if (badge.textContent === shown + words) return;
    badge.replaceChildren(shown, make('span', 'unseen', words));
}
