// Whether all that a page shows can be read, or read out: the contrast of WCAG 2.2, level AA, measured as it is painted,
// and names as the browser tells them to programs.
// https://www.w3.org/TR/WCAG22/#contrast-minimum, https://www.w3.org/TR/WCAG22/#non-text-contrast

import assert from 'node:assert/strict';

/** What is too faint in a page, in its light and in its dark. @param {import('./chromium.mjs').Tab} tab */
export async function faint(tab) {
    const found = [];
    for (const scheme of ['dark', 'light']) {
        await tab.scheme(scheme);
        found.push(...(await tab.run(measure)).map((what) => `${scheme}: ${what}`));
    }
    return found;
}

/** What can be used, and has no name to be told of. @param {import('./chromium.mjs').Tab} tab */
export async function nameless(tab) {
    const { nodes } = await tab.send('Accessibility.getFullAXTree');
    const used = nodes.filter(({ ignored, properties = [] }) => !ignored
        && properties.some(({ name, value }) => name === 'focusable' && value.value));
    assert.ok(used.length > 0);
    return used.filter(({ name }) => !name?.value?.trim()).map(({ role }) => role.value);
}

// Runs in the page.
function measure() {
    const [TEXT, SHAPE] = [4.5, 3];
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const paint = (color) => {
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
    };
    // https://www.w3.org/TR/WCAG22/#dfn-relative-luminance
    const luminance = () => {
        const [red, green, blue] = [...canvas.getImageData(0, 0, 1, 1).data].map((value) => {
            const part = value / 255;
            return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    /** What is behind an element's content: its own background, and those that shine through it. */
    const ground = (element) => {
        const colors = [];
        for (let at = element; at; at = at.parentElement) colors.unshift(getComputedStyle(at).backgroundColor);
        canvas.clearRect(0, 0, 1, 1);
        colors.forEach(paint);
    };
    const contrast = (color, behind) => {
        ground(behind);
        const below = luminance();
        paint(color);
        const [darker, lighter] = [below, luminance()].sort((one, other) => one - other);
        return (lighter + 0.05) / (darker + 0.05);
    };
    const found = new Set();
    const check = (what, color, behind, least) => {
        const measured = contrast(color, behind);
        if (measured < least) found.add(`${what} has ${measured.toFixed(2)}, not ${least}`);
    };
    const isInView = (element) => {
        const { width, top, bottom } = element.getBoundingClientRect();
        return width > 1 && top < innerHeight && bottom > 0;
    };
    // What is in a row that is not in view is not even laid out, and asking for it would do that.
    const seen = (element) => isInView(element.closest('li, tr') ?? element) && isInView(element)
        && element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    const name = (element) => `${element.tagName.toLowerCase()}#${element.id}.${element.className}`;

    // Each colour that a name can have.
    const rows = document.querySelector('#rows');
    const names = Array.from({ length: 24 }, (_, at) => {
        const row = document.createElement('li');
        row.className = 'message';
        for (const part of ['avatar', 'from']) {
            const span = document.createElement('span');
            [span.className, span.textContent] = [part, 'A'];
            span.style.setProperty('--hue', String(at * 15));
            row.append(span);
        }
        return row;
    });
    // Another page may have none.
    rows?.append(...names);

    for (const part of names.filter((row) => row.isConnected).flatMap((row) => [...row.children])) {
        check(`${name(part)} of hue ${part.style.getPropertyValue('--hue')}`, getComputedStyle(part).color, part, TEXT);
    }
    names.forEach((row) => row.remove());

    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const parent = texts.currentNode.parentElement;
        if (!texts.currentNode.data.trim() || !seen(parent)) continue;
        check(name(parent), getComputedStyle(parent).color, parent, TEXT);
    }
    for (const input of document.querySelectorAll('input, textarea, select')) {
        if (!seen(input)) continue;
        check(`${name(input)} of`, getComputedStyle(input, '::placeholder').color, input, TEXT);
        check(`${name(input)} around`, getComputedStyle(input).borderTopColor, input.parentElement, SHAPE);
    }
    for (const shape of document.querySelectorAll('svg')) {
        if (seen(shape)) check(name(shape.parentElement), getComputedStyle(shape).color, shape.parentElement, SHAPE);
    }
    for (const jack of document.querySelectorAll('.jack')) {
        if (seen(jack)) check(name(jack), getComputedStyle(jack).borderTopColor, jack.parentElement, SHAPE);
    }
    return [...found];
}
