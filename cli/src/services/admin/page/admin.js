/** The page: sums and charts from a stream, and lists from questions. What is done about a row is for `acts.js`. */

import { Revoking, Whole } from './acts.js';
import { Chart, doubled } from './charts.js';
import { Checking } from './config.js';
import { find, make, sync, write } from './elements.js';
import { LISTS, path, rows } from './lists.js';
import { rates } from './rates.js';
import { Server, refusal } from './server.js';
import { keepToken, keptToken, theme } from './settings.js';
import { count, size, time, told } from './told.js';

/** @typedef {import('./lists.js').Row} Row */

/** Between two looks at a list. */
const LOOK_MS = 2000;

const server = new Server();
const checking = new Checking(server);
const whole = new Whole(server, () => look());
const revoking = new Revoking(server, () => look());

/** What is listed; nothing where a file is checked. @type {import('./lists.js').List | null} */
let list = LISTS.connections;
/** Of each list. @type {Record<string, string>} */
const orders = Object.fromEntries(Object.values(LISTS).map(({ name, orders }) => [name, orders[0]?.[0] ?? '']));
/** What is shown of the list. @type {Row[]} */
let shown = [];
/** Whether the token is nobody's. */
let isRefused = false;
/** Counts the looks: what comes of one before is not shown. */
let looks = 0;
/** @type {Record<string, any> | null} */
let before = null;

const perSecond = (/** @type {number} */ value) => `${count(value)}/s`;
const bytesPerSecond = (/** @type {number} */ value) => `${size(value)}/s`;

const charts = {
    open: new Chart('Connections', [{ name: 'open', kind: 'first' }], count),
    traffic: new Chart('Traffic', [{ name: 'in', kind: 'first' }, { name: 'out', kind: 'second' }], bytesPerSecond, doubled),
    messages: new Chart('Messages', [{ name: 'published', kind: 'first' }, { name: 'delivered', kind: 'second' }], perSecond),
    lost: new Chart('Lost and closed', [{ name: 'lost', kind: 'alarm' }, { name: 'closed', kind: 'second' }], perSecond),
};

// Sums.

/** @param {Record<string, any>} stats */
function take(stats) {
    const rate = rates(before, stats);
    before = stats;
    lamp(stats.draining ? 'waiting' : 'open', stats.draining ? 'Draining' : 'Live');
    find('uptime', HTMLElement).textContent = `up ${time(stats.uptime_seconds)}`;
    charts.open.add([stats.connections.open]);
    charts.traffic.add([rate.bytesIn, rate.bytesOut]);
    charts.messages.add([rate.published, rate.delivered]);
    charts.lost.add([rate.lost, rate.closed]);
    figures([
        ['Connections', `${count(stats.connections.open)} of ${count(stats.connections.limit)}`, near(stats.connections.open, stats.connections.limit)],
        ['Blocked', count(stats.connections.blocked), stats.connections.blocked > 0],
        ['Refused', count(stats.connections.refused), (rate.refused ?? 0) > 0],
        ['Rooms', `${count(stats.rooms.count)} of ${count(stats.rooms.limit)}`, near(stats.rooms.count, stats.rooms.limit)],
        ['Members', count(stats.rooms.memberships), false],
        ['Messages lost', count(stats.deliveries_lost), (rate.lost ?? 0) > 0],
        ['Memory', `${size(stats.memory.bytes)} of ${size(stats.memory.limit)}`, near(stats.memory.bytes, stats.memory.limit)],
        ['Messages kept', `${count(stats.history.messages)} (${size(stats.history.bytes)})`, false],
        ...cluster(stats.cluster),
        ['Late ticks', count(stats.workers.reduce((/** @type {number} */ sum, /** @type {Row} */ worker) => sum + worker.late_ticks, 0)), false],
    ]);
}

/** The log that nodes share, where there is one. @param {Record<string, any> | undefined} cluster @returns {[string, string, boolean][]} */
function cluster(cluster) {
    if (!cluster) return [];
    return [
        ['Cluster', cluster.up ? `log up, ${count(cluster.nodes + 1)} nodes` : 'log takes nothing', !cluster.up],
        ['Rooms waiting', count(cluster.rooms_waiting), !cluster.up && cluster.rooms_waiting > 0],
    ];
}

