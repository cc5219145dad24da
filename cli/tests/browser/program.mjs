// The program, and those who talk to it without a browser: nc, a sensor that sends datagrams, and a wire to cut.

import { spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));
export const target = process.env.CARGO_TARGET_DIR ?? `${root}/target`;
const path = process.env.SWITCHBOARD ?? `${target}/release/switchboard`;

/** A certificate and its key, for an hour's work. @param {string} folder @returns the options of a listener */
export function certificate(folder) {
    const [cert, key] = [`${folder}/cert.pem`, `${folder}/key.pem`];
    const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
        '-days', '1', '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert]);
    if (made.status !== 0) throw new Error(String(made.stderr));
    return `cert=${encodeURIComponent(cert)}&key=${encodeURIComponent(key)}`;
}

/** A new token, and its hash for the file. @param {string} name */
export function token(name) {
    const made = spawnSync(path, ['token', 'new', name], { encoding: 'utf8' });
    if (made.status !== 0) throw new Error(made.stderr);
    return { token: made.stdout.trim(), hash: /"(sha256:[0-9a-f]+)"/.exec(made.stderr)[1] };
}

/** A running `switchboard serve`. */
export class Program {
    #process;
    /** Of each listener, in the order in which they were asked for. @type {number[]} */
    ports = [];

    /** @param {string[]} listeners such as `rooms=tcp://127.0.0.1:0` @param {string[]} options */
    static async start(listeners, options = []) {
        const program = new Program();
        const stdio = ['ignore', 'pipe', 'inherit'];
        program.#process = spawn(path, ['serve', '--grace', '4s', ...options, ...listeners], { stdio });
        for await (const line of createInterface({ input: program.#process.stdout })) {
            const port = /:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1];
            if (port) program.ports.push(Number(port));
            if (program.ports.length === listeners.length) return program;
        }
        throw new Error('it ended before it listened');
    }

    /** Runs another command of the program to its end. @param {string[]} command */
    run(...command) {
        const ran = spawnSync(path, command, { encoding: 'utf8', timeout: 10_000 });
        if (ran.status !== 0) throw new Error(ran.stderr);
        return ran.stdout;
    }

    /** Has it read its file again. */
    reload() {
        this.#process.kill('SIGHUP');
    }

    async stop() {
        const exited = once(this.#process, 'exit');
        this.#process.kill('SIGTERM');
        await exited;
    }
}

/** What is to be closed at the end, should a test have failed before it did so. @type {Set<{ close: () => void }>} */
const open = new Set();

export function closeAll() {
    for (const one of open) one.close();
}

/** Lines that came, and whoever waits for some. */
class Heard {
    /** @type {string[]} */
    lines = [];
    #waiting = () => {};

    /** @param {string} line */
    add(line) {
        this.lines.push(line);
        this.#waiting();
    }

    /** Waits until as many lines as that are like this. @param {RegExp} pattern @param {number} [count] */
    async until(pattern, count = 1) {
        const found = () => this.lines.filter((line) => pattern.test(line));
        while (found().length < count) await new Promise((resolve) => (this.#waiting = () => resolve(undefined)));
        return found();
    }
}

/** `nc`, in a terminal. */
export class Netcat extends Heard {
    #process;

    /** @param {number} port */
    constructor(port) {
        super();
        open.add(this);
        this.#process = spawn('nc', ['127.0.0.1', String(port)], { stdio: ['pipe', 'pipe', 'inherit'] });
        createInterface({ input: this.#process.stdout }).on('line', (line) => this.add(line));
    }

    /** @param {string} line */
    say(line) {
        this.#process.stdin.write(`${line}\n`);
    }

    close() {
        open.delete(this);
        this.#process.kill();
    }
}

/** Something that sends datagrams. */
export class Sensor extends Heard {
    #socket = createSocket('udp4');
    #port;

    /** @param {number} port */
    constructor(port) {
        super();
        open.add(this);
        this.#port = port;
        this.#socket.on('message', (datagram) => this.add(String(datagram).trimEnd()));
    }

    /** @param {string} line */
    say(line) {
        this.#socket.send(line, this.#port, '127.0.0.1');
    }

    /** Joins a room, by the cookie that proves where it is. @param {string} room */
    async join(room) {
        this.say(`/join ${room}`);
        const [cookie] = await this.until(/^cookie=/);
        this.say(`/join ${room} ${cookie}`);
        await this.until(/you joined/);
    }

    close() {
        open.delete(this);
        this.#socket.close();
    }
}

/** A wire between pages and the program, which can be cut. */
export class Wire {
    #server;
    #ends = new Set();
    /** Whether anything passes. */
    whole = true;

    /** @param {number} to */
    constructor(to) {
        open.add(this);
        this.#server = createServer((near) => {
            if (!this.whole) return near.destroy();
            const far = connect(to, '127.0.0.1');
            for (const [one, other] of [[near, far], [far, near]]) {
                this.#ends.add(one);
                one.pipe(other).on('error', () => {});
                one.on('close', () => {
                    this.#ends.delete(one);
                    other.destroy();
                });
            }
        });
    }

    /** @returns {Promise<number>} its port */
    async start() {
        this.#server.listen(0, '127.0.0.1');
        await once(this.#server, 'listening');
        return this.#server.address().port;
    }

    cut() {
        this.whole = false;
        for (const end of this.#ends) end.destroy();
    }

    close() {
        open.delete(this);
        this.cut();
        this.#server.close();
    }
}

/** Connections that only listen. @param {number} port @param {number} count */
export async function crowd(port, count) {
    const sockets = [];
    while (sockets.length < count) {
        const some = Array.from({ length: Math.min(100, count - sockets.length) }, () => connect(port, '127.0.0.1'));
        sockets.push(...some);
        await Promise.all(some.map((socket) => once(socket.resume(), 'connect')));
    }
    return () => sockets.forEach((socket) => socket.destroy());
}
