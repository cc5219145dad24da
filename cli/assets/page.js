/**
 * The page: enters, shows what the chat has, and does what one types and presses.
 *
 * What is on the wire is switchboard.js's business, what belongs to which conversation that of chat.js, and how a log
 * shows thousands of rows that of log.js.
 */

import { Alerts } from './alerts.js';
import { announce, notice } from './announcer.js';
import { Chat } from './chat.js';
import { Conversation } from './conversation.js';
import { Drafts } from './drafts.js';
import { avatar, find } from './elements.js';
import { Log } from './log.js';
import { People } from './people.js';
import { Room, following, publishing } from './room.js';
import { Search } from './search.js';
import { keepToken, keptToken, load, save, stayHere, theme, wasHere } from './settings.js';
import { Sidebar } from './sidebar.js';
import { Switchboard } from './switchboard.js';
import { key } from './talk.js';

/** Members whose names are listed, and how many of them one request brings. */
const LISTED = 5_000;
const PAGE = 1_000;

/** The least time between two looks at who is there, and at which rooms there are. */
const PEOPLE_MS = 2_000;
const ROOMS_MS = 4_000;

/** The longest message: a frame of the server's, less the command and the longest name in front of it. */
const MESSAGE_BYTES = (64 << 10) - 80;

/** How long one can come back to what one has left. */
const UNDO_MS = 10_000;

/** What another token may mend. */
const CREDENTIALS = new Set(['not-authorized', 'token-expired', 'auth-unavailable', 'name-reserved']);

/** A timer that is this late tells that the machine was asleep. */
const PULSE_MS = 2_000;
const ASLEEP_MS = 4_000;

const text = find('text', HTMLTextAreaElement);

/** @type {Switchboard} */
let switchboard;
/** @type {Chat} */
let chat;
/** @type {{ rooms: { room: string, members: number }[], total: number }} */
let allRooms = { rooms: [], total: 0 };
let drawing = 0;
/** Whether there was a connection, and is none. */
let lost = false;
/** The room that was not joined for want of a token. */
let refused = '';
/** Why the server does not let us in, if that is what keeps us from being connected. */
let unproven = '';
/** Counts down to the next attempt. @type {ReturnType<typeof setInterval> | undefined} */
let counting;
/** The rooms that are remembered. */
let remembered = '';
const drafts = new Drafts();
/** What is offered in the place of the complaint. @type {ReturnType<typeof setTimeout> | undefined} */
let undoing;

const log = new Log(find('log', HTMLElement), find('rows', HTMLElement), look);
const room = new Room();
const sidebar = new Sidebar((kind, name) => open(kind, name));
const people = new People((name) => open('person', name));
const alerts = new Alerts();
const search = new Search(log, () => chat?.active, () => text.focus());

/** @type {import('./chat.js').View} */
const view = {
    changed(talk) {
        if (talk && talk === chat.active) log.refresh();
        show();
    },
    opened(before) {
        if (before) drafts.set(before.key, text.value);
        const { active } = chat;
        text.value = active ? drafts.of(active.key) : '';
        grow();
        complain('');
        search.close();
        if (active) notice(`${active.title}${unread(active)}`);
        log.open(active?.conversation ?? new Conversation());
        history.replaceState(null, '', active?.kind === 'room' ? `#${active.name}` : location.pathname);
        people.show(active?.names ?? [], switchboard.name, active?.names.length ?? 0);
        countPeople(true);
        look();
    },
    sees: (talk) => talk === chat.active && log.atEnd && document.visibilityState === 'visible',
    announce,
    notice,
    recalled: (talk) => talk === chat.active && log.recall(),
    called: (talk, words) => alerts.call(talk, words, () => open(talk.kind, talk.name)),
    moved: () => countPeople(),
};

// Entering.

function start() {
    theme(find('theme', HTMLButtonElement));
    const { name = '', rooms = [] } = load();
    const asked = hash();
    if (wasHere()) {
        enter(name, [asked, ...rooms]);
        return;
    }
    const [nameInput, roomInput] = [find('enter-name', HTMLInputElement), find('enter-room', HTMLInputElement)];
    nameInput.value = name;
    roomInput.value = asked || rooms[0] || 'lobby';
    find('enter', HTMLFormElement).addEventListener('submit', (event) => {
        event.preventDefault();
        save({ name: nameInput.value });
        enter(nameInput.value, [roomInput.value, ...rooms]);
    });
    find('entrance', HTMLElement).hidden = false;
    nameInput.focus();
}

