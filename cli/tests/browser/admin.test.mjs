// The page of the admin service in a real browser. Pictures of it stay in target/browser, for a person to look at.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, before, test } from 'node:test';
import { violations } from './axe.mjs';
import { Chromium } from './chromium.mjs';
import { faint, nameless } from './legible.mjs';
import { Netcat, Program, Wire, closeAll, crowd, target, token } from './program.mjs';

const pictures = `${target}/browser`;
const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844, touch: true };
// More take longer than a test should: CROWD=19000 scripts/browser has as many as a process may have descriptors.
const MANY = Number(process.env.CROWD ?? 2_000);
const folder = mkdtempSync(`${tmpdir()}/switchboard-`);

/** @type {Program} */
let program;
/** @type {Chromium} */
let chromium;
let admin;
let tcp;
let proxy;
let secrets;

before(async () => {
    mkdirSync(pictures, { recursive: true });
    const [viewer, actor] = ['viewer', 'actor'].map(token);
    secrets = { view: viewer.token, act: actor.token };
    const file = `${folder}/switchboard.toml`;
    writeFileSync(file, `[tokens.viewer]\nhash = "${viewer.hash}"\nadmin = "view"\n`
        + `[tokens.actor]\nhash = "${actor.hash}"\nadmin = "act"\n`
        + '[rooms."**"]\nanyone = ["all"]\n');
    // What is passed on goes to nobody: its upstream is one that refuses.
    program = await Program.start(['admin=http://127.0.0.1:0', 'rooms=tcp://127.0.0.1:0',
        'proxy=tcp://127.0.0.1:0?to=tcp://127.0.0.1:9'], ['--config', file]);
    [admin, tcp, proxy] = program.ports;
    chromium = new Chromium();
});

after(async () => {
    closeAll();
    await chromium?.close();
    await program?.stop();
    rmSync(folder, { recursive: true });
});

/** Opens the page, and presents a token if there is one. @param {string} [secret] @param {object} [options] */
async function open(secret = '', { port = admin, ...options } = {}) {
    const tab = await chromium.open(`http://127.0.0.1:${port}/`, { ...DESKTOP, ...options });
    await tab.until(live);
    if (secret) {
        await tab.click('#authorize');
        await tab.type('#showing-token', secret);
        await tab.press('Enter');
        await tab.until(() => document.querySelector('#locked').hidden && document.querySelector('#body').children.length > 0);
    }
    return tab;
}

/** @param {import('./chromium.mjs').Tab} tab @param {string} name */
async function picture(tab, name) {
    assert.deepEqual(await faint(tab), []);
    assert.deepEqual(await nameless(tab), []);
    assert.deepEqual(await violations(tab), []);
    assert.ok(await tab.run(() => document.documentElement.scrollWidth <= innerWidth), 'it fits its screen');
    for (const scheme of ['dark', 'light']) {
        await tab.scheme(scheme);
        await tab.picture(`${pictures}/${name}-${scheme}.png`);
    }
}

// These run in the page.

const live = () => document.querySelector('#lamp').textContent === 'Live';
const names = () => [...document.querySelectorAll('#body th')].map((cell) => cell.textContent);
const lists = (text) => [...document.querySelectorAll('#body tr')].some((row) => row.textContent.includes(text));
const misses = (text) => !document.querySelector('#body').textContent.includes(text);
const drawn = () => document.querySelectorAll('.chart .line[d*="L"]').length >= 4;

test('without a token it shows totals, and says what a token would add', async () => {
    const netcat = new Netcat(tcp);
    netcat.say('/name unseen');
    const tab = await open();
    await tab.until(drawn);
    await tab.until(() => !document.querySelector('#locked').hidden);
    await tab.until(() => /Connections\s*\d+ of/.test(document.querySelector('#figures').innerText));
    assert.ok(await tab.run(() => document.querySelector('#locked').innerText.includes('admin = "view"')));
    assert.ok(await tab.run(() => !document.body.innerText.includes('unseen')));
    await picture(tab, 'admin-totals');
    netcat.close();
});

