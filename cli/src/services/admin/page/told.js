/** How numbers are told, to people who read them quickly. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** As the program shows it: no more than there are. @param {number} bytes */
export function size(bytes) {
    let at = 0;
    for (; bytes >= 1024 && at + 1 < UNITS.length; at += 1) bytes /= 1024;
    return `${at === 0 ? Math.round(bytes) : (Math.floor(bytes * 10) / 10).toFixed(1)} ${UNITS[at]}`;
}

/** Its two largest units: `3d 4h`. @param {number} seconds */
export function time(seconds) {
    const whole = Math.floor(seconds);
    if (whole < 60) return `${whole}s`;
    if (whole < 3600) return `${Math.floor(whole / 60)}m ${whole % 60}s`;
    if (whole < 86_400) return `${Math.floor(whole / 3600)}h ${Math.floor(whole / 60) % 60}m`;
    return `${Math.floor(whole / 86_400)}d ${Math.floor(whole / 3600) % 24}h`;
}

/** @param {number} number */
export function count(number) {
    return Math.round(number).toLocaleString('en');
}

/** What a field of a row says. @param {string} field @param {unknown} value */
export function told(field, value) {
    if (value === null || value === undefined) return '–';
    if (typeof value === 'number') {
        if (field.endsWith('_seconds')) return time(value);
        if (field.includes('bytes')) return size(value);
        return field === 'id' ? String(value) : count(value);
    }
    if (typeof value === 'boolean') return value ? 'yes' : 'no';
    if (Array.isArray(value)) return value.map(String).join(', ') || '–';
    return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** What a field is called. @param {string} field */
export function called(field) {
    const name = field.replace(/_seconds$/, '').replaceAll(/[_-]/g, ' ');
    return name === 'id' ? 'ID' : name[0].toUpperCase() + name.slice(1);
}
