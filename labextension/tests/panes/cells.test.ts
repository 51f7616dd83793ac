/** Cells in words and bars. */
import { describe, expect, it } from 'vitest';
import type { CellRow } from '../../src/protocol/snapshots';
import { cellParts, cellSize, cellState, cellTone, notebookName } from '../../src/panes/cells';

const cell = (change: Partial<CellRow>, tasks: Partial<CellRow['tasks']> = {}): CellRow => ({
  origin: 'o',
  kernel: 'k',
  session: 'work/a.ipynb',
  cell_id: 'c',
  number: 3,
  title: 'x',
  submitted: false,
  done: 0,
  started_at: 0,
  ended_at: null,
  running_s: 0,
  ...change,
  tasks: { waiting: 0, queued: 0, processing: 0, memory: 0, erred: 0, released: 0, ...tasks },
});

describe('a cell', () => {
  it('is as large as what is done and what is not', () => {
    expect(cellSize(cell({ done: 6 }, { waiting: 1, queued: 2, processing: 3, memory: 4, released: 2 }))).toBe(12);
  });

  it('has a bar of what succeeded, what failed and what runs', () => {
    const parts = cellParts(cell({ done: 5 }, { processing: 5, erred: 1 })).map(([share]) => share);
    expect(parts).toEqual([0.4, 0.1, 0.5]);
    expect(cellParts(cell({})).map(([share]) => share)).toEqual([0, 0, 0]);
  });

  it('says how it is doing', () => {
    expect(cellState(cell({}, { queued: 4 }))).toBe('waiting');
    expect(cellState(cell({}, { processing: 4 }))).toBe('4 assigned');
    expect(cellState(cell({}, { processing: 4, erred: 2 }))).toBe('2 failed so far');
    expect(cellState(cell({ ended_at: 1 }))).toBe('done');
    expect(cellState(cell({ ended_at: 1 }, { erred: 2 }))).toBe('2 failed');
    expect([cellTone(cell({}, { processing: 1 })), cellTone(cell({ ended_at: 1 })), cellTone(cell({}, { erred: 1 }))]).toEqual([
      'jf-work',
      'jf-good',
      'jf-bad',
    ]);
  });

  it('names its notebook', () => {
    expect([notebookName('work/a.ipynb'), notebookName('b.ipynb'), notebookName('')]).toEqual(['a.ipynb', 'b.ipynb', '']);
  });
});
