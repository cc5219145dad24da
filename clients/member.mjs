// A room client: node member.mjs http://127.0.0.1:8082/rooms/lobby alice
import { createInterface } from 'node:readline';
let [room, name, since = ''] = process.argv.slice(2);

async function follow() {
    // The server says something every 20 s, so a connection that is silent for longer is dead.
    const [dead, silence] = [new AbortController(), setTimeout(() => dead.abort(), 45_000)];
    const { body } = await fetch(`${room}/messages?follow=1${since}`, { signal: dead.signal });
    let rest = '';
    for await (const piece of body.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + piece).split('\n');
        rest = lines.pop();
        for (const line of lines) {
            const { id, seq, from, text, event } = JSON.parse(line);
            if (id) since = `&since=${id}`;
            // Other people chose the text: it must not control our terminal.
            if (seq) console.log(`${from}: ${text?.replace(/\p{Cc}/gu, ' ') ?? '(not text)'}`);
            else if (event === 'gap' || event === 'reset') console.log('--', line);
        }
        silence.refresh();
    }
}
const stay = () => setTimeout(() => follow().catch((error) => console.error('--', error.message)).then(stay), 5000 * Math.random());
stay();
for await (const body of createInterface({ input: process.stdin })) {
    const answer = await fetch(`${room}?name=${name}`, { method: 'POST', body }).catch((error) => error);
    if (!answer.ok) console.error('-- may not have arrived:', answer.message ?? (await answer.text()));
}
process.exit();
