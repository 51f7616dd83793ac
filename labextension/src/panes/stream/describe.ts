/** What stands at a point of the task stream, in words: for the tooltip, and for those who hear it. */
import { bytes, clock, count, percent, seconds, short } from '../text';
import type { Scene, Hit } from './scene';

export interface Description {
  title: string;
  /** The name whose colour stands before the title; -1: none. */
  name: number;
  facts: [noun: string, value: string][];
  bad: boolean;
}

/** The place of a hit: `node3, thread 1`. */
export function place(scene: Scene, hit: Hit): string {
  const band = scene.bands.list[hit.band];
  return band.thread < 0 ? `${band.worker}, ${band.threads} threads` : `${band.worker}, thread ${band.thread}`;
}

/** A moment with the digits that matter in this stretch of time: `14:03:22.118`. */
export function moment(scene: Scene, time: number, span = scene.view.span): string {
  const at = scene.store.base + time;
  const digits = span > 60 ? 0 : span > 1 ? 2 : 6;
  const part = digits === 0 ? '' : (at - Math.floor(at)).toFixed(digits).slice(1);
  return clock(part.length > 1 && part.startsWith('.') ? Math.floor(at) : at) + part;
}

export function describe(scene: Scene, hit: Hit): Description {
  const { store } = scene;
  const facts: [string, string][] = [];
  if (hit.row) {
    const { row } = hit;
    const name = store.names[row.name];
    const took = row.stop - row.start;
    const title = row.count > 1 ? `${count(row.count)} × ${name}` : name;
    if (row.kind === 0) {
      facts.push([row.count > 1 ? 'over' : 'took', seconds(took)]);
      if (row.count > 1) {
        facts.push(['each', seconds(row.busy / row.count)], ['busy', percent(took > 0 ? row.busy / took : 1)]);
      }
    } else {
      facts.push(['took', seconds(took)]);
    }
    if (row.nbytes > 0) {
      facts.push([row.kind === 0 ? 'result' : 'moved', bytes(row.nbytes)]);
      if (row.kind !== 0 && row.busy > 0) {
        facts.push(['rate', `${bytes(row.nbytes / row.busy)}/s`]);
      }
    }
    if (row.erred > 0) {
      facts.push(['failed', row.count > 1 ? count(row.erred) : 'yes']);
    }
    facts.push(['from', moment(scene, row.start)], ['on', place(scene, hit)]);
    if (row.key) {
      facts.push(['key', row.key]);
    }
    return { title, name: row.name, facts, bad: row.erred > 0 };
  }
  if (hit.open) {
    facts.push(['running for', seconds(store.now - hit.open.start)], ['from', moment(scene, hit.open.start)], ['on', place(scene, hit)]);
    if (hit.open.key) {
      facts.push(['key', hit.open.key]);
    }
    return { title: store.names[hit.open.name], name: hit.open.name, facts, bad: false };
  }
  if (hit.many) {
    const { many } = hit;
    const whole = many.names.reduce((sum, [, busy]) => sum + busy, 0) || 1;
    for (const [name, busy] of many.names.slice(0, 4)) {
      facts.push([store.names[name], percent(busy / whole)]);
    }
    if (many.names.length > 4) {
      facts.push([`${many.names.length - 4} others`, percent(many.names.slice(4).reduce((sum, [, busy]) => sum + busy, 0) / whole)]);
    }
    if (many.erred > 0) {
      facts.push(['failed', count(many.erred)]);
    }
    facts.push(['on', place(scene, hit)]);
    return { title: `${short(many.calls)} calls in ${seconds(many.seconds)}`, name: -1, facts, bad: many.erred > 0 };
  }
  return {
    title: 'idle',
    name: -1,
    facts: [
      ['at', moment(scene, hit.time)],
      ['on', place(scene, hit)],
    ],
    bad: false,
  };
}

/** One sentence for a screen reader. */
export function sentence(description: Description): string {
  return [description.title, ...description.facts.filter(([noun]) => noun !== 'key').map(([noun, value]) => `${noun} ${value}`)].join(', ');
}

/** All that is in sight, in a sentence. */
export function summary(scene: Scene): string {
  const { store, view, bands } = scene;
  const names = store.totals
    .map((totals, i) => [i, totals.busy] as const)
    .filter(([i]) => store.totals[i].kind === 0)
    .sort((a, b) => b[1] - a[1])
    .slice(0, 3)
    .map(([i, busy]) => `${store.names[i]} ${seconds(busy)}`);
  if (store.size === 0 && store.open.length === 0) {
    return 'Nothing has run since somebody looks.';
  }
  const shown = `${moment(scene, view.from, 100)} to ${moment(scene, view.to, 100)}${view.live ? ', live' : ''}`;
  const failed = store.totals.reduce((sum, totals) => sum + totals.erred, 0);
  return `${shown}. ${bands.list.length} rows, ${count(store.calls)} calls, ${failed === 0 ? 'none' : count(failed)} failed. Most time: ${names.join(', ')}.`;
}
