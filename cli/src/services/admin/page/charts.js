/** What happened in the last minutes, as lines. Drawn by hand: an axis from nothing to the most, and seconds from left to right. */

import { make } from './elements.js';

const SPACE = 'http://www.w3.org/2000/svg';

/** Seconds that are shown. */
const SHOWN = 300;

const [WIDTH, HEIGHT] = [SHOWN, 80];

/** @typedef {{ name: string, kind: string }} Series `kind`: which colour */

export class Chart {
    element = make('figure', 'chart');
    #told = make('b');
    #most = make('span', 'most');
    #svg = document.createElementNS(SPACE, 'svg');
    /** @type {SVGPathElement[]} */
    #lines = [];
    /** By series; what is not known is a hole. @type {(number | undefined)[][]} */
    #points;
    #title;
    #series;
    #format;
    #bound;

    /**
     * @param {string} title @param {Series[]} series @param {(value: number) => string} format
     * @param {(most: number) => number} bound of the axis
     */
    constructor(title, series, format, bound = rounded) {
        [this.#title, this.#series, this.#format, this.#bound] = [title, series, format, bound];
        this.#points = series.map(() => []);
        const caption = make('figcaption');
        caption.append(make('span', 'name', title), this.#told);
        this.#svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
        this.#svg.setAttribute('preserveAspectRatio', 'none');
        this.#svg.setAttribute('role', 'img');
        for (const y of [0.5, HEIGHT / 2, HEIGHT - 0.5]) this.#add('path', 'grid').setAttribute('d', `M0 ${y}H${WIDTH}`);
        for (const { kind } of series) this.#lines.push(/** @type {SVGPathElement} */ (this.#add('path', `line ${kind}`)));
        const frame = make('div', 'frame');
        frame.append(this.#svg, this.#most, make('span', 'span', '5 minutes'));
        this.element.append(caption, frame);
        if (series.length > 1) {
            const legend = make('p', 'legend');
            legend.append(...series.map(({ name, kind }) => make('span', kind, name)));
            this.element.append(legend);
        }
        this.#draw();
    }

    /** A second. @param {(number | undefined)[]} values of each series */
    add(values) {
        values.forEach((value, at) => {
            const points = this.#points[at];
            points.push(value);
            if (points.length > SHOWN) points.shift();
        });
        if (document.visibilityState === 'visible') this.#draw();
    }

    #draw() {
        const known = this.#points.flat().filter((value) => value !== undefined);
        const most = this.#bound(Math.max(...known, 0));
        this.#most.textContent = known.length > 0 ? this.#format(most) : '';
        this.#lines.forEach((line, at) => line.setAttribute('d', course(this.#points[at], most)));
        const now = this.#points.map((points) => points.at(-1));
        this.#told.textContent = now.map((value) => (value === undefined ? '–' : this.#format(value))).join(' · ');
        const told = this.#series.map(({ name }, at) => {
            const [low, high] = [Math.min, Math.max].map((end) => end(...this.#points[at].filter((value) => value !== undefined)));
            return Number.isFinite(low) ? `${name} from ${this.#format(low)} to ${this.#format(high)}` : `${name} not known yet`;
        });
        this.#svg.setAttribute('aria-label', `${this.#title} in the last 5 minutes: ${told.join('; ')}`);
    }

    /** @param {string} name @param {string} kind */
    #add(name, kind) {
        const element = document.createElementNS(SPACE, name);
        element.setAttribute('class', kind);
        this.#svg.append(element);
        return element;
    }
}

/** A line, which ends at the right. @param {(number | undefined)[]} points @param {number} most */
export function course(points, most) {
    let [path, isOpen] = ['', false];
    points.forEach((value, at) => {
        if (value !== undefined) {
            const [x, y] = [WIDTH - points.length + at + 1, HEIGHT - 1 - (value / most) * (HEIGHT - 2)];
            path += `${isOpen ? 'L' : 'M'}${x} ${y.toFixed(1)}`;
            // A point alone is seen too.
            if (!isOpen) path += 'h0.01';
        }
        isOpen = value !== undefined;
    });
    return path;
}

/** One, two or five of a power of ten, and no less: an axis that stays where it is. @param {number} most */
export function rounded(most) {
    if (most <= 1) return 1;
    const power = 10 ** Math.floor(Math.log10(most));
    return [1, 2, 5, 10].map((step) => step * power).find((bound) => bound >= most) ?? most;
}

/** The same of bytes: a power of two. @param {number} most */
export function doubled(most) {
    return most <= 1 ? 1 : 2 ** Math.ceil(Math.log2(most));
}
