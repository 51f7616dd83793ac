/**
 * What the scheduler does, over time: the samples of the topic "load" in columns, the newest ones, with a hole where nobody has looked. Pure.
 */
import type { Load } from '../protocol/snapshots';

/** The columns besides the time. */
export type Measure = Exclude<keyof Load, 'reset' | 'at'>;

export const MEASURES: readonly Measure[] = [
  'cpu',
  'lag_s',
  'memory',
  'received',
  'sent',
  'submitted',
  'done',
  'waiting',
  'queued',
  'processing',
  'workers',
  'idle',
  'worker_cpu',
  'worker_memory',
];

/** An hour of four a second. */
const KEPT = 14_400;
/** Seconds without a sample that are shown as a hole. */
const HOLE = 5;

export class Samples {
  at: number[] = [];
  private columns = new Map<Measure, (number | null)[]>(MEASURES.map(measure => [measure, []]));

  take(data: Load): void {
    if (data.reset) {
      this.at = [];
      this.columns = new Map(MEASURES.map(measure => [measure, []]));
    }
    for (let i = 0; i < data.at.length; i++) {
      const last = this.at[this.at.length - 1];
      if (last !== undefined && data.at[i] <= last) {
        continue; // told twice
      }
      if (last !== undefined && data.at[i] - last > HOLE) {
        this.at.push(last + 1e-3);
        for (const column of this.columns.values()) {
          column.push(null);
        }
      }
      this.at.push(data.at[i]);
      for (const [measure, column] of this.columns) {
        column.push(data[measure][i]);
      }
    }
    const old = this.at.length - KEPT;
    if (old > KEPT / 8) {
      this.at = this.at.slice(old);
      for (const [measure, column] of this.columns) {
        this.columns.set(measure, column.slice(old));
      }
    }
  }

  get length(): number {
    return this.at.length;
  }

  /** When the newest one was taken; 0 while there is none. */
  get newest(): number {
    return this.at[this.at.length - 1] ?? 0;
  }

  column(measure: Measure): readonly (number | null)[] {
    return this.columns.get(measure) as (number | null)[];
  }

  /** The places of the samples from `from` on up to `to`, one more at each end so that lines reach the edges. */
  between(from: number, to: number): [number, number] {
    return [Math.max(0, this.place(from) - 1), Math.min(this.at.length, this.place(to) + 2)];
  }

  /** The last sample that is not a hole, at or before a time; null: there is none. */
  value(measure: Measure, at = Infinity): number | null {
    const column = this.column(measure);
    for (let i = Math.min(column.length, this.place(at) + 1) - 1; i >= 0; i--) {
      if (this.at[i] <= at && column[i] !== null) {
        return column[i];
      }
    }
    return null;
  }

  /** The place of the first sample that is not before a time. */
  private place(time: number): number {
    let low = 0;
    let high = this.at.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.at[middle] < time) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  /** The largest value from a time on; 0 if there is none. */
  most(measure: Measure, from: number): number {
    const column = this.column(measure);
    let most = 0;
    for (let i = this.place(from); i < column.length; i++) {
      most = Math.max(most, column[i] ?? 0);
    }
    return most;
  }
}
