/** Numbers, sizes and times as people read them; the same in all panes. */

/** `1,234,567` */
export function count(n: number): string {
  return Math.round(n).toLocaleString('en-US');
}

/** `950`, `12.3k`, `4.56M`: three figures at most. */
export function short(n: number): string {
  const units = ['', 'k', 'M', 'G', 'T'];
  let i = 0;
  while (Math.abs(n) >= 999.5 && i < units.length - 1) {
    n /= 1000;
    i++;
  }
  return (i === 0 && Number.isInteger(n) ? String(n) : figures(n)) + units[i];
}

/** `0 B`, `1.50 MiB`: by 1,024, as in the forms of clients and clusters. */
export function bytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let i = 0;
  while (Math.abs(n) >= 1023.5 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  return `${i === 0 ? Math.round(n) : figures(n)} ${units[i]}`;
}

/** `15 µs`, `2.50 ms`, `1.20 s`, `2 min 5 s`, `3 h 12 min`. */
export function seconds(s: number): string {
  const size = Math.abs(s);
  if (size === 0) {
    return '0 s';
  }
  if (size < 0.9995e-3) {
    return `${figures(s * 1e6)} µs`;
  }
  if (size < 0.9995) {
    return `${figures(s * 1e3)} ms`;
  }
  if (size < 59.95) {
    return `${figures(s)} s`;
  }
  const whole = Math.round(s);
  if (whole < 3600) {
    return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  }
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** `85 %` */
export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** The time of day of a moment in seconds since 1970: `14:03:22`. */
export function clock(at: number): string {
  return new Date(at * 1000).toTimeString().slice(0, 8);
}

function figures(n: number): string {
  const size = Math.abs(n);
  return size >= 99.95 ? n.toFixed(0) : size >= 9.995 ? n.toFixed(1) : n.toFixed(2);
}
