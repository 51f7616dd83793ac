/** The model of the flame graph: places, sums, searches, and names that stay while the profile grows. */
import { describe, expect, it } from 'vitest';
import type { FlameNode } from '../../src/protocol/snapshots';
import type { Frame } from '../../src/panes/profile/flame';
import { frameAt, frames, functionRows, matches, originOf, walk } from '../../src/panes/profile/flame';
import { exact, shortFile } from '../../src/panes/profile/profile';
import { finder } from '../../src/panes/rows';

const node = (name: string, count: number, ...children: FlameNode[]): FlameNode => ({ name, file: `/home/me/${name}.py`, line: 1, count, children });
const tree = (): FlameNode => node('all', 100, node('work', 60, node('inner', 40), node('work', 15, node('inner', 5))), node('rest', 30));
const named = (all: readonly Frame[], ...path: string[]): Frame => {
  let frame = all[0];
  for (const name of path) {
    const next = frame.children.find(child => child.name === name);
    if (!next) {
      throw new Error(`no ${name} in ${frame.name}`);
    }
    frame = next;
  }
  return frame;
};

describe('frames', () => {
  const all = frames(tree());

  it('are as wide as their samples, inside of their callers, in the order of their names', () => {
    expect(all[0]).toMatchObject({ x0: 0, x1: 1, depth: 0, own: 10 });
    const [rest, work] = all[0].children;
    expect([rest.name, work.name]).toEqual(['rest', 'work']);
    expect(rest.x1 - rest.x0).toBeCloseTo(0.3, 9);
    expect(work.x1 - work.x0).toBeCloseTo(0.6, 9);
    expect(work.own).toBe(5);
    for (const frame of all) {
      for (const child of frame.children) {
        expect(child.x0).toBeGreaterThanOrEqual(frame.x0 - 1e-9);
        expect(child.x1).toBeLessThanOrEqual(frame.x1 + 1e-9);
        expect(child.depth).toBe(frame.depth + 1);
      }
    }
  });

  it('are found again in a profile that has grown, or the nearest above them', () => {
    const { path } = named(all, 'work', 'inner');
    const grown = frames(node('all', 200, node('new', 90), node('work', 90, node('inner', 80))));
    expect(frameAt(grown, path)).toBe(named(grown, 'work', 'inner'));
    expect(frameAt(frames(node('all', 9, node('work', 4))), path).name).toBe('work');
    expect(frameAt(frames(node('all', 9)), path).name).toBe('all');
    expect(frameAt(grown, '')).toBe(grown[0]);
  });

  it('of nothing are the root alone', () => {
    const none = frames(node('all', 0));
    expect(none.length).toBe(1);
    expect(functionRows(none)).toEqual([]);
    expect(matches(none, () => true).share).toBe(0);
  });
});

describe('functions', () => {
  it('have own times and totals; recursive calls count once', () => {
    const rows = new Map(functionRows(frames(tree())).map(row => [row.name, [row.own, row.total]]));
    expect(rows.get('work')).toEqual([5 + 10, 60]);
    expect(rows.get('inner')).toEqual([45, 45]);
    expect(rows.has('all')).toBe(false);
  });
});

describe('a search', () => {
  it('says which share of the samples is in what it finds', () => {
    const all = frames(tree());
    expect(matches(all, finder('inner')).share).toBeCloseTo(0.45, 9);
    expect(matches(all, finder('work')).share).toBeCloseTo(0.6, 9);
    expect(matches(all, finder('work')).frames.size).toBe(2);
    expect(matches(all, finder('nowhere')).frames.size).toBe(0);
  });
});

describe('arrow keys', () => {
  it('lead to the caller, to what took longest, and to neighbours', () => {
    const all = frames(tree());
    const work = named(all, 'work');
    expect(walk(all[0], 'ArrowDown')).toBe(work);
    expect(walk(work, 'ArrowDown').name).toBe('inner');
    expect(walk(work, 'ArrowUp')).toBe(all[0]);
    expect(walk(all[0], 'ArrowUp')).toBe(all[0]);
    expect(walk(work, 'ArrowLeft').name).toBe('rest');
    expect(walk(work, 'ArrowRight')).toBe(work);
  });
});

describe('files', () => {
  it('belong to the user, to a package, or to Python', () => {
    expect(originOf('/home/me/work.py')).toBe('');
    expect(originOf('/tmp/ipykernel_1/123.py')).toBe('');
    expect(originOf('/venv/lib/python3.11/site-packages/numpy/fft/_pocketfft.py')).toBe('numpy');
    expect(originOf('C:\\env\\Lib\\site-packages\\six.py')).toBe('six');
    expect(originOf('/usr/lib/python3.13t/threading.py')).toBe('python');
    expect(originOf('<frozen importlib._bootstrap>')).toBe('python');
  });

  it('are named shortly', () => {
    expect(shortFile('/venv/lib/python3.11/site-packages/numpy/fft/_pocketfft.py')).toBe('numpy/fft/_pocketfft.py');
    expect(shortFile('/home/me/project/work.py')).toBe('project/work.py');
    expect(exact(0.0123)).toBe('1.2 %');
  });
});