test('a token that may see everything lists, and may close nothing', async () => {
    const [sloth, fox] = [new Netcat(tcp), new Netcat(tcp)];
    sloth.say('/name sloth');
    fox.say('/name fox');
    fox.say('/join den');
    const tab = await open(secrets.view);
    await tab.until(lists, 'sloth');
    await tab.until(lists, 'fox');
    await tab.type('#filter', 'fox');
    await tab.until(misses, 'sloth');
    assert.deepEqual(await tab.run(names), ['fox']);
    await tab.type('#filter', 'name=sl*');
    await tab.until(misses, 'fox');
    await tab.until(lists, 'sloth');
    await tab.type('#filter', 'address=x');
    await tab.until(() => document.querySelector('#list-complaint').textContent.includes('address'));
    await tab.click('[data-list="rooms"]');
    await tab.until(lists, 'den');
    await tab.click('[data-list="connections"]');
    await tab.until(lists, 'sloth');
    await tab.click('#body button');
    await tab.click('#whole-act');
    await tab.click('#asking-form [type="submit"]');
    await tab.until(() => document.querySelector('#whole-complaint').textContent.includes('may not'));
    assert.ok(await tab.run(() => document.querySelector('#whole').open));
    for (const netcat of [sloth, fox]) netcat.close();
});

test('one that may act closes a connection after a question, and it is listed with why it ended', async () => {
    const netcat = new Netcat(tcp);
    netcat.say('/name goner');
    const tab = await open(secrets.act);
    await tab.until(lists, 'goner');
    await tab.type('#filter', 'goner');
    await tab.until(() => document.querySelectorAll('#body tr').length === 1);
    await tab.click('#body button');
    await picture(tab, 'admin-connection');
    await tab.click('#whole-act');
    await picture(tab, 'admin-question');
    await tab.click('#asking [data-close]');
    await tab.until(lists, 'goner');
    await tab.click('#whole-act');
    await tab.click('#asking-form [type="submit"]');
    await netcat.until(/closed/);
    await tab.until(misses, 'goner');
    await tab.click('[data-list="closed"]');
    await tab.until(lists, 'closed');
    await tab.click('[data-list="events"]');
    await tab.until(lists, 'actor');
    netcat.close();
});

test('a room is shown whole, and its history is forgotten after a question', async () => {
    const netcat = new Netcat(tcp);
    netcat.say('/join cellar');
    netcat.say('below');
    await netcat.until(/joined/);
    const tab = await open(secrets.act);
    await tab.click('[data-list="rooms"]');
    await tab.type('#filter', 'glob=cellar');
    await tab.until(() => document.querySelectorAll('#body tr').length === 1);
    await tab.until(() => document.querySelector('#body tr').cells[3].textContent === '1');
    await tab.click('#body button');
    const fields = () => [...document.querySelectorAll('#whole-fields dt')].map((name) => [name.textContent, name.nextElementSibling.textContent]);
    await tab.until((fields) => eval(fields)().some(([name, value]) => name === 'Rights' && value === 'rooms."**"'), String(fields));
    assert.deepEqual((await tab.run(fields)).find(([name]) => name === 'Durable'), ['Durable', 'no']);
    await picture(tab, 'admin-room');
    await tab.click('#whole-act');
    await tab.click('#asking-form [type="submit"]');
    await tab.until(() => document.querySelector('#body tr').cells[3].textContent === '0');
    netcat.close();
});

test('a token is revoked, listed, and let in again', async () => {
    const tab = await open(secrets.act);
    await tab.click('[data-list="revocations"]');
    await tab.until(() => document.querySelector('#rest').textContent === 'None.');
    await tab.click('#revoke');
    await tab.type('#revoking-value', 'not/a/name');
    await tab.press('Enter');
    await tab.until(() => document.querySelector('#revoking-complaint').textContent.includes('a name'));
    await picture(tab, 'admin-revoking');
    await tab.type('#revoking-value', 'mallory');
    await tab.type('#revoking-for', '24h');
    await tab.type('#revoking-reason', 'left the house');
    await tab.press('Enter');
    await tab.until(lists, 'name:mallory');
    assert.ok(await tab.run(() => document.querySelector('#body').textContent.includes('left the house')));
    await picture(tab, 'admin-revoked');
    await tab.click('#body button');
    await tab.click('#whole-act');
    await tab.click('#asking-form [type="submit"]');
    await tab.until(() => document.querySelector('#rest').textContent === 'None.');
});

test('upstreams are listed where there are some', async () => {
    new Netcat(proxy);
    const tab = await open(secrets.view);
    await tab.click('[data-list="upstreams"]');
    await tab.until(lists, 'tcp://127.0.0.1:9');
    await tab.click('#body button');
    await picture(tab, 'admin-upstream');
});

