// Drives a headless Chromium by the DevTools protocol, over the two pipes that it offers: no driver and no package.
// https://chromedevtools.github.io/devtools-protocol/

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

/** How long anything in a page may take. */
const PATIENCE_MS = 30_000;

export class Chromium {
    #process;
    #profile = mkdtempSync(join(tmpdir(), 'chromium-'));
    /** @type {Map<number, { resolve: (result: any) => void, reject: (error: Error) => void }>} */
    #asked = new Map();
    #number = 0;
    /** @type {Map<string, Tab>} */
    #tabs = new Map();
    /** What no page should do: errors, and requests to other hosts. @type {string[]} */
    faults = [];

    constructor() {
        const name = NAMES.find((name) => spawnSync(name, ['--version']).status === 0);
        if (!name) throw new Error(`there is none of ${NAMES.join(', ')}`);
        const flags = ['--headless=new', '--remote-debugging-pipe', `--user-data-dir=${this.#profile}`, '--no-first-run',
            '--disable-background-networking', '--disable-component-update', '--hide-scrollbars',
            // Containers have little shared memory.
            '--disable-dev-shm-usage',
            // A test's certificate is signed by nobody.
            '--ignore-certificate-errors'];
        // Its sandbox cannot be used by root, as in a container.
        if (process.getuid?.() === 0) flags.push('--no-sandbox');
        this.#process = spawn(name, flags, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
        let rest = '';
        this.#process.stdio[4].setEncoding('utf8').on('data', (text) => {
            const messages = (rest + text).split('\0');
            rest = messages.pop() ?? '';
            for (const message of messages) this.#receive(JSON.parse(message));
        });
    }

    /**
     * Opens a page in a profile of its own.
     *
     * @param {string} url @param {{ width?: number, height?: number, scheme?: string, touch?: boolean }} [options]
     */
    async open(url, { width = 1280, height = 800, scheme = 'light', touch = false } = {}) {
        const { browserContextId } = await this.send('Target.createBrowserContext');
        const { targetId } = await this.send('Target.createTarget', { url: 'about:blank', browserContextId });
        const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
        const tab = new Tab(this, sessionId, new URL(url).origin);
        this.#tabs.set(sessionId, tab);
        for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await tab.send(`${domain}.enable`);
        // Each page takes itself for the one that is looked at.
        await tab.send('Emulation.setFocusEmulationEnabled', { enabled: true });
        const deviceScaleFactor = touch ? 2 : 1;
        await tab.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor, mobile: touch });
        await tab.send('Emulation.setTouchEmulationEnabled', { enabled: touch });
        await tab.send('Emulation.setLocaleOverride', { locale: 'en-GB' });
        await tab.scheme(scheme);
        await tab.send('Page.navigate', { url });
        await tab.until(() => document.readyState === 'complete');
        return tab;
    }

    async close() {
        const closed = new Promise((resolve) => this.#process.once('exit', resolve));
        this.send('Browser.close').catch(() => {});
        await closed;
        // Some of its processes may still write there.
        rmSync(this.#profile, { recursive: true, force: true, maxRetries: 10 });
    }

    /** @param {string} method @param {object} [params] @param {string} [sessionId] @returns {Promise<any>} */
    send(method, params = {}, sessionId = undefined) {
        this.#number += 1;
        this.#process.stdio[3].write(`${JSON.stringify({ id: this.#number, method, params, sessionId })}\0`);
        return new Promise((resolve, reject) => this.#asked.set(this.#number, { resolve, reject }));
    }

    /** @param {any} message */
    #receive({ id, result, error, method, params, sessionId }) {
        if (id) {
            const asked = this.#asked.get(id);
            this.#asked.delete(id);
            if (error) asked?.reject(new Error(error.message));
            else asked?.resolve(result);
            return;
        }
        const tab = this.#tabs.get(sessionId);
        const origin = tab?.origin;
        if (method === 'Network.webSocketHandshakeResponseReceived') tab?.handshakes.push(params.response.status);
        if (method === 'Runtime.exceptionThrown') this.faults.push(params.exceptionDetails.exception?.description);
        // Violations of the page's own policy are among them. A server that is gone is part of the test.
        const { level, source, text, url } = params?.entry ?? {};
        if (level === 'error' && source !== 'network') this.faults.push(`${text} ${url}`);
        const asked = params?.request?.url;
        if (method === 'Network.requestWillBeSent' && new URL(asked).origin !== origin) this.faults.push(`asks ${asked}`);
    }
}

/** One page. */
export class Tab {
    #chromium;
    #session;

    /** @param {Chromium} chromium @param {string} session @param {string} origin */
    constructor(chromium, session, origin) {
        this.#chromium = chromium;
        this.#session = session;
        this.origin = origin;
        /** The status of each answer that opened a WebSocket. @type {number[]} */
        this.handshakes = [];
    }

    /** @param {string} method @param {object} [params] */
    send(method, params) {
        return this.#chromium.send(method, params, this.#session);
    }

    /** Calls a function in the page. @param {Function} what @param {...any} values @returns {Promise<any>} */
    async run(what, ...values) {
        const expression = `(${what})(${values.map((value) => JSON.stringify(value)).join()})`;
        const params = { expression, awaitPromise: true, returnByValue: true, userGesture: true };
        const { result, exceptionDetails } = await this.send('Runtime.evaluate', params);
        if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
        return result.value;
    }

    /** Waits until a function in the page gives something, and gives that. @param {Function} what @param {...any} values */
    async until(what, ...values) {
        const ends = Date.now() + PATIENCE_MS;
        for (;;) {
            const value = await this.run(what, ...values).catch(() => undefined);
            if (value) return value;
            if (Date.now() > ends) {
                const text = await this.run(() => document.body.innerText.slice(0, 800));
                throw new Error(`it did not happen: ${what} ${JSON.stringify(values)}; the page says:\n${text}`);
            }
            await this.run(() => new Promise(requestAnimationFrame)).catch(() => {});
        }
    }

    /** @param {string} selector */
    async click(selector) {
        await this.until((selector) => document.querySelector(selector)?.checkVisibility(), selector);
        await this.run((selector) => document.querySelector(selector).click(), selector);
    }

    /** Types into a field, in place of what is there. @param {string} selector @param {string} text */
    async type(selector, text) {
        await this.run((selector) => {
            document.querySelector(selector).focus();
            document.querySelector(selector).select();
        }, selector);
        await this.send('Input.insertText', { text });
    }

    /** Presses a key, such as `Enter`. @param {string} key @param {{ alt?: boolean, shift?: boolean }} [held] */
    async press(key, { alt = false, shift = false } = {}) {
        const modifiers = (alt ? 1 : 0) + (shift ? 8 : 0);
        const code = { Enter: 13, Tab: 9, Escape: 27, Home: 36, End: 35, ArrowUp: 38, ArrowDown: 40 }[key];
        const text = key === 'Enter' ? '\r' : undefined;
        const params = { key, code: key, windowsVirtualKeyCode: code, modifiers, text };
        await this.send('Input.dispatchKeyEvent', { ...params, type: text ? 'keyDown' : 'rawKeyDown' });
        await this.send('Input.dispatchKeyEvent', { ...params, type: 'keyUp', text: undefined });
    }

    /** @param {string} scheme `light` or `dark` */
    async scheme(scheme) {
        const features = [
            { name: 'prefers-color-scheme', value: scheme },
            // A picture is of how it is, not of how it comes to be.
            { name: 'prefers-reduced-motion', value: 'reduce' },
        ];
        await this.send('Emulation.setEmulatedMedia', { features });
    }

    /** @param {string} file */
    async picture(file) {
        await this.run(() => new Promise(requestAnimationFrame));
        const { data } = await this.send('Page.captureScreenshot', { format: 'png' });
        writeFileSync(file, data, 'base64');
    }
}
