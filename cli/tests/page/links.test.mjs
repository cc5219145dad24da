// Where an address in a text begins and ends.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './load.mjs';

const { addresses } = await load('links.js');
const found = (text) => addresses(text).map(({ address }) => address);

test('an address ends before what belongs to the sentence', () => {
    assert.deepEqual(found('see https://a.test/x, and (http://b.test/y).'), ['https://a.test/x', 'http://b.test/y']);
    assert.deepEqual(found('"https://a.test/" <https://b.test>'), ['https://a.test/', 'https://b.test']);
});

test('what an address has opened closes within it', () => {
    const wiki = 'https://en.wiki.test/wiki/Switchboard_(telephone)';
    assert.deepEqual(found(wiki), [wiki]);
    assert.deepEqual(found(`(${wiki}), [${wiki}]`), [wiki, wiki]);
    assert.deepEqual(found('https://a.test/((x))))'), ['https://a.test/((x))']);
});

test('a scheme alone is none', () => {
    assert.deepEqual(found('http:// https://. javascript://x'), []);
});

test('a message of 64 KiB takes no time, whatever it is made of', () => {
    const before = performance.now();
    for (const piece of ['http://', ')', 'http://)', '(', 'https://a.', '.']) found(`http://${piece.repeat(65_000 / piece.length)}`);
    assert.ok(performance.now() - before < 1_000);
});
