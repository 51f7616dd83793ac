/** The pane "cells": which notebook cells are at work, how far each is, and a way to them. */
import type { CellRow } from '../protocol/snapshots';
import type { Pane, PaneContext, PaneKind } from './pane';
import type { Column, Part } from './table';
import { el } from './dom';
import { TablePane } from './table-pane';
import { clock, count, percent, seconds, short } from './text';
import { button, Menu } from './toolbar';

/** How many tasks a cell has, finished ones included. A task that has failed, or whose result was given back, is finished. */
export function cellSize(row: CellRow): number {
  return row.done + unfinished(row);
}

function unfinished(row: CellRow): number {
  return row.tasks.waiting + row.tasks.queued + row.tasks.processing;
}

/** The parts of its bar: finished, failed, at work. */
export function cellParts(row: CellRow): Part[] {
  const all = Math.max(1, cellSize(row));
  const erred = Math.min(row.done, row.tasks.erred);
  return [
    [(row.done - erred) / all, 'jf-part-good'],
    [erred / all, 'jf-part-a jf-bad'],
    [row.tasks.processing / all, 'jf-part-a'],
  ];
}

export function cellTone(row: CellRow): string {
  return row.tasks.erred ? 'jf-bad' : row.ended_at !== null ? 'jf-good' : row.tasks.processing ? 'jf-work' : 'jf-idle';
}

/** What is going on with it, in a word or two. */
export function cellState(row: CellRow): string {
  const { processing, erred } = row.tasks;
  if (row.ended_at !== null) {
    return erred ? `${count(erred)} failed` : 'done';
  }
  return erred ? `${count(erred)} failed so far` : processing ? `${count(processing)} assigned` : 'waiting';
}

/** `analysis.ipynb` of a path. */
export function notebookName(session: string): string {
  return session.slice(session.lastIndexOf('/') + 1);
}

interface Now {
  at: number;
  go?(row: CellRow): void;
}

function elapsed(row: CellRow, now: Now): number {
  return Math.max(0, (row.ended_at ?? now.at) - row.started_at);
}

function columns(now: Now): readonly Column<CellRow>[] {
  return [
    {
      name: 'number',
      title: 'In',
      width: 74,
      by: row => row.number,
      fill: (cell, row) => cell.dotted(row.number ? `[${row.number}]` : '–', cellTone(row), cellState(row)),
    },
    {
      name: 'title',
      title: 'Cell',
      width: 120,
      grow: 3,
      by: row => row.title,
      fill: (cell, row) => {
        cell.text(row.title, 'jf-code', row.title);
      },
    },
    {
      name: 'session',
      title: 'Notebook',
      width: 110,
      grow: 0.8,
      spare: 5,
      by: row => row.session,
      fill: (cell, row) => cell.text(notebookName(row.session) || '–', row.session ? 'jf-soft' : 'jf-faint', row.session),
    },
    {
      name: 'done',
      title: 'Done',
      tip: 'Finished tasks; failed ones in red, those at work in blue',
      width: 180,
      text: 100,
      grow: 2,
      number: true,
      by: row => row.done / Math.max(1, cellSize(row)),
      fill: (cell, row) =>
        cell.bar(cellParts(row), `${short(row.done)} / ${short(cellSize(row))}`, '', percent(row.done / Math.max(1, cellSize(row)))),
    },
    {
      name: 'state',
      title: 'State',
      width: 114,
      spare: 3,
      by: row => unfinished(row),
      fill: (cell, row) => cell.text(cellState(row), row.tasks.erred ? 'jf-bad' : row.ended_at === null ? '' : 'jf-soft'),
    },
    {
      name: 'started',
      title: 'Began',
      width: 76,
      number: true,
      spare: 4,
      by: row => row.started_at,
      fill: (cell, row) => cell.text(clock(row.started_at), 'jf-soft'),
    },
    {
      name: 'elapsed',
      title: 'Took',
      tip: 'From its first task to its last, or until now',
      width: 96,
      number: true,
      spare: 1,
      by: row => elapsed(row, now),
      fill: (cell, row) => cell.text(seconds(Math.max(0.1, elapsed(row, now)))),
    },
    {
      name: 'running',
      title: 'Work',
      tip: 'The time of its tasks together',
      width: 96,
      number: true,
      spare: 2,
      by: row => row.running_s,
      fill: (cell, row) => cell.text(seconds(row.running_s)),
    },
    ...(now.go
      ? [
          {
            name: 'go',
            title: '',
            spare: 1.5,
            width: 68,
            fill: (cell, row) => {
              const go = cell.own(() => {
                const made = button('Go to', 'Show the cell in its notebook', () => undefined);
                made.classList.add('jf-quiet', 'jf-small');
                made.tabIndex = -1; // Enter on the row does the same
                return made;
              });
              go.hidden = !row.cell_id;
              go.onclick = () => now.go?.(row);
            },
          } satisfies Column<CellRow>,
        ]
      : []),
  ];
}

