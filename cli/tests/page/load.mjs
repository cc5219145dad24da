// Loads a module of the page. It is no package of Node's, so that it is copied to where Node takes it for a module.

import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** @param {string} file in cli/assets, which imports no other */
export async function load(file) {
    const folder = mkdtempSync(join(tmpdir(), 'switchboard-'));
    const copy = join(folder, file.replace(/js$/, 'mjs'));
    try {
        copyFileSync(fileURLToPath(new URL(`../../assets/${file}`, import.meta.url)), copy);
        return await import(copy);
    } finally {
        rmSync(folder, { recursive: true });
    }
}