test('whoever was closed is found by name', async () => {
    const netcat = new Netcat(tcp);
    netcat.say('/name departed');
    await netcat.until(/departed/);
    netcat.close();
    const tab = await open(secrets.view);
    await tab.click('[data-list="closed"]');
    await tab.type('#filter', 'name=depart*');
    await tab.until(() => document.querySelectorAll('#body tr').length === 1);
    assert.ok(await tab.run(lists, 'departed'));
});

test('a file is checked, and every fault is told', async () => {
    const tab = await open(secrets.act);
    await tab.click('[data-list="config"]');
    await tab.type('#checking-text', 'workrs = 2\n[rooms."**"]\nanyone = ["al"]\n');
    await tab.click('#checking [type="submit"]');
    await tab.until(() => document.querySelectorAll('#checking-found li').length === 2);
    assert.ok(await tab.run(() => document.querySelector('#checking-found').textContent.includes('1:1')));
    await picture(tab, 'admin-config');
    await tab.type('#checking-text', '[rooms."**"]\nanyone = ["join"]\n');
    await tab.click('#checking [type="submit"]');
    await tab.until(() => document.querySelector('#checking-verdict').textContent.startsWith('No fault'));
    await tab.click('[data-list="rooms"]');
    await tab.until(() => !document.querySelector('#checking').checkVisibility() && document.querySelector('#table').checkVisibility());
});

test('names that are markup or turn around are text', async () => {
    const tab = await open(secrets.view);
    // No name of a room or a person is like that; what else a server may say some day is shown the same way.
    await tab.run(() => {
        const ask = window.fetch;
        window.fetch = async (url, options) => (String(url).startsWith('/connections')
            ? new Response(JSON.stringify({ open: 1, connections: [{ id: 1, name: '<img src=x onerror=alert(1)>\u202egnp', peer: '<b>x</b>' }] }))
            : ask(url, options));
    });
    await tab.until(lists, '<img src=x');
    assert.equal(await tab.run(() => document.querySelectorAll('#table img, #table td b').length), 0);
    await tab.click('#body button');
    await tab.until(() => document.querySelector('#whole-title').textContent.startsWith('<img'));
});

test('a server that goes away and comes back is shown again', async () => {
    const wire = new Wire(admin);
    const tab = await open('', { port: await wire.start() });
    wire.cut();
    await tab.until(() => document.querySelector('#lamp').textContent === 'No answer');
    wire.whole = true;
    await tab.until(live);
    wire.close();
});

test('a token is kept for the tab alone, and only if that is wanted', async () => {
    const tab = await open(secrets.view);
    assert.equal(await tab.run(() => sessionStorage.length + localStorage.length), 0);
    await tab.click('#authorize');
    await tab.type('#showing-token', secrets.view);
    await tab.click('#showing-keep');
    await tab.click('#showing-form [type="submit"]');
    await tab.until(() => sessionStorage.length === 1);
    await tab.click('#authorize');
    await tab.run(() => document.querySelector('#showing-keep').click());
    await tab.type('#showing-token', 'sb_wrong');
    await tab.press('Enter');
    await tab.until(() => document.querySelector('#list-complaint').textContent && sessionStorage.length === 0);
});

test('many connections, on a desktop and on a phone', async () => {
    const leave = await crowd(tcp, MANY);
    for (const [name, size] of [['desktop', DESKTOP], ['phone', PHONE]]) {
        const tab = await open(secrets.view, size);
        await tab.until((many) => Number(/of ([\d,]+)/.exec(document.querySelector('#rest').textContent)?.[1].replaceAll(',', '')) >= many, MANY);
        await tab.until(drawn);
        await picture(tab, `admin-${name}`);
        for (const list of ['rooms', 'closed', 'events', 'upstreams', 'revocations', 'config']) {
            await tab.click(`[data-list="${list}"]`);
            await tab.until((list) => list === 'config' || document.querySelector('#rest').textContent, list);
            await picture(tab, `admin-${name}-${list}`);
        }
        await tab.click('[data-list="revocations"]');
        await tab.click('#revoke');
        await picture(tab, `admin-${name}-revoking`);
    }
    leave();
});

test('no page did what its policy forbids', () => {
    assert.deepEqual(chromium.faults, []);
});
