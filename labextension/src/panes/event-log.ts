/**
 * The newest events, and which of them are to be seen. Messages bring what is new; ten thousand are kept. A filter is applied to what is new only,
 * unless it changes, so a chatty cluster costs little.
 */
import type { EventRow, Events } from '../protocol/snapshots';
import { finder } from './rows';

export const KEPT = 10_000;
export const LEVELS = ['debug', 'info', 'warning', 'error'] as const;
export const KINDS = ['worker', 'client', 'task', 'log', 'event'] as const;
export type Level = (typeof LEVELS)[number];
export type Kind = (typeof KINDS)[number];

/** An event with a number of its own, counted upwards. */
export interface Entry extends EventRow {
  readonly serial: number;
}

export interface Filter {
  readonly level: Level;
  readonly kinds: ReadonlySet<Kind>;
  readonly search: string;
}

export class EventLog {
  /** What is to be seen, the newest last. The array is another one when rows were taken away. */
  shown: Entry[] = [];
  /** How many of each kind are kept. */
  readonly kinds = new Map<string, number>();
  /** How many warnings and errors are kept. */
  warnings = 0;
  errors = 0;
  /** How many rows were too many to tell, or are kept no more. */
  lost = 0;
  private all: Entry[] = [];
  private serial = 0;
  private filter: Filter = { level: 'debug', kinds: new Set(KINDS), search: '' };
  private found: (text: string) => boolean = () => true;

  get total(): number {
    return this.all.length;
  }

  /** What a message brings. The result: how many of those that could be seen have left at the top, -1 if all is new. */
  take(data: Events): number {
    if (data.reset) {
      this.all = [];
      this.shown = [];
      this.kinds.clear();
      this.warnings = 0;
      this.errors = 0;
      this.lost = 0;
    }
    this.lost += data.dropped;
    for (const row of data.rows) {
      const entry = { ...row, serial: this.serial++ };
      this.all.push(entry);
      this.note(entry, 1);
      if (this.wanted(entry)) {
        this.shown.push(entry);
      }
    }
    return data.reset ? -1 : this.shorten();
  }

  /** Show what this filter lets through. */
  set(filter: Filter): void {
    this.filter = filter;
    this.found = finder(filter.search);
    this.shown = this.all.filter(entry => this.wanted(entry));
  }

  private wanted(row: EventRow): boolean {
    const { level, kinds } = this.filter;
    const known = (KINDS as readonly string[]).includes(row.kind);
    return (
      rank(row.level) >= rank(level) &&
      (!known || kinds.has(row.kind as Kind)) &&
      this.found(`${row.text} ${row.source} ${row.kind} ${row.level} ${row.key}`)
    );
  }

  private shorten(): number {
    if (this.all.length <= KEPT) {
      return 0;
    }
    // a tenth at once, so that it is done seldom
    const gone = this.all.splice(0, this.all.length - Math.floor(KEPT * 0.9));
    for (const entry of gone) {
      this.note(entry, -1);
    }
    this.lost += gone.length;
    const first = this.all[0].serial;
    let leaving = 0;
    while (leaving < this.shown.length && this.shown[leaving].serial < first) {
      leaving++;
    }
    this.shown = this.shown.slice(leaving);
    return leaving;
  }

  private note(row: EventRow, one: number): void {
    this.kinds.set(row.kind, (this.kinds.get(row.kind) ?? 0) + one);
    this.warnings += row.level === 'warning' ? one : 0;
    this.errors += row.level === 'error' ? one : 0;
  }
}

/** How serious a level is; an unknown one (`critical`) is the most serious. */
export function rank(level: string): number {
  const found = (LEVELS as readonly string[]).indexOf(level);
  return found < 0 ? LEVELS.length : found;
}
