/** Finds addresses in a text. */

/** Where one begins, and how far it can go at most. */
const ADDRESS = /https?:\/\/[^\s<>"]+/g;

/** What ends a sentence rather than an address. */
const ENDS = new Set([...'\'.,;:!?)]}*_']);

/** What closes something may close what the address itself has opened, as in many of an encyclopedia. */
const OPENS = new Map([[')', '('], [']', '['], ['}', '{']]);

/**
 * The addresses in a text, and where they begin.
 *
 * @param {string} text @returns {{ address: string, index: number }[]}
 */
export function addresses(text) {
    const found = [];
    for (const { 0: all, index } of text.matchAll(ADDRESS)) {
        const address = all.slice(0, end(all));
        // A scheme alone leads nowhere.
        if (/\/\/./.test(address)) found.push({ address, index });
    }
    return found;
}

/** Where it ends, without what belongs to the sentence around it. @param {string} address */
function end(address) {
    const surplus = new Map();
    for (const character of address) {
        for (const [closing, opening] of OPENS) {
            if (character === closing) surplus.set(closing, (surplus.get(closing) ?? 0) + 1);
            if (character === opening) surplus.set(closing, (surplus.get(closing) ?? 0) - 1);
        }
    }
    let end = address.length;
    while (end > 0 && ENDS.has(address[end - 1])) {
        const last = address[end - 1];
        if (OPENS.has(last)) {
            if ((surplus.get(last) ?? 0) <= 0) break;
            surplus.set(last, surplus.get(last) - 1);
        }
        end -= 1;
    }
    return end;
}