/** @param {string} name @param {string[]} rooms the first is opened */
function enter(name, rooms) {
    stayHere();
    find('entrance', HTMLElement).hidden = true;
    find('board', HTMLElement).hidden = false;
    switchboard = new Switchboard('ws', { name, token: keptToken() });
    chat = new Chat(switchboard, view);
    switchboard.on('state', connection);
    switchboard.on('named', named);
    switchboard.on('refused', ({ error, room }) => {
        if (room) return;
        if (CREDENTIALS.has(error.code)) {
            if (switchboard.state !== 'open') {
                unproven = error.message;
                find('retry', HTMLButtonElement).hidden = true;
                find('authorize', HTMLButtonElement).hidden = false;
            }
            askToken(`Refused: ${error.message}.`);
        } else if (switchboard.wanted) waitForName();
        else askName(`Not changed: ${error.message}.`);
    });
    switchboard.on('removed', ({ room }) => {
        const talk = chat.talks.get(key('room', room));
        // The server knows already.
        if (talk) chat.leave(talk).catch(() => {});
        complain(`You may not be in ${room} any more.`);
    });
    switchboard.on('announcement', ({ text }) => complain(`Announcement: ${text}`));
    switchboard.on('expiring', ({ seconds }) => askToken(`Your token ends in ${seconds} s.`));
    const [first, ...others] = rooms.filter(Boolean);
    if (first) open('room', first);
    for (const other of others) chat.join(other).catch(complain);
    show();
    setInterval(countRooms, ROOMS_MS);
    wakeUp();
}

/** Looks at the connection when the machine was asleep: it may be long dead, and nobody has said so. */
function wakeUp() {
    let before = Date.now();
    setInterval(() => {
        const now = Date.now();
        if (now - before > ASLEEP_MS) switchboard.wake();
        before = now;
    }, PULSE_MS);
}

/** The room that the address names. */
function hash() {
    return /^#([\w.-]{1,64})$/.exec(location.hash)?.[1] ?? '';
}

/** @param {{ name: string }} named */
function named({ name }) {
    find('self-name', HTMLElement).textContent = name;
    find('self-avatar', HTMLElement).replaceChildren(avatar(name));
    if (find('name-note', HTMLElement).textContent && name === switchboard.wanted) notice(`You are ${name} again`);
    find('name-note', HTMLElement).textContent = '';
    countPeople();
}

/** A name that was ours comes back by itself, once the server has noticed that the last connection is gone. */
function waitForName() {
    const note = find('name-note', HTMLElement);
    const words = `${switchboard.wanted} is still taken by your last connection. Until it is free you are ${switchboard.name}.`;
    if (note.textContent === words) return;
    note.textContent = words;
    notice(words);
}

/** @param {{ state: string, delay?: number }} change */
function connection({ state, delay = 0 }) {
    const lamp = find('lamp', HTMLElement);
    if (state === 'open') unproven = '';
    lamp.dataset.state = state;
    lamp.textContent = { open: 'Connected', connecting: 'Connecting', waiting: 'Offline' }[state] ?? 'Closed';
    find('banner', HTMLElement).hidden = state === 'open' || (state === 'connecting' && !chat.connections);
    tellNext(state, delay);
    find('retry', HTMLButtonElement).hidden = state !== 'waiting' || Boolean(unproven);
    find('authorize', HTMLButtonElement).hidden = !unproven;
    // Told once, and not with each attempt.
    const isLost = state !== 'open' && chat.connections > 0;
    if (isLost !== lost) notice(isLost ? 'The connection is lost' : 'Reconnected');
    lost = isLost;
    if (state === 'open') {
        complain('');
        countRooms();
        countPeople();
    }
    show();
}

/** Says what comes next, and counts the seconds until then. @param {string} state @param {number} delay */
function tellNext(state, delay) {
    clearInterval(counting);
    const none = chat.connections ? 'The connection is lost.' : 'There is no connection.';
    const ends = Date.now() + delay;
    const tell = () => {
        const seconds = Math.ceil((ends - Date.now()) / 1000);
        const next = state === 'connecting' ? 'Connecting.' : `Trying again ${seconds > 1 ? `in ${seconds} s` : 'now'}.`;
        // Told late, as it is found out once the connection is refused.
        const what = unproven ? `Refused: ${unproven}.` : none;
        find('banner-text', HTMLElement).textContent = `${what} ${next}`;
    };
    tell();
    if (state === 'waiting') counting = setInterval(tell, 1_000);
}

