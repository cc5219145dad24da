// The member that docs/clients.md shows for a browser, in a page of its own origin.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { Chromium } from './chromium.mjs';
import { Netcat, Program, Wire, closeAll } from './program.mjs';

const KEPT = 256;
const page = new URL('../../../clients/member.html', import.meta.url);
const manual = new URL('../../../docs/clients.md', import.meta.url);

// In the page: what bob said is numbered.

const lines = () => [...document.querySelectorAll('li')].map((line) => line.textContent);
const heard = (text) => globalThis.heard.includes(text);
/** Runs code, and keeps what it writes to the console. @param {string} code */
const run = (code) => {
    globalThis.heard = [];
    Function('console', code)({ log: (...values) => globalThis.heard.push(values.join(' ')) });
};
const shows = (text) => [...document.querySelectorAll('li')].some((line) => line.textContent.includes(text));

test('the member for a browser hears and says, and misses and repeats nothing when its connection is lost', async (context) => {
    const chromium = new Chromium();
    let html = '';
    const pages = createServer((_, answer) => answer.setHeader('content-type', 'text/html').end(html)).listen(0, '127.0.0.1');
    await once(pages, 'listening');
    const origin = `http://127.0.0.1:${pages.address().port}`;
    const listeners = ([tcp, http]) => [`rooms=tcp://127.0.0.1:${tcp}`, `rooms=http://127.0.0.1:${http}?origins=${origin}`];
    let program = await Program.start(listeners([0, 0]));
    context.after(async () => {
        closeAll();
        await program.stop();
        await chromium.close();
        pages.close();
    });
    const ports = program.ports;
    const wire = new Wire(ports[1]);
    const wired = await wire.start();
    html = readFileSync(page, 'utf8').replaceAll('127.0.0.1:8082', `127.0.0.1:${wired}`);
    let netcat = new Netcat(ports[0]);
    const says = async (first, last) => {
        for (let number = first; number <= last; number += 1) netcat.say(`#${number}.`);
        const pongs = netcat.lines.filter((line) => line === '* pong').length;
        netcat.say('/ping');
        await netcat.until(/^\* pong$/, pongs + 1);
    };
    const tab = await chromium.open(`${origin}/`);
    const say = async (text) => {
        await tab.type('input', text);
        await tab.press('Enter');
    };
    const [, listener] = /`EventSource` is enough.*?```js\n(.*?)```/s.exec(readFileSync(manual, 'utf8')) ?? [];
    await tab.run(run, listener?.replace('127.0.0.1:8082', `127.0.0.1:${wired}`));
    // Both may be told at once.
    await netcat.until(/guest-\d+ joined|: 3 members/);
    await says(1, 50);
    await tab.until(shows, '#50.');
    await say('<b>mine</b>');
    await netcat.until(/^\[lobby\] alice: <b>mine<\/b>$/);

    wire.cut();
    await says(51, 100);
    wire.whole = true;
    await says(101, 200);
    await tab.until(shows, '#200.');
    await tab.until(heard, '#200.');
    wire.cut();
    await says(201, 500);
    wire.whole = true;
    await tab.until(shows, '-- lost 44 messages');
    await tab.until(shows, '#500.');
    await tab.until(heard, '#500.');

    await program.stop();
    netcat.close();
    program = await Program.start(listeners(ports));
    netcat = new Netcat(ports[0]);
    await says(501, 501);
    await tab.until(shows, '-- the room started over');
    await tab.until(shows, '#501.');
    await tab.until(heard, '#501.');
    await say('to the end');
    await netcat.until(/^\[lobby\] alice: to the end$/);
    const numbers = (told) => told.map((line) => /#(\d+)\./.exec(line)?.[1]).filter(Boolean).map(Number);
    const range = (first, last) => Array.from({ length: last - first + 1 }, (_, index) => first + index);
    const expected = [...range(1, 200), ...range(501 - KEPT, 501)];
    assert.deepEqual(numbers(await tab.run(lines)), expected);
    const told = await tab.run(() => globalThis.heard);
    assert.deepEqual(numbers(told), expected);
    assert.equal(told.filter((line) => line === 'lost 44').length, 1);
});
