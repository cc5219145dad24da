/**
 * Tells those who listen instead of looking what came, without talking over itself.
 *
 * The log is no live region: it would read out everything that scrolling and opening brings into the document.
 */

import { find } from './elements.js';

/** What comes within this time is told at once. */
const TOGETHER_MS = 1_000;

/** Messages that are told one by one; of more, only how many. */
const TOLD = 3;

/** @type {string[]} */
let waiting = [];

/** @param {string} words */
export function announce(words) {
    waiting.push(words);
    if (waiting.length > 1) return;
    setTimeout(() => {
        const told = waiting.length > TOLD ? `${waiting.length} new messages` : waiting.join('. ');
        waiting = [];
        find('announcer', HTMLElement).textContent = told;
    }, TOGETHER_MS);
}
