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

/** Characters of one that are told. */
const TOLD_CHARACTERS = 300;

/** @type {string[]} */
let messages = [];
/** @type {string[]} */
let notices = [];
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** Somebody said something. @param {string} words */
export function announce(words) {
    messages.push(words.length > TOLD_CHARACTERS ? `${words.slice(0, TOLD_CHARACTERS)} …` : words);
    tellSoon();
}

/** What is never only counted. @param {string} words */
export function notice(words) {
    notices.push(words);
    tellSoon();
}

function tellSoon() {
    timer ??= setTimeout(() => {
        const told = messages.length > TOLD ? [`${messages.length} new messages`] : messages;
        find('announcer', HTMLElement).textContent = [...notices, ...told].join('. ');
        [messages, notices, timer] = [[], [], undefined];
    }, TOGETHER_MS);
}
