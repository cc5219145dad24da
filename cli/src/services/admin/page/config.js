/** Another configuration, which the server looks at and does not take. */

import { find, make, write } from './elements.js';
import { refusal } from './server.js';
import { count } from './told.js';

/** No file is this long, and a wrong one must not fill the page. */
const MOST_BYTES = 1024 * 1024;

export class Checking {
    #server;

    /** @param {import('./server.js').Server} server */
    constructor(server) {
        this.#server = server;
        find('checking', HTMLFormElement).addEventListener('submit', (event) => {
            event.preventDefault();
            this.#check();
        });
        find('checking-file', HTMLInputElement).addEventListener('change', ({ target }) => this.#open(/** @type {HTMLInputElement} */ (target)));
    }

    /** @param {boolean} isShown */
    show(isShown) {
        find('checking', HTMLElement).hidden = !isShown;
    }

    /** @param {HTMLInputElement} input */
    async #open(input) {
        const file = input.files?.[0];
        // The same file again is news: it may have changed.
        input.value = '';
        if (!file) return;
        if (file.size > MOST_BYTES) {
            this.#say('This file is too long.', [], true);
            return;
        }
        find('checking-text', HTMLTextAreaElement).value = await file.text();
        this.#say('', [], false);
    }

    async #check() {
        const body = find('checking-text', HTMLTextAreaElement).value;
        try {
            const { status, object } = await this.#server.ask('/config/check', { method: 'POST', body, type: 'application/toml' });
            this.#say(...verdict(status, object));
        } catch {
            this.#say('The server does not answer.', [], true);
        }
    }

    /** @param {string} text @param {string[]} found @param {boolean} isBad */
    #say(text, found, isBad) {
        const element = find('checking-verdict', HTMLElement);
        write(element, text);
        element.classList.toggle('bad', isBad);
        find('checking-found', HTMLElement).replaceChildren(...found.map((one) => make('li', '', one)));
    }
}

/**
 * What an answer says: in a line, each thing that was found, and whether it is bad.
 *
 * @param {number} status @param {Record<string, any>} object @returns {[string, string[], boolean]}
 */
export function verdict(status, object) {
    if (object.sound === true) {
        const { changes } = object;
        return [changes.length ? 'No fault. A reload would change:' : 'No fault. A reload would change nothing.', changes, false];
    }
    if (object.sound === false) {
        const { faults } = object;
        return [faults.length === 1 ? 'A fault:' : `${count(faults.length)} faults:`, faults, true];
    }
    return [refusal(status, object), [], true];
}
