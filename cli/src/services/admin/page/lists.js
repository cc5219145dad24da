/** What can be listed: its columns, its orders, and what a filter stands for. Draws nothing. */

import { told } from './told.js';

/** @typedef {Record<string, any>} Row */
/** @typedef {{ field: string, title: string, rank: number, kind: string }} Column `rank`: those with a low one are shown on a phone */
/** @typedef {{ name: string, key: string, columns: Column[], orders: [string, string][], total?: string, rule: string, whole?: (row: Row) => string, act?: Act }} List `whole`: where the server tells more of one */
/** @typedef {{ name: string, title: string, yes: string, text: (row: Row) => string, path: (row: Row) => string }} Act what can be done about a row, after a question */

/** Rows that are asked for, and how many if only some of them are shown. */
const [ROWS, SEARCHED] = [200, 1000];

/** What stands to the left. */
const TEXTS = ['action', 'address', 'event', 'id', 'listener', 'name', 'peer', 'principal', 'reason', 'room', 'source', 'state', 'time',
    'transport', 'until', 'upstream'];

/** @param {string} field @param {string} title @param {number} rank @returns {Column} */
const column = (field, title, rank) => ({ field, title, rank, kind: TEXTS.includes(field) ? 'text' : 'number' });

/** @type {Record<string, List>} */
export const LISTS = {
    connections: {
        name: 'connections',
        key: 'id',
        total: 'open',
        orders: [['outbox', 'Largest outbox first'], ['lost', 'Most lost first'], ['quiet', 'Longest quiet first'],
            ['age', 'Oldest first'], ['in', 'Most received first'], ['out', 'Most sent first']],
        columns: [column('name', 'Name', 0), column('peer', 'Peer', 1), column('transport', 'Via', 2), column('outbox_bytes', 'Outbox', 0),
            column('blocked_seconds', 'Blocked', 0), column('lost', 'Lost', 1), column('quiet_seconds', 'Quiet', 1),
            column('age_seconds', 'Age', 1), column('bytes_in', 'In', 2), column('bytes_out', 'Out', 2), column('rooms', 'Rooms', 2)],
        rule: 'Words to look for, or name=boiler-*, address=10.0.0.0/8, room=lobby, source=token, transport=ws, listener=URL.',
        act: {
            name: 'Close this connection…',
            title: 'Close this connection?',
            yes: 'Close it',
            text: (row) => `${row.name ?? 'A connection without a name'}, ${row.peer}, over ${row.transport}. `
                + 'What is queued for it is still sent. Its client may connect again.',
            path: (row) => `/connections/${row.id}`,
        },
    },
    rooms: {
        name: 'rooms',
        key: 'room',
        total: 'total',
        orders: [['members', 'Most members first'], ['publications', 'Most messages first'], ['history', 'Largest history first'],
            ['name', 'By name']],
        columns: [column('room', 'Room', 0), column('members', 'Members', 0), column('publications', 'Messages', 0),
            column('history_messages', 'Kept', 1), column('history_bytes', 'History', 1)],
        rule: 'Words to look for, or glob=board.*.',
        whole: (row) => `/rooms/${encodeURIComponent(row.room)}`,
        act: {
            name: 'Forget its history…',
            title: 'Forget what was published there?',
            yes: 'Forget it',
            text: (row) => `What was published in ${row.room} so far is gone for good, on disk too. Its members stay, and whoever `
                + 'resumes from before is told of a gap.',
            path: (row) => `/rooms/${encodeURIComponent(row.room)}/history`,
        },
    },
    closed: {
        name: 'closed',
        key: 'id',
        orders: [],
        columns: [column('reason', 'Reason', 0), column('name', 'Name', 1), column('peer', 'Peer', 0), column('time', 'Time', 1),
            column('transport', 'Via', 2),
            column('age_seconds', 'Age', 1), column('bytes_in', 'In', 2), column('bytes_out', 'Out', 2), column('lost', 'Lost', 1),
            column('unwritten', 'Unwritten', 1)],
        rule: 'Words to look for, or reason=idle, name=boiler-*, address=10.0.0.0/8. Latest first.',
    },
    events: {
        name: 'events',
        key: 'seq',
        orders: [],
        columns: [column('event', 'Event', 0), column('principal', 'Who', 0), column('time', 'Time', 1), column('address', 'Address', 1),
            column('action', 'Action', 1), column('reason', 'Reason', 2), column('source', 'Source', 2)],
        rule: 'Words to look for, or event=refused. Latest first.',
    },
    upstreams: {
        name: 'upstreams',
        key: 'upstream',
        orders: [],
        columns: [column('upstream', 'Upstream', 0), column('state', 'State', 0), column('open', 'Open', 0), column('waiting', 'Waiting', 1),
            column('connections', 'Passed on', 1), column('failures', 'Failures', 1), column('bytes_to', 'To', 2),
            column('bytes_from', 'From', 2), column('listener', 'Proxy', 2)],
        rule: 'Words to look for.',
    },
    revocations: {
        name: 'revocations',
        key: 'id',
        total: 'total',
        orders: [],
        columns: [column('id', 'Revoked', 0), column('until', 'Until', 0), column('reason', 'Why', 1)],
        rule: 'Words to look for. Whoever shows what is revoked is refused, and was closed.',
        act: {
            name: 'Lift this revocation…',
            title: 'Lift this revocation?',
            yes: 'Lift it',
            text: (row) => `Whoever shows ${row.id} is let in again, as far as the file says.`,
            path: (row) => `/revocations/${encodeURIComponent(row.id)}`,
        },
    },
};

/** @param {string} filter */
function parts(filter) {
    const all = filter.split(/\s+/).filter(Boolean);
    return { asked: all.filter((word) => word.includes('=')), words: all.filter((word) => !word.includes('=')) };
}

/** What the server is asked for: of a filter, what has a `=`. @param {List} list @param {string} order @param {string} filter */
export function path(list, order, filter) {
    const { asked, words } = parts(filter);
    // Of which there are few.
    if (list === LISTS.upstreams) return '/upstreams';
    const query = new URLSearchParams({ limit: String(words.length > 0 ? SEARCHED : ROWS) });
    if (order) query.set('sort', order);
    for (const word of asked) {
        const at = word.indexOf('=');
        query.append(word.slice(0, at), word.slice(at + 1));
    }
    return `/${list.name}?${query}`;
}

/** The rows of an answer that have every other word of a filter. @param {List} list @param {Record<string, any>} answer @param {string} filter @returns {Row[]} */
export function rows(list, answer, filter) {
    const words = parts(filter).words.map((word) => word.toLowerCase());
    let all = /** @type {Row[]} */ (answer[list.name] ?? []);
    // A server tells them in the order in which they came.
    if (list === LISTS.events) all = all.toReversed();
    if (words.length === 0) return all;
    const text = (/** @type {Row} */ row) => list.columns.map(({ field }) => told(field, row[field])).join('\n').toLowerCase();
    return all.filter((row) => words.every((word) => text(row).includes(word)));
}