// What one types.

/** @param {'room' | 'person'} kind @param {string} name */
function open(kind, name) {
    for (const sheet of ['rooms', 'members']) find(sheet, HTMLElement).hidePopover();
    chat.open(kind, name).catch((error) => {
        complain(error);
        if (error.code !== 'not-allowed' || switchboard.token) return;
        refused = name;
        askToken(`You may not be in ${name} without a token.`);
    });
    // A keyboard that slides in would hide what was opened.
    if (!matchMedia('(pointer: coarse)').matches) text.focus();
}

/** @param {string} typed */
function submit(typed) {
    complain('');
    const command = /^\/([a-z]*)(?:\s+([^]*))?$/i.exec(typed);
    if (command) return obey(command[1].toLowerCase(), command[2]?.trim() ?? '');
    if (chat.active && !chat.active.may('publish')) return complain(`You may only read in ${chat.active.title}.`);
    if (switchboard.state !== 'open') return complain('There is no connection. Your text stays here until there is.');
    const bytes = new TextEncoder().encode(typed).length;
    if (bytes > MESSAGE_BYTES) {
        const [most, has] = [MESSAGE_BYTES, bytes].map((count) => count.toLocaleString());
        return complain(`A message has at most ${most} bytes, and this one has ${has}. Send it in parts.`);
    }
    send(typed.startsWith('//') ? typed.slice(1) : typed);
}

/** @param {string} words */
function send(words) {
    if (!chat.active) return;
    text.value = '';
    drafts.set(chat.active.key, '');
    grow();
    log.latest();
    chat.send(chat.active, words);
}

/** @param {string} command @param {string} rest */
function obey(command, rest) {
    const [first, ...others] = rest.split(/\s+/);
    text.value = '';
    if (['join', 'name'].includes(command) && others.length) {
        text.value = `/${command} ${rest}`;
        complain(`A name is one word: /${command} ${first}`);
    } else if (command === 'join' && first) open('room', first);
    else if (command === 'leave') leave();
    else if (command === 'name' && first) takeName(first).catch(complain);
    else if (command === 'auth') askToken('');
    else if (command === 'help') help();
    else if (command === 'msg' && others.length) {
        open('person', first);
        send(rest.slice(first.length).trim());
    } else {
        text.value = `/${command} ${rest}`.trim();
        complain('No such command here. Help lists them; to send text that begins with /, type //');
    }
}

/** Leaves what is open, and offers to come back. */
function leave() {
    const left = chat.active;
    if (!left) return;
    chat.leave(left).catch(complain);
    find('undo-text', HTMLElement).textContent = left.kind === 'room' ? `You left ${left.name}.` : `${left.title} is closed.`;
    const undo = find('undo', HTMLElement);
    undo.hidden = false;
    find('undo-button', HTMLButtonElement).onclick = () => {
        undo.hidden = true;
        open(left.kind, left.name);
    };
    clearTimeout(undoing);
    undoing = setTimeout(() => {
        undo.hidden = true;
    }, UNDO_MS);
    notice(`${find('undo-text', HTMLElement).textContent} Undo is above the message field.`);
}

/** @param {string} name */
async function takeName(name) {
    await switchboard.rename(name);
    save({ name });
}

/** @param {string} why */
function askName(why) {
    find('naming-complaint', HTMLElement).textContent = why;
    const dialog = find('naming', HTMLDialogElement);
    if (!dialog.open) {
        find('naming-name', HTMLInputElement).value = load().name ?? '';
        dialog.showModal();
    }
    find('naming-name', HTMLInputElement).select();
}

/** @param {string} why */
function askToken(why) {
    find('showing-complaint', HTMLElement).textContent = why;
    const dialog = find('showing', HTMLDialogElement);
    if (!dialog.open) dialog.showModal();
    find('showing-token', HTMLInputElement).select();
}

/** In memory, and in what this tab keeps if that is wanted. @param {string} token */
function showToken(token) {
    keepToken(find('showing-keep', HTMLInputElement).checked ? token : '');
    // What is shown goes with its own name.
    if (token) switchboard.wanted = '';
    unproven = '';
    switchboard.present(token);
    if (refused) open('room', refused);
    refused = '';
}

