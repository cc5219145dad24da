// A member of a room: node member.mjs http://127.0.0.1:8082/rooms/lobby alice
import { createInterface } from 'node:readline';

const [room, name] = process.argv.slice(2);
let [since, wait] = ['', 1000];

async function follow() {
    // The server says something every 20 s, so that a connection in which nothing comes for longer is dead.
    const dead = new AbortController();
    const silence = setTimeout(() => dead.abort(), 45_000);
    const answer = await fetch(`${room}/messages?follow=1${since}`, { signal: dead.signal });
    let rest = '';
    for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
        silence.refresh();
        const lines = (rest + piece).split('\n');
        rest = lines.pop();
        for (const line of lines) {
            const { id, seq, from, text, event, error } = JSON.parse(line);
            if (id) [since, wait] = [`&since=${id}`, 1000];
            // Others choose the text: it shall not drive our terminal.
            if (seq) console.log(`${from}: ${text?.replace(/\p{Cc}/gu, ' ') ?? '(not text)'}`);
            else if (error || event === 'gap' || event === 'reset') console.log(`-- ${line}`);
        }
    }
}

async function stay() {
    await follow().catch((error) => console.error('--', error.cause?.message ?? error.message));
    setTimeout(stay, Math.random() * wait);
    wait = Math.min(2 * wait, 30_000);
}

stay();
for await (const body of createInterface({ input: process.stdin })) {
    const post = { method: 'POST', body, signal: AbortSignal.timeout(10_000) };
    const answer = await fetch(`${room}?name=${encodeURIComponent(name)}`, post).catch(() => null);
    if (!answer?.ok) console.error('-- may not have arrived:', (await answer?.text()) ?? 'no connection');
}
process.exit();
