/** Talks to the admin service that this page came from. */

/** How long it waits before it asks a server again that was not there. */
const PAUSE_MS = 1000;

export class Server {
    token = '';

    /**
     * @param {string} path @param {{ method?: string, body?: string, type?: string }} [options]
     * @returns {Promise<{ status: number, object: Record<string, any> }>}
     */
    async ask(path, { method = 'GET', body, type = 'application/json' } = {}) {
        const headers = { ...(body === undefined ? {} : { 'content-type': type }), ...this.#headers() };
        const answer = await fetch(path, { method, headers, body, cache: 'no-store' });
        return { status: answer.status, object: await answer.json().catch(() => ({})) };
    }

    /** Has it do something; why it did not, or nothing. @param {string} path @param {{ method?: string, body?: string }} options */
    async act(path, options) {
        try {
            const { status, object } = await this.ask(path, options);
            return status < 300 ? '' : refusal(status, object);
        } catch {
            return 'The server does not answer.';
        }
    }

    /**
     * Hears the sums every second, for good.
     *
     * @param {(stats: Record<string, any>) => void} take
     * @param {() => void} lose the server is gone for now
     */
    async follow(take, lose) {
        for (;;) {
            try {
                const answer = await fetch('/stats?follow=1', { cache: 'no-store' });
                if (answer.ok && answer.body) await lines(answer.body, (line) => take(JSON.parse(line)));
            } catch {
                // It went away; so does one that ends in order.
            }
            lose();
            await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
        }
    }

    #headers() {
        return this.token ? { authorization: `Bearer ${this.token}` } : undefined;
    }
}

/** Why it does not do as it is asked. @param {number} status @param {Record<string, any>} object */
export function refusal(status, object) {
    return object.text ?? `The server answers ${status}.`;
}

/** @param {ReadableStream<Uint8Array>} body @param {(line: string) => void} take */
async function lines(body, take) {
    const [reader, decoder] = [body.getReader(), new TextDecoder()];
    let rest = '';
    for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        const all = (rest + decoder.decode(value, { stream: true })).split('\n');
        rest = all.pop() ?? '';
        all.filter(Boolean).forEach(take);
    }
}
