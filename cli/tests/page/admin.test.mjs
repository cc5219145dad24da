// What the admin page makes of numbers, filters and two looks at a server.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './load.mjs';

const [{ LISTS, path, rows }, { rates }, { course, doubled, rounded }, { called, size, time, told }, { revocation }, { verdict }] = await Promise.all(
    ['lists.js', 'rates.js', 'charts.js', 'told.js', 'acts.js', 'config.js'].map((file) => load(file)));

test('a filter is asked of the server where it says of what, and looked for in the page where not', () => {
    const { connections, closed } = LISTS;
    assert.equal(path(connections, 'outbox', ''), '/connections?limit=200&sort=outbox');
    assert.equal(path(connections, 'lost', 'name=al*&x=1 boiler'), '/connections?limit=1000&sort=lost&name=al*%26x%3D1');
    assert.equal(path(closed, '', 'reason=idle'), '/closed?limit=200&reason=idle');
    const answer = { connections: [{ id: 1, name: 'Boiler-1', peer: '127.0.0.1:5' }, { id: 2, name: null, peer: '192.0.2.1:5' }] };
    const ids = (filter) => rows(connections, answer, filter).map(({ id }) => id);
    assert.deepEqual([ids(''), ids('BOILER'), ids('192'), ids('boiler 192'), ids('name=x')], [[1, 2], [1], [2], [], [1, 2]]);
    assert.deepEqual(rows(connections, {}, ''), []);
    const told = { events: [{ seq: 1, event: 'refused' }, { seq: 2, event: 'denied' }, { seq: 3, event: 'refused' }] };
    assert.deepEqual(rows(LISTS.events, told, 'refused').map(({ seq }) => seq), [3, 1]);
});

const stats = (time, uptime, bytes, lost) => ({
    time, uptime_seconds: uptime, publications: 10, deliveries: 20, deliveries_lost: lost,
    connections: { accepted: 5, refused: 0, closed: { idle: lost } },
    transports: { tcp: { bytes_in: bytes, bytes_out: 1 }, ws: { bytes_in: bytes, bytes_out: 1 } },
});

test('counters become rates by the clock of the server', () => {
    const before = stats('2026-11-29T00:00:00.000Z', 10, 100, 0);
    const rate = rates(before, stats('2026-11-29T00:00:02.000Z', 12, 300, 4));
    assert.deepEqual([rate.bytesIn, rate.bytesOut, rate.lost, rate.closed, rate.published], [200, 0, 2, 2, 0]);
    assert.equal(rates(null, before).bytesIn, undefined);
    // It was started again, and another one answers.
    assert.equal(rates(before, stats('2026-11-29T00:00:02.000Z', 1, 300, 0)).bytesIn, undefined);
    assert.equal(rates(before, stats('2026-11-29T00:00:02.000Z', 12, 1, 0)).bytesIn, undefined);
    assert.equal(rates(before, { time: before.time, uptime_seconds: 10 }).bytesIn, undefined);
});

test('a line ends at the right, and has a hole where nothing is known', () => {
    assert.equal(course([0, 10], 10), 'M299 79.0h0.01L300 1.0');
    assert.equal(course([5, undefined, 5], 10), 'M298 40.0h0.01M300 40.0h0.01');
    assert.equal(course([], 1), '');
});

test('an axis ends at a round number', () => {
    assert.deepEqual([0, 1, 3, 20, 21, 999].map((most) => rounded(most)), [1, 1, 5, 20, 50, 1000]);
    assert.deepEqual([0, 1, 1000, 1024, 1025].map(doubled), [1, 1, 1024, 1024, 2048]);
});

test('numbers are told with their units', () => {
    assert.deepEqual([0, 1023, 1024, 1_572_864, 2_096_128].map(size), ['0 B', '1023 B', '1.0 KiB', '1.5 MiB', '1.9 MiB']);
    assert.deepEqual([5.9, 61, 3661, 90_061].map(time), ['5s', '1m 1s', '1h 1m', '1d 1h']);
    assert.deepEqual([told('bytes_in', 2048), told('age_seconds', 61), told('id', 12345), told('lost', 12345), told('name', null)],
        ['2.0 KiB', '1m 1s', '12345', '12,345', '–']);
    assert.deepEqual([told('durable', false), told('rights', ['a', 'b']), told('rights', [])], ['no', 'a, b', '–']);
    assert.deepEqual(['blocked_seconds', 'issued-before'].map(called), ['Blocked', 'Issued before']);
});

test('what is revoked is named by its kind, and what is left empty is not said', () => {
    const now = new Date('2026-01-02T03:04:05.678Z');
    assert.deepEqual(revocation('token', '0a1b2c3d', '', '', now), { token: '0a1b2c3d' });
    assert.deepEqual(revocation('issued-before', 'ann', '24h', 'lost', now),
        { name: 'ann', 'issued-before': '2026-01-02T03:04:05.678Z', for: '24h', reason: 'lost' });
});

test('a file is sound, has faults, or was not looked at', () => {
    assert.deepEqual(verdict(200, { sound: true, changes: [] }), ['No fault. A reload would change nothing.', [], false]);
    assert.deepEqual(verdict(200, { sound: true, changes: ['x'] }), ['No fault. A reload would change:', ['x'], false]);
    assert.deepEqual(verdict(422, { sound: false, faults: ['1:1: x'] }), ['A fault:', ['1:1: x'], true]);
    assert.deepEqual(verdict(401, { text: 'use a token' }), ['use a token', [], true]);
});
