/** Live lists: an order that stands still while one reads, searches, columns that fit. */
import { describe, expect, it } from 'vitest';
import { compare, finder, Rows } from '../../src/panes/rows';
import { fitting } from '../../src/panes/table';

interface Row {
  name: string;
  cpu: number;
}

const row = (name: string, cpu: number): Row => ({ name, cpu });
const names = (rows: Rows<Row>): string => rows.shown.map(one => one.name).join(' ');

function byCpu(): Rows<Row> {
  const rows = new Rows<Row>(one => one.name);
  rows.orderBy({ by: one => one.cpu, down: true }, 0);
  rows.set([row('a', 1), row('b', 3), row('c', 2)], 0);
  return rows;
}

describe('a live list', () => {
  it('is in order when the first rows come, however soon', () => {
    expect(names(byCpu())).toBe('b c a');
  });

  it('shows new figures at once and in a new order a second later', () => {
    const rows = byCpu();
    rows.set([row('a', 9), row('b', 3), row('c', 2)], 500);
    expect(names(rows)).toBe('b c a');
    expect(rows.shown[2].cpu).toBe(9);
    expect(rows.behind).toBe(true);
    rows.set([row('a', 9), row('b', 3), row('c', 2)], 1000);
    expect(names(rows)).toBe('a b c');
    expect(rows.behind).toBe(false);
  });

  it('keeps its order while it is held, without rows that are gone, with new ones at the end', () => {
    const rows = byCpu();
    rows.held = true;
    rows.set([row('d', 99), row('a', 9), row('c', 2)], 5000);
    expect(names(rows)).toBe('c a d');
    rows.held = false;
    rows.sort(6000);
    expect(names(rows)).toBe('d a c');
  });

  it('leaves rows of one value in the order in which they came', () => {
    const rows = new Rows<Row>(one => one.name);
    rows.orderBy({ by: one => one.cpu, down: true }, 0);
    rows.set([row('b', 1), row('a', 1), row('c', 1)], 0);
    expect(names(rows)).toBe('b a c');
  });

  it('shows what a filter wants, also of what comes later', () => {
    const rows = byCpu();
    rows.filter(one => one.cpu > 1, 10);
    expect(names(rows)).toBe('b c');
    rows.set([row('a', 5), row('b', 0), row('c', 2)], 20);
    expect(names(rows)).toBe('c a');
    expect(rows.total).toBe(3);
  });
});

describe('words', () => {
  it('are compared as people count', () => {
    expect(['w-10', 'w-2', 'W-1'].sort(compare)).toEqual(['W-1', 'w-2', 'w-10']);
    expect(compare(1, 'a')).toBeLessThan(0);
  });

  it('are found in any order, in any case', () => {
    const found = finder(' Node paused ');
    expect(found('tcp://x node03 PAUSED')).toBe(true);
    expect(found('node03 running')).toBe(false);
    expect(finder('')('anything')).toBe(true);
  });
});

describe('columns', () => {
  const column = (name: string, width: number, spare?: number) => ({ name, title: name, width, spare, fill: () => undefined });
  const all = [column('name', 100), column('host', 80, 1), column('pid', 60, 9), column('cpu', 100)];

  it('leave a narrow table in their order, but never those that cannot be spared', () => {
    const kept = (width: number): string =>
      fitting(all, width)
        .map(one => one.name)
        .join(' ');
    expect(kept(340)).toBe('name host pid cpu');
    expect(kept(339)).toBe('name host cpu');
    expect(kept(200)).toBe('name cpu');
    expect(kept(10)).toBe('name cpu');
  });
});
