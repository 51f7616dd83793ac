/** How far groups of tasks are, how fast they go lately, and when they will be there. Pure: it is told the time. */
import type { Group, TaskCounts } from '../protocol/snapshots';

/** Seconds over which a rate is taken, and at least before one is told. */
const WINDOW = 10;
const LEAST = 0.8;

export function unfinished(tasks: TaskCounts): number {
  return tasks.waiting + tasks.queued + tasks.processing;
}

/** How many tasks a group has had so far, finished and not. */
export function size(group: Group): number {
  return group.done + unfinished(group.tasks);
}

/** The share that is finished; 1 of a group that has none. */
export function share(group: Group): number {
  const all = size(group);
  return all === 0 ? 1 : group.done / all;
}

/** Rates of things that count up, by name. */
export class Pace<K> {
  private readonly samples = new Map<K, { at: number; done: number }[]>();

  /** These are the counts now. What is not among them is forgotten. */
  take(at: number, counts: Iterable<readonly [K, number]>): void {
    const seen = new Set<K>();
    for (const [key, done] of counts) {
      seen.add(key);
      let samples = this.samples.get(key);
      if (samples === undefined || done < samples[samples.length - 1].done) {
        samples = [];
        this.samples.set(key, samples);
      }
      if (samples.length === 0 || at > samples[samples.length - 1].at) {
        samples.push({ at, done });
      }
      // one that is older than the window stays, so that the window is full
      while (samples.length > 2 && samples[1].at <= at - WINDOW) {
        samples.shift();
      }
    }
    for (const key of this.samples.keys()) {
      if (!seen.has(key)) {
        this.samples.delete(key);
      }
    }
  }

  /** How many a second lately; null: not yet known. */
  rate(key: K): number | null {
    const samples = this.samples.get(key);
    if (!samples || samples.length < 2) {
      return null;
    }
    const [first, last] = [samples[0], samples[samples.length - 1]];
    return last.at - first.at < LEAST ? null : (last.done - first.done) / (last.at - first.at);
  }

  /** Seconds until so many more are done, at the rate of late; null: nobody knows. */
  left(key: K, more: number): number | null {
    const rate = this.rate(key);
    return more === 0 ? 0 : rate === null || rate <= 0 ? null : more / rate;
  }
}
