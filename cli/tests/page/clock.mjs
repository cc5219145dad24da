// Timers that run when a test says so. Node has its own, but not in every version that Debian has.

const real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };

export class Clock {
    #now = 0;
    /** @type {Map<number, { at: number, run: () => void }>} */
    #timers = new Map();

    /** Stands still from now on. */
    constructor() {
        let last = 0;
        globalThis.setTimeout = (run, wait) => {
            last += 1;
            this.#timers.set(last, { at: this.#now + wait, run });
            return last;
        };
        globalThis.clearTimeout = (timer) => this.#timers.delete(timer);
    }

    /** Moves on, and runs what is due on the way, in order. @param {number} milliseconds */
    tick(milliseconds) {
        const until = this.#now + milliseconds;
        for (;;) {
            const [next] = [...this.#timers].sort(([, one], [, other]) => one.at - other.at);
            if (!next || next[1].at > until) break;
            this.#timers.delete(next[0]);
            this.#now = next[1].at;
            next[1].run();
        }
        this.#now = until;
    }

    restore() {
        Object.assign(globalThis, real);
    }
}
