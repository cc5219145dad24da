// Loads a module of the page. They are no package of Node's, so they are copied to where Node takes them for one.

import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** @param {string} file in cli/assets */
export async function load(file) {
    const folder = mkdtempSync(join(tmpdir(), 'switchboard-'));
    try {
        cpSync(fileURLToPath(new URL('../../assets', import.meta.url)), folder, { recursive: true });
        writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
        return await import(join(folder, file));
    } finally {
        rmSync(folder, { recursive: true });
    }
}
