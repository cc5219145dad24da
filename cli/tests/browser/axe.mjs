// Whether axe-core finds anything wrong with a page, in its light and in its dark: the rules of WCAG 2.2, levels A and AA, and
// what it calls best practice. scripts/browser fetches it.
// https://github.com/dequelabs/axe-core

import { readFileSync } from 'node:fs';
import { target } from './program.mjs';

const source = readFileSync(`${target}/tools/axe-core/package/axe.min.js`, 'utf8');

/** What it finds in a page as it is now. @param {import('./chromium.mjs').Tab} tab @returns {Promise<string[]>} */
export async function violations(tab) {
    await tab.send('Runtime.evaluate', { expression: source });
    const found = [];
    for (const scheme of ['dark', 'light']) {
        await tab.scheme(scheme);
        found.push(...(await tab.run(analyse)).map((what) => `${scheme}: ${what}`));
    }
    return found;
}

// Runs in the page.
async function analyse() {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ['violations'] });
    return violations.flatMap(({ id, help, nodes }) => nodes.map(({ target, failureSummary }) => `${id} (${help}): ${target}: ${failureSummary}`));
}
