/** Histograms of durations, and what is read from them. */
import { describe, expect, it } from 'vitest';
import { bucketBounds, bucketRange, decadeText, quantile, timingFacts, timingRows } from '../../src/panes/timings';
import { SyntheticCluster } from '../harness/synthetic';

const bounds = [1, 10, 100];

describe('timings', () => {
  const data = new SyntheticCluster({ now: 1_795_000_000 }).timings(1_795_000_000);
  const rows = timingRows(data);

  it('are one object a function', () => {
    expect(rows.length).toBe(data.name.length);
    expect(rows[0].histogram).toEqual(data.histogram[0]);
  });

  it('share one range of buckets', () => {
    const row = (histogram: number[]) => ({ ...rows[0], histogram });
    expect(bucketRange([row([0, 0, 3, 0]), row([0, 1, 0, 0])])).toEqual([1, 3]);
    expect(bucketRange([row([0, 0, 0, 0])])).toEqual([0, 0]);
    expect(bucketRange([])).toEqual([0, 0]);
  });

  it('say their quartiles, between the shortest and the longest', () => {
    const facts = new Map(timingFacts(rows[0], data.bounds_s));
    expect(facts.get('median')).toMatch(/^about /);
    expect(new Map(timingFacts({ ...rows[0], histogram: [0, 0] }, data.bounds_s)).get('median')).toBe('–');
  });
});

describe('a histogram', () => {
  it('has open ends', () => {
    expect(bucketBounds(bounds, 0)).toEqual([0, 1]);
    expect(bucketBounds(bounds, 2)).toEqual([10, 100]);
    expect(bucketBounds(bounds, 3)).toEqual([100, Infinity]);
  });

  it('tells quantiles between the bounds of a bucket, by their logarithms', () => {
    expect(quantile(bounds, [0, 0, 4, 0], 0.5)).toBeCloseTo(Math.sqrt(1000), 6);
    expect(quantile(bounds, [0, 2, 2, 0], 0.5)).toBeCloseTo(10, 6);
    expect(quantile(bounds, [0, 0, 0, 1], 1)).toBeCloseTo(100 * 10 ** 0.25, 6);
    expect(quantile(bounds, [0, 0, 0, 0], 0.5)).toBeNaN();
  });

  it('has decades below it', () => {
    expect([-6, -5, -3, -1, 0, 2].map(decadeText)).toEqual(['1 µs', '10 µs', '1 ms', '100 ms', '1 s', '100 s']);
  });
});
