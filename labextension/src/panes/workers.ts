/** The pane "workers": who is there, and how each is doing. */
import type { Pane, PaneContext, PaneKind } from './pane';
import type { Fact } from './facts';
import type { Column } from './table';
import type { WorkerRow } from './worker-rows';
import { bytes, count, percent, seconds, short } from './text';
import { memoryParts, memoryScale, memoryTone, nameColumn, workerTotals } from './worker-rows';
import { WorkerPane } from './worker-pane';

/** What the bars are shares of; changes with the workers. */
interface Ends {
  memory(row: WorkerRow): number;
  assigned: number;
}

function columns(ends: Ends): readonly Column<WorkerRow>[] {
  return [
    nameColumn(),
    { name: 'host', title: 'Host', width: 72, grow: 0.6, spare: 5, by: row => row.host, fill: (cell, row) => cell.text(row.host) },
    { name: 'pid', title: 'PID', width: 60, number: true, spare: 9, by: row => row.pid, fill: (cell, row) => cell.text(String(row.pid)) },
    {
      name: 'cpu',
      title: 'CPU',
      tip: 'The bar is a share of its threads; 100 % is one core',
      width: 104,
      text: 48,
      grow: 1,
      number: true,
      by: row => row.cpu,
      fill: (cell, row) => cell.bar([[row.cpu / Math.max(1, row.threads), 'jf-part-a']], percent(row.cpu)),
    },
    {
      name: 'memory',
      title: 'Memory',
      tip: 'Of the process: results, and what is unmanaged (lighter); the bar is a share of its limit',
      width: 124,
      text: 56,
      grow: 1.4,
      number: true,
      by: row => row.memory,
      fill: (cell, row) =>
        cell.bar(
          memoryParts(row, ends.memory(row)),
          bytes(row.memory),
          memoryTone(row),
          row.limit ? `${bytes(row.memory)} of ${bytes(row.limit)}` : '',
        ),
    },
    {
      name: 'spilled',
      title: 'Spilled',
      tip: 'Results that were moved to disk',
      width: 72,
      number: true,
      spare: 6,
      by: row => row.spilled,
      fill: (cell, row) => cell.text(row.spilled ? bytes(row.spilled) : '–', row.spilled ? '' : 'jf-faint'),
    },
    {
      name: 'executing',
      title: 'Threads',
      tip: 'Busy ones, and how many there are',
      width: 70,
      number: true,
      spare: 4,
      by: row => row.executing,
      fill: (cell, row) => cell.text(`${row.executing} / ${row.threads}`, row.executing ? '' : 'jf-faint'),
    },
    {
      name: 'processing',
      title: 'Assigned',
      tip: 'Tasks that it was given and has not finished',
      width: 92,
      text: 36,
      grow: 0.5,
      number: true,
      spare: 2,
      by: row => row.processing,
      fill: (cell, row) => cell.bar([[row.processing / ends.assigned, 'jf-part-c']], short(row.processing)),
    },
    {
      name: 'occupancy',
      title: 'Work left',
      tip: 'The time that what is assigned is expected to take',
      width: 78,
      number: true,
      spare: 7,
      by: row => row.occupancy_s,
      fill: (cell, row) => cell.text(seconds(row.occupancy_s), row.occupancy_s ? '' : 'jf-faint'),
    },
    {
      name: 'held',
      title: 'Results',
      tip: 'How many results it holds',
      width: 64,
      number: true,
      spare: 3,
      by: row => row.held,
      fill: (cell, row) => cell.text(short(row.held), row.held ? '' : 'jf-faint'),
    },
    {
      name: 'received',
      title: 'Received/s',
      width: 88,
      number: true,
      spare: 8,
      by: row => row.received,
      fill: (cell, row) => cell.text(bytes(row.received), row.received >= 1 ? '' : 'jf-faint'),
    },
    {
      name: 'sent',
      title: 'Sent/s',
      width: 76,
      number: true,
      spare: 8,
      by: row => row.sent,
      fill: (cell, row) => cell.text(bytes(row.sent), row.sent >= 1 ? '' : 'jf-faint'),
    },
    {
      name: 'seen',
      title: 'Heard of',
      tip: 'How long ago it said something last',
      width: 82,
      number: true,
      spare: 10,
      by: row => row.seen_s,
      fill: (cell, row) =>
        cell.text(
          row.seen_s < 5 ? 'now' : `${row.seen_s < 60 ? `${Math.round(row.seen_s)} s` : seconds(row.seen_s)} ago`,
          row.seen_s < 5 ? 'jf-faint' : 'jf-warn',
        ),
    },
  ];
}

class WorkersPane extends WorkerPane {
  private readonly ends: Ends;

  constructor(context: PaneContext) {
    const ends: Ends = { memory: () => 1, assigned: 1 };
    super(context, 'workers', 'Workers', columns(ends), ['name', false]);
    this.ends = ends;
  }

  protected override told(): void {
    const rows = this.workers;
    const all = workerTotals(rows);
    this.ends.memory = memoryScale(rows);
    this.ends.assigned = rows.reduce((most, row) => Math.max(most, row.processing), 1);
    const facts: Fact[] = [
      [count(all.workers), all.workers === 1 ? 'worker' : 'workers'],
      [count(all.threads), all.threads === 1 ? 'thread' : 'threads'],
      [percent(all.threads ? all.cpu / all.threads : 0), 'CPU'],
      [bytes(all.memory), all.limit ? `of ${bytes(all.limit)}` : 'memory'],
      [short(all.processing), 'assigned'],
    ];
    for (const [state, n] of all.states) {
      if (state !== 'running') {
        facts.push([count(n), state, state === 'silent' ? 'jf-bad' : state === 'paused' ? 'jf-warn' : '']);
      }
    }
    this.facts.set(facts);
  }
}

export const WORKERS: PaneKind = {
  name: 'workers',
  title: 'Workers',
  caption: 'Each worker with its CPU, memory, tasks and network',
  icon: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16"><g class="jp-icon3 jp-icon-selectable" fill="#616161"><path d="M2 2.5h12v4H2zM2 9.5h12v4H2z" fill-opacity=".35"/><path d="M2 2h12a.5.5 0 0 1 .5.5v4a.5.5 0 0 1-.5.5H2a.5.5 0 0 1-.5-.5v-4A.5.5 0 0 1 2 2zm.5 1v3h11V3zM2 9h12a.5.5 0 0 1 .5.5v4a.5.5 0 0 1-.5.5H2a.5.5 0 0 1-.5-.5v-4A.5.5 0 0 1 2 9zm.5 1v3h11v-3z"/><circle cx="4.5" cy="4.5" r="1"/><circle cx="4.5" cy="11.5" r="1"/></g></svg>`,
  words: ['workers', 'cpu', 'memory', 'threads', 'hosts', 'processes', 'occupancy', 'logs', 'call stack'],
  create: (context: PaneContext): Pane => new WorkersPane(context),
};
