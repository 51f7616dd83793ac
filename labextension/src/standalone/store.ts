/** What the page remembers in this browser. A browser that keeps nothing (private windows may not) makes a page that forgets, and no error. */

const PREFIX = 'jupyterfut:';

export function recall<T>(name: string, otherwise: T): T {
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? otherwise : (JSON.parse(text) as T);
  } catch {
    return otherwise;
  }
}

export function remember(name: string, value: unknown): void {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // full, or forbidden: the page works without
  }
}