class CellsPane extends TablePane<CellRow> {
  private readonly notebooks: Menu;
  private notebook: string;

  constructor(context: PaneContext) {
    const go = context.goToCell?.bind(context);
    const now: Now = { at: 0, go: go && (row => go(row.session, row.cell_id)) };
    super(context, 'cells', {
      label: 'Cells that have submitted tasks',
      columns: columns(now),
      order: null,
      search: 'Find cells',
      empty: 'No cell has submitted tasks yet.',
      rowHeight: 28,
      keyOf: row => row.origin,
      textOf: row => `${row.title} [${row.number}] ${row.session} ${cellState(row)} ${row.submitted ? 'submitted' : ''}`,
    });
    this.notebook = typeof context.memory.notebook === 'string' ? context.memory.notebook : '';
    this.notebooks = new Menu('Notebook', value => {
      this.notebook = value;
      context.remember({ notebook: value });
      this.refilter();
    });
    this.tools.insertBefore(this.notebooks.node, this.tools.lastChild);
    this.refilter();
    this.watch('cells', data => {
      now.at = data.at;
      const sessions = [...new Set(data.rows.map(row => row.session).filter(Boolean))].sort();
      if (this.notebook && !sessions.includes(this.notebook)) {
        sessions.push(this.notebook);
      }
      this.notebooks.node.hidden = sessions.length < 2 && !this.notebook;
      this.notebooks.set([['', 'All notebooks'], ...sessions.map(session => [session, notebookName(session)] as const)], this.notebook);
      const working = data.rows.filter(row => row.ended_at === null).length;
      const failed = data.rows.filter(row => row.tasks.erred > 0).length;
      this.facts.set([
        [count(data.rows.length), data.rows.length === 1 ? 'cell' : 'cells'],
        [count(working), 'at work'],
        ...(failed ? ([[count(failed), 'with failures', 'jf-bad']] as const) : []),
      ]);
      this.take(data.rows);
    });
  }

  protected override wanted(row: CellRow): boolean {
    return !this.notebook || row.session === this.notebook;
  }

  protected override opened(row: CellRow): void {
    if (row.cell_id) {
      this.context.goToCell?.(row.session, row.cell_id);
    }
  }

  protected override marked(row: CellRow | null): void {
    if (row === null) {
      this.detail.close();
      return;
    }
    const actions = [];
    const go = this.context.goToCell?.bind(this.context);
    if (go && row.cell_id) {
      actions.push(button('Go to cell', 'Show it in its notebook (Enter)', () => go(row.session, row.cell_id)));
    }
    this.detail.open(row.number ? `Cell [${row.number}]` : row.title, ...actions);
    this.detail.content(el('pre', '', {}, row.title));
  }

  protected override draw(): void {
    super.draw();
    const row = this.table.marked;
    if (row && this.detail.isOpen) {
      const { tasks } = row;
      this.detail.set([
        ['notebook', row.session || 'none'],
        ['state', cellState(row)],
        ['done', `${count(row.done)} of ${count(cellSize(row))} tasks`],
        ['waiting', count(tasks.waiting + tasks.queued)],
        ['running', count(tasks.processing)],
        ['held', `${count(tasks.memory)} results`],
        ['failed', count(tasks.erred)],
        ['began', clock(row.started_at)],
        ['ended', row.ended_at === null ? 'not yet' : clock(row.ended_at)],
        ['work', seconds(row.running_s)],
        ['kind', row.submitted ? 'a %%submit cell' : row.session ? 'a cell' : 'a client outside of notebooks'],
      ]);
    }
  }
}

export const CELLS: PaneKind = {
  name: 'cells',
  title: 'Cells',
  caption: 'The notebook cells that are at work, how far each is, and a way to them',
  icon: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16"><g class="jp-icon3 jp-icon-selectable" fill="#616161"><path d="M5 2.5h9v4.6H5zM5 8.9h9v4.6H5z" fill-opacity=".3"/><path d="M14.2 2a.3.3 0 0 1 .3.3v5a.3.3 0 0 1-.3.3H4.8a.3.3 0 0 1-.3-.3v-5a.3.3 0 0 1 .3-.3zm-.7 1h-8v3.6h8zM14.2 8.4a.3.3 0 0 1 .3.3v5a.3.3 0 0 1-.3.3H4.8a.3.3 0 0 1-.3-.3v-5a.3.3 0 0 1 .3-.3zm-.7 1h-8V13h8z"/><path d="M1.5 3.2v3.2L3.4 4.8zM1.5 9.6v3.2l1.9-1.6z"/></g></svg>`,
  words: ['cells', 'notebook', 'submit', 'progress', 'go to cell'],
  create: (context: PaneContext): Pane => new CellsPane(context),
};