/** @param {number} used @param {number} limit */
const near = (used, limit) => used > 0.9 * limit;

/** @param {[string, string, boolean][]} all each with its name, and whether somebody ought to look */
function figures(all) {
    const element = find('figures', HTMLElement);
    sync(element, all, ([name]) => name, ([name]) => {
        const figure = make('div', 'figure');
        figure.append(make('dt', '', name), make('dd'));
        return figure;
    });
    all.forEach(([, value, isBad], at) => {
        const dd = /** @type {HTMLElement} */ (element.children[at].lastElementChild);
        write(dd, value);
        dd.classList.toggle('bad', isBad);
    });
}

/** @param {string} state @param {string} text */
function lamp(state, text) {
    const element = find('lamp', HTMLElement);
    element.dataset.state = state;
    // It is read out where it changes, and not each second.
    write(element, text);
}

// Lists.

async function look() {
    const asked = list;
    if (isRefused || !asked) return;
    looks += 1;
    const [mine, filter] = [looks, find('filter', HTMLInputElement).value];
    try {
        const { status, object } = await server.ask(path(asked, orders[asked.name], filter));
        if (mine !== looks) return;
        // A token that is wrong is not presented again and again: that would count as guessing.
        isRefused = status === 401 && server.token !== '';
        const isLocked = status === 401 && !server.token;
        find('locked', HTMLElement).hidden = !isLocked;
        find('scroll', HTMLElement).hidden = status !== 200;
        find('filtering', HTMLElement).hidden = isLocked;
        find('filter-rule', HTMLElement).hidden = isLocked;
        complain(status === 200 || isLocked ? '' : refusal(status, object));
        show(asked, status === 200 ? rows(asked, object, filter) : []);
        const total = status === 200 && asked.total ? object[asked.total] : shown.length;
        write(find('rest', HTMLElement), status === 200 ? rest(total, filter) : '');
    } catch {
        // The stream says that the server is gone.
    }
}

/** @param {number} total @param {string} filter */
function rest(total, filter) {
    if (shown.length === 0) return filter ? 'Nothing is like that.' : 'None.';
    return shown.length < total ? `${count(shown.length)} of ${count(total)}` : count(shown.length);
}

/** @param {string} text */
function complain(text) {
    write(find('list-complaint', HTMLElement), text);
}

/** @param {import('./lists.js').List} list @param {Row[]} all */
function show(list, all) {
    shown = all;
    const body = find('body', HTMLTableSectionElement);
    sync(body, all, (row) => `${list.name} ${row[list.key]} ${row.listener ?? ''} ${row.time ?? ''}`, () => {
        const element = make('tr');
        list.columns.forEach(({ rank, kind }, at) => {
            const cell = make(at === 0 ? 'th' : 'td', `rank-${rank} ${kind}`);
            if (at === 0) {
                cell.setAttribute('scope', 'row');
                const button = /** @type {HTMLButtonElement} */ (make('button', 'row'));
                button.type = 'button';
                cell.append(button);
            }
            element.append(cell);
        });
        return element;
    });
    all.forEach((row, at) => {
        const element = /** @type {HTMLTableRowElement} */ (body.children[at]);
        list.columns.forEach(({ field }, place) => {
            const cell = element.cells[place];
            write(place === 0 ? /** @type {Element} */ (cell.firstElementChild) : cell, title(row, field, place));
        });
        element.classList.toggle('slow', typeof row.blocked_seconds === 'number' || row.state === 'down');
    });
    whole.listed(all);
}

/** A row is known by its name, or by its number. @param {Row} row @param {string} field @param {number} place */
function title(row, field, place) {
    if (place === 0 && row[field] === null) return `#${row.id}`;
    return field === 'time' ? String(row.time).slice(11, 19) : told(field, row[field]);
}

