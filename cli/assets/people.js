/**
 * The list of who is in a room: one stop of the Tab key, arrow keys within, and quick with thousands.
 */

import { avatar, find, make, sync } from './elements.js';

/** Members above which there is a field to find one. */
const FINDABLE = 20;

export class People {
    #list = find('people', HTMLElement);
    #filter = find('filter', HTMLInputElement);
    #field = find('filter-field', HTMLElement);
    #rest = find('people-rest', HTMLElement);
    #choose;
    /** @type {string[]} */
    #names = [];
    #self = '';

    /** @param {(name: string) => void} choose */
    constructor(choose) {
        this.#choose = choose;
        this.#filter.addEventListener('input', () => this.#render());
        this.#list.addEventListener('keydown', (event) => this.#move(event));
        this.#list.addEventListener('click', ({ target }) => {
            const person = target instanceof Element && target.closest('button');
            if (person && person.value !== this.#self) this.#choose(person.value);
        });
    }

    /** @param {string[]} names @param {string} self who reads it @param {number} total of whom these are some */
    show(names, self, total) {
        this.#field.hidden = total <= FINDABLE;
        if (this.#field.hidden) this.#filter.value = '';
        this.#rest.hidden = total <= names.length;
        this.#rest.textContent = `and ${(total - names.length).toLocaleString()} more`;
        const order = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });
        const others = names.filter((name) => name !== self).sort(order.compare);
        this.#names = names.length === others.length ? others : [self, ...others];
        this.#self = self;
        this.#render();
    }

    #render() {
        const sought = this.#filter.value.trim().toLowerCase();
        const names = this.#names.filter((name) => name.toLowerCase().includes(sought));
        sync(this.#list, names, (name) => `${name === this.#self}${name}`, (name) => this.#make(name));
        const buttons = this.#buttons();
        if (!buttons.some((button) => button.tabIndex === 0) && buttons[0]) buttons[0].tabIndex = 0;
    }

    /** @param {string} name */
    #make(name) {
        const button = /** @type {HTMLButtonElement} */ (make('button', 'who'));
        button.type = 'button';
        button.value = name;
        button.tabIndex = -1;
        button.append(avatar(name), make('span', 'name', name));
        if (name === this.#self) button.append(make('span', 'you', 'you'));
        else button.title = `Write to ${name} in private`;
        const item = make('li');
        item.append(button);
        return item;
    }

    #buttons() {
        return [...this.#list.querySelectorAll('button')];
    }

    /** @param {KeyboardEvent} event */
    #move(event) {
        const buttons = this.#buttons();
        const at = buttons.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
        const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
        const next = to === undefined ? undefined : buttons[to];
        if (at < 0 || !next) return;
        event.preventDefault();
        buttons[at].tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
    }
}