function help() {
    const name = chat.active?.kind === 'room' ? chat.active.name : 'lobby';
    find('help-publish', HTMLElement).textContent = publishing(name);
    find('help-follow', HTMLElement).textContent = following(name);
    find('help', HTMLDialogElement).showModal();
}

/** @param {unknown} what */
function complain(what) {
    find('complaint', HTMLElement).textContent = what instanceof Error ? what.message : String(what);
}

// What one sees.

/** Shows all but the log as it is now, before the next frame. */
function show() {
    drawing ||= requestAnimationFrame(() => {
        drawing = 0;
        sidebar.show([...chat.talks.values()], chat.active, allRooms);
        showMute();
        room.show(chat.active, log, {
            discard(outgoing) {
                chat.active?.discard(outgoing);
                show();
            },
            again(outgoing) {
                chat.active?.discard(outgoing);
                send(outgoing.text);
            },
        });
        remember();
    });
    // A page that is not seen draws nothing, but has a title.
    alerts.show([...chat.talks.values()], chat.active);
}

function showMute() {
    const button = find('mute', HTMLButtonElement);
    const { active } = chat;
    button.hidden = find('search-button', HTMLButtonElement).hidden = !active;
    if (!active) return;
    const muted = alerts.isMuted(active);
    button.setAttribute('aria-pressed', String(muted));
    button.setAttribute('aria-label', `Mute ${active.title}`);
    button.title = muted ? 'Muted: no notifications from here' : 'Mute';
}

/** @param {import('./talk.js').Talk} talk */
function unread({ conversation }) {
    return conversation.unread ? `, ${conversation.unread.toLocaleString()} unread` : '';
}

/** For when the page is loaded again. */
function remember() {
    const rooms = chat.of('room').map(({ name }) => name);
    if (rooms.join() !== remembered) save({ rooms });
    remembered = rooms.join();
}

/** One has scrolled, or come back. */
function look() {
    if (chat?.active && view.sees(chat.active)) chat.see();
    if (chat?.active) {
        // Whoever comes back to the start asks again.
        if (chat.active.past === 'failed' && !log.isNearStart) chat.active.past = '';
        if (chat.active.past === '' && log.isNearStart) chat.recall(chat.active);
    }
    if (chat) show();
}

const countRooms = seldom(ROOMS_MS, async () => {
    if (switchboard.state !== 'open' || document.visibilityState === 'hidden') return false;
    allRooms = await switchboard.allRooms();
    for (const { room, members } of allRooms.rooms) {
        const talk = chat.talks.get(key('room', room));
        if (talk) talk.members = members;
    }
    show();
});

const countPeople = seldom(PEOPLE_MS, async () => {
    const talk = chat.active;
    if (talk?.kind !== 'room' || switchboard.state !== 'open') return false;
    // What one may do there is told with the answer to the join.
    if (talk.members === 0) return false;
    if (!talk.may('presence')) {
        talk.names = [];
        return people.show([], switchboard.name, 0);
    }
    const { members, total } = await everybody(talk.name);
    [talk.names, talk.members] = [members, total];
    if (talk === chat.active) people.show(members, switchboard.name, total);
    show();
});

/** @param {string} room @returns {Promise<{ members: string[], total: number }>} */
async function everybody(room) {
    let { members, total } = await switchboard.who(room);
    // On a phone they are out of sight most of the time.
    if (members.length === total || !find('people', HTMLElement).checkVisibility()) return { members, total };
    members = [];
    // Whoever comes or goes meanwhile may be listed twice, or not at all: the next look is never far.
    while (members.length < Math.min(total, LISTED)) {
        const { token } = switchboard;
        const headers = token ? { authorization: `Bearer ${token}` } : undefined;
        const answer = await fetch(`rooms/${room}/members?skip=${members.length}&limit=${PAGE}`, { headers });
        const page = answer.ok ? await answer.json() : { members: [], total };
        if (page.members.length === 0) break;
        members.push(...page.members);
        total = page.total;
    }
    return { members: [...new Set(members)], total };
}

/**
 * A function that does `what` at once, but not again within `pause`: then it does so once behind it, or without a pause
 * if that is urgent.
 *
 * @param {number} pause @param {() => Promise<false | void>} what gives false if it has done nothing
 */
