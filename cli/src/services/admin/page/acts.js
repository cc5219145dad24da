/** One row, shown whole, and what is done about it after a question; and what is revoked. */

import { find, make, write } from './elements.js';
import { called, told } from './told.js';

/** @typedef {import('./lists.js').List} List */
/** @typedef {import('./lists.js').Row} Row */
/** @typedef {import('./server.js').Server} Server */

export class Whole {
    #server;
    #done;
    /** @type {List | null} */
    #list = null;
    /** @type {Row} */
    #row = {};

    /** @param {Server} server @param {() => void} done something was done */
    constructor(server, done) {
        [this.#server, this.#done] = [server, done];
        find('whole', HTMLDialogElement).addEventListener('close', () => (this.#list = null));
        find('whole-act', HTMLButtonElement).addEventListener('click', () => this.#ask());
        find('asking-form', HTMLFormElement).addEventListener('submit', (event) => {
            event.preventDefault();
            find('asking', HTMLDialogElement).close();
            this.#act();
        });
    }

    /** @param {List} list @param {Row} row */
    open(list, row) {
        this.#list = list;
        const button = find('whole-act', HTMLButtonElement);
        button.hidden = !list.act;
        button.textContent = list.act?.name ?? '';
        find('whole-complaint', HTMLElement).textContent = '';
        this.#show(row);
        find('whole', HTMLDialogElement).showModal();
        this.#lookCloser();
    }

    /** Its list has come anew. @param {Row[]} rows */
    listed(rows) {
        const list = this.#list;
        const row = list && rows.find((row) => this.#is(list, row));
        if (!row) return;
        // What only its own page says stays until that has come anew.
        this.#show(list.whole ? { ...this.#row, ...row } : row);
        this.#lookCloser();
    }

    /** Asks for what lists leave out. */
    async #lookCloser() {
        const list = this.#list;
        if (!list?.whole) return;
        const answer = await this.#server.ask(list.whole(this.#row)).catch(() => null);
        if (answer?.status === 200 && this.#list === list && this.#is(list, answer.object)) this.#show(answer.object);
    }

    /** @param {List} list @param {Row} row */
    #is(list, row) {
        return row[list.key] === this.#row[list.key] && row.listener === this.#row.listener;
    }

    /** @param {Row} row */
    #show(row) {
        this.#row = row;
        write(find('whole-title', HTMLElement), row.event ?? row.room ?? row.upstream ?? row.name ?? `Connection ${row.id}`);
        find('whole-fields', HTMLElement).replaceChildren(...Object.entries(row).flatMap(([field, value]) => [
            make('dt', '', called(field)), make('dd', '', told(field, value)),
        ]));
    }

    #ask() {
        const act = this.#list?.act;
        if (!act) return;
        find('asking-title', HTMLElement).textContent = act.title;
        find('asking-text', HTMLElement).textContent = act.text(this.#row);
        find('asking-yes', HTMLElement).textContent = act.yes;
        find('asking', HTMLDialogElement).showModal();
    }

    async #act() {
        const act = this.#list?.act;
        if (!act) return;
        const complaint = await this.#server.act(act.path(this.#row), { method: 'DELETE' });
        find('whole-complaint', HTMLElement).textContent = complaint;
        if (complaint) return;
        find('whole', HTMLDialogElement).close();
        this.#done();
    }
}

/** What a value is called, by what is revoked. @type {Record<string, string>} */
const VALUES = { name: 'Name', 'issued-before': 'Name', token: 'Token: 8 hexadecimal digits, or its hash', jti: 'Its jti' };

export class Revoking {
    #server;
    #done;

    /** @param {Server} server @param {() => void} done something was revoked */
    constructor(server, done) {
        [this.#server, this.#done] = [server, done];
        find('revoking-kind', HTMLSelectElement).addEventListener('change', ({ target }) => {
            find('revoking-label', HTMLElement).textContent = VALUES[/** @type {HTMLSelectElement} */ (target).value];
        });
        find('revoking-form', HTMLFormElement).addEventListener('submit', (event) => {
            event.preventDefault();
            this.#revoke();
        });
    }

    open() {
        find('revoking-form', HTMLFormElement).reset();
        find('revoking-label', HTMLElement).textContent = VALUES.name;
        find('revoking-complaint', HTMLElement).textContent = '';
        find('revoking', HTMLDialogElement).showModal();
    }

    async #revoke() {
        const field = (/** @type {string} */ name) => find(`revoking-${name}`, HTMLInputElement).value.trim();
        const body = revocation(find('revoking-kind', HTMLSelectElement).value, field('value'), field('for'), field('reason'), new Date());
        const complaint = await this.#server.act('/revocations', { method: 'POST', body: JSON.stringify(body) });
        find('revoking-complaint', HTMLElement).textContent = complaint;
        if (complaint) return;
        find('revoking', HTMLDialogElement).close();
        this.#done();
    }
}

/**
 * What the server is asked to revoke.
 *
 * @param {string} kind @param {string} value @param {string} time @param {string} reason @param {Date} now
 */
export function revocation(kind, value, time, reason, now) {
    const what = kind === 'issued-before' ? { name: value, 'issued-before': now.toISOString() } : { [kind]: value };
    return { ...what, ...(time ? { for: time } : {}), ...(reason ? { reason } : {}) };
}
