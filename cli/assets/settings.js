/** What the browser remembers for us: name, rooms, whether light or dark, what is muted. It may refuse to, and that is fine. */

const THEMES = /** @type {const} */ (['system', 'light', 'dark']);

/** @typedef {{ name?: string, rooms?: string[], theme?: typeof THEMES[number], muted?: string[] }} Settings `muted` by key */

/** @returns {Settings} */
export function load() {
    try {
        return JSON.parse(localStorage.getItem('switchboard') ?? '{}') ?? {};
    } catch {
        return {};
    }
}

/** @param {Settings} change */
export function save(change) {
    try {
        localStorage.setItem('switchboard', JSON.stringify({ ...load(), ...change }));
    } catch {
        // It is turned off, or full.
    }
}

/** Whether this tab was in before it was loaded again. */
export function wasHere() {
    try {
        return sessionStorage.getItem('switchboard') !== null;
    } catch {
        return false;
    }
}

export function stayHere() {
    try {
        sessionStorage.setItem('switchboard', '');
    } catch {
        // It is turned off.
    }
}

/** The token that this tab keeps; empty for none. */
export function keptToken() {
    try {
        return sessionStorage.getItem('switchboard-token') ?? '';
    } catch {
        return '';
    }
}

/** Keeps a token until the tab is closed, or none. @param {string} token */
export function keepToken(token) {
    try {
        if (token) sessionStorage.setItem('switchboard-token', token);
        else sessionStorage.removeItem('switchboard-token');
    } catch {
        // It is turned off.
    }
}

/** Lets a button go round the themes. @param {HTMLButtonElement} button */
export function theme(button) {
    const show = () => {
        const { theme = 'system' } = load();
        document.documentElement.dataset.theme = theme;
        button.setAttribute('aria-label', `Theme: ${theme === 'system' ? 'same as the system' : theme}`);
        button.title = button.getAttribute('aria-label') ?? '';
    };
    button.addEventListener('click', () => {
        const { theme = 'system' } = load();
        save({ theme: THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] });
        show();
    });
    show();
}
