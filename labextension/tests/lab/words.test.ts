/** Small models of the sidebar: searching, ends of cells, log lines, code for new notebooks. */
import { describe, expect, it } from 'vitest';
import { attachCode } from '../../src/lab/attach';
import { checkAddress } from '../../src/lab/startform';
import { linesOf } from '../../src/lab/loglines';
import { Endings, nameOf } from '../../src/lab/notices';
import { matching } from '../../src/lab/search';
import type { CellRow } from '../../src/protocol/snapshots';

function row(change: Partial<CellRow> = {}): CellRow {
  const tasks = { waiting: 0, queued: 0, processing: 0, memory: 1, erred: 0, released: 0 };
  return {
    ...{
      origin: 'o1',
      kernel: 'k1',
      session: '/home/me/study.ipynb',
      cell_id: 'c1',
      number: 3,
      title: 'x = fit(data)',
      submitted: true,
      tasks,
      done: 1,
    },
    ...{ started_at: 100, ended_at: null, running_s: 1 },
    ...change,
  };
}

const mine = new Set(['k1']);

describe('the end of a cell', () => {
  it('is told once, if it was seen', () => {
    const endings = new Endings();
    expect(endings.take({ at: 1, rows: [row()] }, mine, 0)).toEqual([]);
    const [ending] = endings.take({ at: 2, rows: [row({ ended_at: 130 })] }, mine, 0);
    expect([ending.took_s, ending.failed]).toEqual([30, false]);
    expect(endings.take({ at: 3, rows: [row({ ended_at: 130 })] }, mine, 0)).toEqual([]);
  });

  it('is no news if it had ended before, was short, was not submitted, or is another page’s', () => {
    const rows = [row({ origin: 'short' }), row({ origin: 'plain', submitted: false }), row({ origin: 'other', kernel: 'k2' })];
    const endings = new Endings();
    endings.take({ at: 1, rows }, mine, 10);
    const ended = rows.map(one => ({ ...one, ended_at: one.origin === 'short' ? 105 : 200 }));
    expect(endings.take({ at: 2, rows: [...ended, row({ origin: 'old', ended_at: 150 })] }, mine, 10)).toEqual([]);
  });

  it('is a failure when a task has failed', () => {
    const endings = new Endings();
    endings.take({ at: 1, rows: [row()] }, mine, 0);
    const tasks = { ...row().tasks, erred: 1 };
    expect(endings.take({ at: 2, rows: [row({ ended_at: 101, tasks })] }, mine, 0)[0].failed).toBe(true);
  });

  it('has a name', () => {
    expect(nameOf(row())).toBe('In [3] of study.ipynb (x = fit(data))');
    expect(nameOf(row({ number: 0, session: '', title: 'y'.repeat(99) }))).toBe(`${'y'.repeat(59)}…`);
  });
});

describe('a search', () => {
  const panes = [
    ['Task stream', 'gantt', 'What ran where'],
    ['Workers', 'cpu', 'memory'],
    ['Memory', 'ram', 'By worker'],
  ];
  const found = (query: string): string[] => matching(panes, query, pane => pane).map(([title]) => title);

  it('finds beginnings of words, titles first', () => {
    expect(found('')).toEqual(['Task stream', 'Workers', 'Memory']);
    expect(found('mem')).toEqual(['Memory', 'Workers']);
    expect(found('STR ta')).toEqual(['Task stream']);
    expect(found('tream')).toEqual([]);
  });
});

describe('log lines', () => {
  it('stand under who wrote them', () => {
    const logs = { output: ['hello'], scheduler: [['INFO', 'up\nand well'] as [string, string]], workers: { w1: [] }, errors: ['w2: silent'] };
    expect(linesOf(logs)).toEqual(['output', '  hello', '', 'scheduler', '  up', '  and well', '', 'could not be had', '  w2: silent']);
    expect(linesOf({})).toEqual([]);
  });
});

describe('what is typed and sent', () => {
  it('is an address', () => {
    expect(['tls://10.0.0.1:40123', ' tcp://head:1 '].map(checkAddress)).toEqual(['', '']);
    expect(['', 'head:1', 'http://head:80', 'tcp://head'].map(text => checkAddress(text) !== '')).toEqual([true, true, true, true]);
  });

  it('is one line of Python for a new notebook, with any name', () => {
    expect(attachCode('a "b"')).toContain(String.raw`join("a \"b\"", globals())`);
  });
});
