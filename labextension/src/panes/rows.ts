/**
 * A live list in an order that people can read. Its rows change ten times a second; an order that changed with them could not be pointed at. So the
 * list is sorted anew once a second at most, and not at all while it is held (the pointer rests on it); in between, rows keep their places, those
 * that are gone leave, and new ones stand at the end. No clock of its own: whoever sets the rows says what time it is.
 */

/** What a list is ordered by. */
export interface Order<R> {
  by(row: R): string | number;
  down: boolean;
}

/** So long an order stands. */
export const REST_MS = 1000;
const collator = new Intl.Collator('en', { numeric: true, sensitivity: 'base' });

/** Names as people count them: `worker-2` before `worker-10`. Numbers before words. */
export function compare(a: string | number, b: string | number): number {
  if (typeof a === 'number' && typeof b === 'number') {
    return a - b;
  }
  if (typeof a === 'string' && typeof b === 'string') {
    return collator.compare(a, b);
  }
  return typeof a === 'number' ? -1 : 1;
}

/** Whether a text has all words of a search in it, in any order. An empty search finds everything. */
export function finder(search: string): (text: string) => boolean {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return text => {
    const low = words.length ? text.toLowerCase() : '';
    return words.every(word => low.includes(word));
  };
}

export class Rows<R> {
  /** What is to be seen, in order. */
  shown: R[] = [];
  /** Sorting waits as long as this is set. */
  held = false;
  /** Rows have been set since it was sorted last: the order may not be right any more. */
  behind = false;
  private all: readonly R[] = [];
  private order: Order<R> | null = null;
  private wanted: (row: R) => boolean = () => true;
  private sortedAt = -Infinity;

  constructor(private readonly keyOf: (row: R) => string) {}

  /** How many there are, shown or not. */
  get total(): number {
    return this.all.length;
  }

  /** These are the rows now. */
  set(all: readonly R[], now: number): void {
    this.all = all;
    if (this.shown.length === 0 || (!this.held && now - this.sortedAt >= REST_MS)) {
      this.sort(now);
    } else {
      this.renew();
      this.behind = true;
    }
  }

  /** Another order; null: as they come. Holds at once. */
  orderBy(order: Order<R> | null, now: number): void {
    this.order = order;
    this.sort(now);
  }

  /** Show these only. Holds at once. */
  filter(wanted: (row: R) => boolean, now: number): void {
    this.wanted = wanted;
    this.sort(now);
  }

  /** Sort now, held or not. */
  sort(now: number): void {
    const shown = this.all.filter(this.wanted);
    const order = this.order;
    if (order) {
      const sign = order.down ? -1 : 1;
      const keyed = shown.map((row, place) => ({ row, place, by: order.by(row) }));
      keyed.sort((a, b) => sign * compare(a.by, b.by) || a.place - b.place);
      this.shown = keyed.map(one => one.row);
    } else {
      this.shown = shown;
    }
    this.sortedAt = now;
    this.behind = false;
  }

  /** The rows as they are now, in the order in which they stand. */
  private renew(): void {
    const now = new Map<string, R>();
    for (const row of this.all) {
      if (this.wanted(row)) {
        now.set(this.keyOf(row), row);
      }
    }
    const shown: R[] = [];
    for (const old of this.shown) {
      const key = this.keyOf(old);
      const row = now.get(key);
      if (row !== undefined) {
        shown.push(row);
        now.delete(key);
      }
    }
    shown.push(...now.values());
    this.shown = shown;
  }
}
