// Loads a module of the page. They are no package of Node's, so they are copied to where Node takes them for one.

import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The pages and their parts: of one name there are not two. */
const FOLDERS = ['../../assets', '../../src/services/admin/page'];

/** @param {string} file of a page */
export async function load(file) {
    const folder = mkdtempSync(join(tmpdir(), 'switchboard-'));
    try {
        for (const from of FOLDERS) cpSync(fileURLToPath(new URL(from, import.meta.url)), folder, { recursive: true });
        writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
        return await import(join(folder, file));
    } finally {
        rmSync(folder, { recursive: true });
    }
}