/** @param {string} name */
function choose(name) {
    list = LISTS[name] ?? null;
    looks += 1;
    for (const tab of find('tabs', HTMLElement).children) {
        tab.setAttribute('aria-pressed', String(/** @type {HTMLElement} */ (tab).dataset.list === name));
    }
    checking.show(!list);
    for (const id of ['filtering', 'filter-rule', 'scroll']) find(id, HTMLElement).hidden = !list;
    find('locked', HTMLElement).hidden = true;
    find('body', HTMLElement).replaceChildren();
    write(find('rest', HTMLElement), '');
    complain('');
    if (!list) return;
    find('revoke', HTMLElement).hidden = list !== LISTS.revocations;
    find('filter', HTMLInputElement).value = '';
    find('filter-rule', HTMLElement).textContent = list.rule;
    find('head', HTMLTableRowElement).replaceChildren(...list.columns.map(({ title, rank, kind }) => {
        const head = make('th', `rank-${rank} ${kind}`, title);
        head.setAttribute('scope', 'col');
        return head;
    }));
    const order = find('order', HTMLSelectElement);
    const { name: chosen, orders: all } = list;
    order.hidden = all.length === 0;
    order.replaceChildren(...all.map(([value, told]) => new Option(told, value, false, value === orders[chosen])));
    look();
}

/** Where nothing is passed on, there is nothing to list. */
async function lookForUpstreams() {
    const { object } = await server.ask('/upstreams').catch(() => ({ object: /** @type {Row} */ ({}) }));
    const tab = [...find('tabs', HTMLElement).children].find((tab) => /** @type {HTMLElement} */ (tab).dataset.list === 'upstreams');
    /** @type {HTMLElement} */ (tab).hidden = !object.upstreams?.length;
}

find('body', HTMLElement).addEventListener('click', ({ target }) => {
    const row = target instanceof Element ? target.closest('tr') : null;
    const at = [...find('body', HTMLElement).children].findIndex((child) => child === row);
    if (list && shown[at]) whole.open(list, shown[at]);
});

find('revoke', HTMLButtonElement).addEventListener('click', () => revoking.open());

// Who asks.

function askToken() {
    find('showing-token', HTMLInputElement).value = '';
    find('showing', HTMLDialogElement).showModal();
}

for (const id of ['authorize', 'authorize-here']) find(id, HTMLButtonElement).addEventListener('click', askToken);

find('showing-form', HTMLFormElement).addEventListener('submit', async (event) => {
    event.preventDefault();
    const [input, complaint] = [find('showing-token', HTMLInputElement), find('showing-complaint', HTMLElement)];
    const token = input.value.trim();
    if (/[^\x21-\x7e]/.test(token)) {
        complaint.textContent = 'A token has letters, digits and signs alone.';
        return;
    }
    complaint.textContent = '';
    input.value = '';
    server.token = token;
    isRefused = false;
    keepToken(find('showing-keep', HTMLInputElement).checked ? token : '');
    find('showing', HTMLDialogElement).close();
    look();
    if (token) lookForUpstreams();
});

for (const button of document.querySelectorAll('[data-close]')) {
    button.addEventListener('click', () => button.closest('dialog')?.close());
}

for (const tab of find('tabs', HTMLElement).children) {
    tab.addEventListener('click', () => choose(/** @type {HTMLElement} */ (tab).dataset.list ?? ''));
}

find('order', HTMLSelectElement).addEventListener('change', ({ target }) => {
    if (list) orders[list.name] = /** @type {HTMLSelectElement} */ (target).value;
    look();
});

find('filter', HTMLInputElement).addEventListener('input', look);
find('filtering', HTMLFormElement).addEventListener('submit', (event) => event.preventDefault());

document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') look();
});

find('charts', HTMLElement).append(...Object.values(charts).map(({ element }) => element));
theme(find('theme', HTMLButtonElement));
server.token = keptToken();
choose('connections');
if (server.token) lookForUpstreams();
// Nobody looks at a page in the background, and a dialog stays what it was asked about.
setInterval(() => {
    if (document.visibilityState === 'visible') look();
}, LOOK_MS);
server.follow(take, () => {
    before = null;
    lamp('waiting', 'No answer');
});
