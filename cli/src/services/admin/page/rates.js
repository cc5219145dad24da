/** Two looks at `/stats` make rates; a server that was started again counts from nothing. */

/** @typedef {Record<string, any>} Stats */

/** @param {Record<string, any> | undefined} fields @param {(value: any) => number} number */
const total = (fields, number) => Object.values(fields ?? {}).reduce((sum, value) => sum + (Number(number(value)) || 0), 0);

/** Every counter that is shown as a rate. @type {Record<string, (stats: Stats) => number>} */
const COUNTERS = {
    accepted: (stats) => stats.connections?.accepted,
    closed: (stats) => total(stats.connections?.closed, (ended) => ended),
    refused: (stats) => stats.connections?.refused,
    bytesIn: (stats) => total(stats.transports, (traffic) => traffic.bytes_in),
    bytesOut: (stats) => total(stats.transports, (traffic) => traffic.bytes_out),
    published: (stats) => stats.publications,
    delivered: (stats) => stats.deliveries,
    lost: (stats) => stats.deliveries_lost,
};

/**
 * What has happened in a second between two looks, of each counter; none of what is not known yet.
 *
 * @param {Stats | null} before @param {Stats} now @returns {Record<string, number | undefined>}
 */
export function rates(before, now) {
    const apart = before ? (Date.parse(now.time) - Date.parse(before.time)) / 1000 : 0;
    const isAnother = !before || now.uptime_seconds < before.uptime_seconds;
    return Object.fromEntries(Object.entries(COUNTERS).map(([name, counter]) => {
        const grown = isAnother ? NaN : counter(now) - counter(/** @type {Stats} */ (before));
        return [name, grown >= 0 && apart > 0 ? grown / apart : undefined];
    }));
}