function seldom(pause, what) {
    let busy = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let pausing;
    /** What is asked for meanwhile. */
    let wanted = { at: false, soon: false };
    const run = async (soon = false) => {
        wanted = { at: true, soon: soon || wanted.soon };
        if (busy || (pausing && !wanted.soon)) return;
        clearTimeout(pausing);
        busy = true;
        wanted = { at: false, soon: false };
        // Without a connection there is nothing to know, and the next one asks again.
        const done = await what().catch(() => false);
        busy = false;
        const again = () => {
            pausing = undefined;
            if (wanted.at) run();
        };
        pausing = setTimeout(again, done === false || wanted.soon ? 0 : pause);
    };
    return run;
}

// What one presses.

find('composer', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    if (text.value.trim()) submit(text.value.trimEnd());
});

text.addEventListener('input', () => {
    if (chat?.active) drafts.set(chat.active.key, text.value);
    grow();
});

/** As high as what is typed, where the style sheet cannot say so. */
function grow() {
    if (CSS.supports('field-sizing', 'content')) return;
    text.style.height = 'auto';
    text.style.height = `${text.scrollHeight + 2}px`;
}

// Also on its way into the background, from which a phone may never bring it back.
for (const end of ['pagehide', 'visibilitychange']) addEventListener(end, () => chat && drafts.keep(chat.talks.values()));

text.addEventListener('keydown', (event) => {
    // While a word is being composed, as in Japanese, Enter chooses it. Safari says that it is no longer being composed,
    // and gives the key away by 229 alone (UI Events, "keyCode").
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    find('composer', HTMLFormElement).requestSubmit();
});

find('join', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    const input = find('join-room', HTMLInputElement);
    open('room', input.value);
    input.value = '';
});

find('naming-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    takeName(find('naming-name', HTMLInputElement).value).then(
        () => find('naming', HTMLDialogElement).close(),
        (error) => askName(`Not changed: ${error.message}.`),
    );
});

find('showing-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    const input = find('showing-token', HTMLInputElement);
    showToken(input.value.trim());
    input.value = '';
    find('showing', HTMLDialogElement).close();
});

find('log', HTMLElement).addEventListener('keydown', ({ key }) => {
    if (key === 'Home') log.earliest();
    if (key === 'End') log.latest();
});

document.addEventListener('keydown', (event) => {
    if (!chat) return;
    if ((event.ctrlKey || event.metaKey) && event.key === 'f' && chat.active) {
        event.preventDefault();
        search.open();
    } else if (event.altKey && (event.key === 'ArrowUp' || event.key === 'ArrowDown')) {
        event.preventDefault();
        chat.step(event.key === 'ArrowUp' ? -1 : 1);
    } else if (event.key === 'Escape' && !document.querySelector('dialog[open], :popover-open')) {
        text.focus();
    }
});

document.addEventListener('visibilitychange', () => {
    if (!chat || document.visibilityState === 'hidden') return;
    look();
    switchboard.wake();
    countRooms();
});

addEventListener('pageshow', ({ persisted }) => {
    if (persisted) switchboard?.wake();
});

addEventListener('hashchange', () => {
    if (chat && hash()) open('room', hash());
});

find('members', HTMLElement).addEventListener('toggle', () => countPeople());
find('rooms', HTMLElement).addEventListener('toggle', () => sidebar.follow());
find('rename', HTMLButtonElement).addEventListener('click', () => askName(''));
find('leave', HTMLButtonElement).addEventListener('click', leave);
find('search-button', HTMLButtonElement).addEventListener('click', () => search.open());
find('mute', HTMLButtonElement).addEventListener('click', () => {
    if (chat.active) alerts.toggle(chat.active);
    show();
});
find('retry', HTMLButtonElement).addEventListener('click', () => switchboard.retry());
find('authorize', HTMLButtonElement).addEventListener('click', () => askToken(`Refused: ${unproven}.`));
find('help-button', HTMLButtonElement).addEventListener('click', help);
find('latest', HTMLButtonElement).addEventListener('click', () => {
    log.latest();
    look();
});
for (const button of document.querySelectorAll('[data-close]')) {
    button.addEventListener('click', () => button.closest('dialog')?.close());
}
for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll('input[pattern]'))) {
    const rule = 'Use letters from A to Z, digits, -, _ and . only: no spaces, no accents.';
    input.addEventListener('input', () => input.setCustomValidity(input.validity.patternMismatch ? rule : ''));
}
// What is a sheet on a narrow screen is a column on a wide one.
for (const width of ['48rem', '72rem']) {
    matchMedia(`(min-width: ${width})`).addEventListener('change', () => {
        for (const sheet of ['rooms', 'members']) find(sheet, HTMLElement).hidePopover();
    });
}

start();
