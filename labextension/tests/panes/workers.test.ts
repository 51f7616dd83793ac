/** What is made of the figures of workers: rows, sums, scales, columns of the skyline, histories. */
import { describe, expect, it } from 'vitest';
import { History } from '../../src/panes/history';
import { spans } from '../../src/panes/skyline';
import { logText, stacksText, tasksText } from '../../src/panes/worker-detail';
import { memoryParts, memoryScale, memoryTone, niceCeiling, Scale, workerRows, workerTotals } from '../../src/panes/worker-rows';
import { SyntheticCluster } from '../harness/synthetic';

const now = 1_795_000_000;
const rows = (workers = 40) => workerRows(new SyntheticCluster({ workers, now }).workers(now));

describe('workers', () => {
  it('have results that are never more than the memory they are in', () => {
    const data = new SyntheticCluster({ workers: 2, now }).workers(now);
    data.memory = [100, 100];
    data.managed = [140, 60];
    expect(workerRows(data).map(row => [row.managed, row.unmanaged])).toEqual([
      [100, 0],
      [60, 40],
    ]);
  });

  it('are summed up', () => {
    const all = workerTotals(rows());
    expect([all.workers, all.threads, all.limit]).toEqual([40, 80, 40 * 8e9]);
    expect(all.managed + all.unmanaged).toBeCloseTo(all.memory, 3);
    expect([...all.states.values()].reduce((a, b) => a + b)).toBe(40);
    expect(all.fullest).toBeGreaterThan(0.5);
  });

  it('without limits are compared with the largest', () => {
    const some = rows(3).map((row, i) => ({ ...row, limit: 0, memory: 100 * (i + 1) }));
    const end = memoryScale(some);
    expect(some.map(row => row.memory / end(row))).toEqual([1 / 3, 2 / 3, 1]);
    expect(workerTotals(some).limit).toBe(0);
    expect(workerTotals([]).limit).toBe(0);
  });

  it('turn to the colour of need when they are full', () => {
    const [row] = rows(1);
    const tone = (share: number, state = 'running') => memoryTone({ ...row, state, memory: share * row.limit });
    expect([tone(0.5), tone(0.8), tone(0.96), tone(0.1, 'paused')]).toEqual(['', 'jf-warn', 'jf-bad', 'jf-warn']);
    expect(memoryParts({ ...row, memory: 10, managed: 4, unmanaged: 6, limit: 100, state: 'running' }, 100).map(([share]) => share)).toEqual([
      0.04, 0.06,
    ]);
  });
});

describe('scales', () => {
  it('end at 1, 2 or 5', () => {
    expect([0, 0.3, 1, 1.2, 30, 70e6].map(niceCeiling)).toEqual([1, 0.5, 1, 2, 50, 100e6]);
  });

  it('grow at once and give way late', () => {
    const scale = new Scale(1);
    expect([3, 9, 4, 3, 2.5, 1.1, 0].map(value => scale.of(value))).toEqual([5, 10, 10, 10, 10, 2, 2]);
  });
});

describe('the skyline', () => {
  it('has a column for each of some, and shares columns among many', () => {
    expect(spans(3, 300).map(span => [span.from, span.to])).toEqual([
      [0, 1],
      [1, 2],
      [2, 3],
    ]);
    const many = spans(1000, 640);
    expect(many.length).toBe(640);
    expect(many[0].from).toBe(0);
    expect(many[639].to).toBe(1000);
    many.slice(1).forEach((span, i) => expect(span.from).toBe(many[i].to));
    expect(spans(0, 640)).toEqual([]);
  });
});

describe('a history', () => {
  it('forgets what is out of sight, and what comes twice', () => {
    const history = new History(10);
    for (let t = 0; t < 400; t++) {
      history.add(t * 0.25, t, 0);
    }
    history.add(99.75, 1e9, 0);
    expect(history.most).toBe(399);
    expect(history.at.length).toBeLessThan(140);
    expect(history.at[0]).toBeLessThan(90);
  });
});

describe('answers about a worker', () => {
  const answer = (value: unknown) => ({ answers: { 'tcp://w': value }, errors: {} });

  it('are told in words', () => {
    expect(tasksText({ 'tcp://w': ['inc-1', 'inc-2'] }, 'tcp://w')).toBe('inc-1\ninc-2');
    expect(tasksText({}, 'tcp://w')).toMatch('nothing');
    expect(stacksText(answer({ 'inc-1': ['a.py:1 f', 'b.py:2 g'] }))).toBe('inc-1\n  a.py:1 f\n  b.py:2 g');
    expect(stacksText(answer({}))).toMatch('No task');
    expect(
      logText(
        answer([
          ['INFO', 'one'],
          ['WARNING', 'two'],
        ]),
      ),
    ).toBe('one\ntwo');
    expect(logText(answer([]))).toMatch('nothing');
  });

  it('or why there are none', () => {
    expect(() => logText({ answers: {}, errors: { 'tcp://w': 'no answer within 5 s' } })).toThrow('no answer');
  });
});
