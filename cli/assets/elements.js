/** Makes elements and keeps lists of them. What is said is always set as text. */

/** @param {string} name @param {string} [className] @param {string} [text] */
export function make(name, className = '', text = '') {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text) element.textContent = text;
    return element;
}

/** Has an element say a text. What it says already is left alone, so that it is not read out again. @param {Element} element @param {string} text */
export function write(element, text) {
    if (element.textContent !== text) element.textContent = text;
}

/** @template {HTMLElement} T @param {string} id @param {new () => T} type @returns {T} */
export function find(id, type) {
    const element = document.getElementById(id);
    if (!(element instanceof type)) throw new TypeError(`there is no ${type.name} ${id}`);
    return element;
}

/** A letter in the colour of a name. @param {string | null} name */
export function avatar(name) {
    const element = make('span', 'avatar', name ? [...name][0].toUpperCase() : '*');
    element.setAttribute('aria-hidden', 'true');
    tint(element, name);
    return element;
}

/** Gives an element the colour of a name. @param {HTMLElement} element @param {string | null} name */
export function tint(element, name) {
    // FNV-1a, so that names which differ little differ in colour.
    let hash = 0x811c9dc5;
    for (const character of (name ?? '').toLowerCase()) {
        hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
    }
    element.style.setProperty('--hue', String(((hash >>> 8) % 24) * 15));
}

/**
 * Has `list` hold an element for each item, in their order. Those that are there stay, and so does the focus.
 *
 * @template T
 * @param {HTMLElement} list
 * @param {T[]} items
 * @param {(item: T) => string} key
 * @param {(item: T) => HTMLElement} create
 */
export function sync(list, items, key, create) {
    const children = /** @type {HTMLElement[]} */ ([...list.children]);
    const known = new Map(children.map((child) => [child.dataset.key, child]));
    const wanted = items.map((item) => {
        const name = key(item);
        const element = known.get(name) ?? create(item);
        element.dataset.key = name;
        return element;
    });
    if (wanted.length === children.length && wanted.every((element, at) => element === children[at])) return;
    const focused = list.contains(document.activeElement) ? document.activeElement : null;
    list.replaceChildren(...wanted);
    if (focused instanceof HTMLElement && focused.isConnected) focused.focus({ preventScroll: true });
}
