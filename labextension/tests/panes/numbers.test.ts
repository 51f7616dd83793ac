/** The models of progress, load and overview, and the colours of names. */
import { describe, expect, it, vi } from 'vitest';
import type { Group, Load, TaskCounts } from '../../src/protocol/snapshots';
import { tileWords } from '../../src/panes/overview';
import { Pace, share, size } from '../../src/panes/pace';
import { about, groupParts, groupState } from '../../src/panes/progress';
import { MEASURES, Samples } from '../../src/panes/samples';
import { runs } from '../../src/panes/spark';
import { SyntheticCluster } from '../harness/synthetic';

const NONE: TaskCounts = { waiting: 0, queued: 0, processing: 0, memory: 0, erred: 0, released: 0 };

function group(tasks: Partial<TaskCounts>, done: number, ended: number | null = null): Group {
  return { id: 1, name: 'f', origin: 'cell', tasks: { ...NONE, ...tasks }, done, started_at: 0, ended_at: ended };
}

describe('a group', () => {
  it('is as large as what is done and what is not', () => {
    const half = group({ waiting: 10, queued: 20, processing: 20, memory: 30, released: 10, erred: 10 }, 50);
    expect([size(half), share(half)]).toEqual([100, 0.5]);
    expect(groupParts(half).map(([length]) => length)).toEqual([0.4, 0.1, 0.2, 0.2]);
    expect(groupState(half)).toBe('10 failed, 20 assigned');
  });

  it('that has nothing is done', () => {
    expect(share(group({}, 0))).toBe(1);
    expect(groupState(group({}, 3, 1))).toBe('done');
    expect(groupState(group({ erred: 2 }, 3, 1))).toBe('2 failed');
    expect(groupState(group({ waiting: 4 }, 0))).toBe('4 waiting');
  });

  it('whose failures were forgotten has no bar that is too long', () => {
    expect(groupParts(group({ erred: 5 }, 2)).reduce((sum, [length]) => sum + length, 0)).toBe(1);
  });
});

describe('the pace', () => {
  it('is that of the last ten seconds', () => {
    const pace = new Pace<string>();
    expect(pace.rate('f')).toBeNull();
    for (let at = 0; at <= 30; at++) {
      pace.take(at, [['f', at < 20 ? 0 : (at - 20) * 5]]);
    }
    expect(pace.rate('f')).toBe(5);
    expect(pace.left('f', 100)).toBe(20);
    expect(pace.left('f', 0)).toBe(0);
  });

  it('is not known at once, nor of something that stands still', () => {
    const pace = new Pace<string>();
    pace.take(0, [['f', 0]]);
    pace.take(0.1, [['f', 100]]);
    expect(pace.rate('f')).toBeNull();
    for (let at = 1; at < 20; at++) {
      pace.take(at, [['f', 100]]);
    }
    expect(pace.left('f', 5)).toBeNull();
  });

  it('begins anew when a count does, and is forgotten with its group', () => {
    const pace = new Pace<string>();
    pace.take(0, [['f', 100]]);
    pace.take(2, [['f', 10]]);
    expect(pace.rate('f')).toBeNull();
    pace.take(4, [['f', 30]]);
    expect(pace.rate('f')).toBe(10);
    pace.take(5, []);
    expect(pace.rate('f')).toBeNull();
  });

  it('tells a time to come without digits that nobody knows', () => {
    expect([about(0.2), about(7.4), about(41.7), about(125)]).toEqual(['1 s', '7 s', '42 s', '2 min 5 s']);
  });
});

describe('samples', () => {
  function load(at: number[], value: number, reset = false): Load {
    const columns = Object.fromEntries(MEASURES.map(measure => [measure, at.map(() => value)]));
    return { reset, at, ...columns } as unknown as Load;
  }

  it('are added up, and begin anew with a reset', () => {
    const samples = new Samples();
    samples.take(load([1, 2, 3], 5, true));
    samples.take(load([3, 4], 6));
    expect([samples.at, samples.column('cpu')]).toEqual([
      [1, 2, 3, 4],
      [5, 5, 5, 6],
    ]);
    samples.take(load([9], 1, true));
    expect(samples.at).toEqual([9]);
  });

  it('have a hole where nobody has looked', () => {
    const samples = new Samples();
    samples.take(load([1, 100], 5, true));
    expect(samples.column('cpu')).toEqual([5, null, 5]);
    expect([samples.value('cpu', 50), samples.value('cpu', 0), samples.value('cpu')]).toEqual([5, null, 5]);
  });

  it('are found by their times', () => {
    const samples = new Samples();
    samples.take(
      load(
        Array.from({ length: 10 }, (_, i) => i),
        2,
        true,
      ),
    );
    expect(samples.between(3, 5)).toEqual([2, 7]);
    expect(samples.between(-5, 50)).toEqual([0, 10]);
    expect([samples.most('cpu', 3), samples.most('cpu', 99)]).toEqual([2, 0]);
  });

  it('are an hour at most', () => {
    const samples = new Samples();
    for (let i = 0; i < 200; i++) {
      samples.take(
        load(
          Array.from({ length: 100 }, (_, n) => (i * 100 + n) / 4),
          1,
        ),
      );
    }
    expect(samples.length).toBeLessThanOrEqual(14_400 * 1.125);
    expect(samples.newest).toBe(19_999 / 4);
    expect(samples.column('sent').length).toBe(samples.length);
  });
});

describe('a small line', () => {
  it('is in pieces where there are holes, and reaches the left end', () => {
    expect(runs([0, 1, 2, 3, 4, 5], [9, 1, null, 3, 4, 5], 0.5, 4)).toEqual([
      [
        [0, 9],
        [1, 1],
      ],
      [
        [3, 3],
        [4, 4],
      ],
    ]);
  });
});

describe('the tiles', () => {
  it('have words for a cluster that is at work, and for one that is empty', () => {
    const samples = new Samples();
    const busy = new SyntheticCluster();
    samples.take(busy.load(busy.options.now, null));
    const words = tileWords(busy.summary(busy.options.now), samples);
    expect(words.workers).toMatchObject({ value: '12', unit: 'workers' });
    expect(words.cpu.unit).toBe('of 24 threads');
    const empty = new SyntheticCluster({ empty: true });
    const none = tileWords(empty.summary(empty.options.now), new Samples());
    expect([none.memory.unit, none.cpu.note, none.scheduler.value]).toEqual(['', 'no threads', '–']);
  });
});

describe('the colour of a name', () => {
  it('stays, and is not that of another as long as there are enough', async () => {
    vi.resetModules(); // names that other tests have used have colours of their own
    const { colourOf } = await import('../../src/panes/theme');
    const names = Array.from({ length: 16 }, (_, i) => `function_${i}`);
    const colours = names.map(name => colourOf(name, false));
    expect(new Set(colours).size).toBe(16);
    expect(names.map(name => colourOf(name, false))).toEqual(colours);
    expect(new Set(names.map(name => colourOf(name, true))).size).toBe(16);
  });
});
