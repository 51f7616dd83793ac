/**
 * The pane "memory": how full the workers are, with results apart from what else their processes hold, and what has gone to disk. Above, all of them
 * at a glance; below, one bar each.
 */
import type { Pane, PaneContext, PaneKind } from './pane';
import type { Column } from './table';
import type { WorkerRow, WorkerTotals } from './worker-rows';
import { el } from './dom';
import { Skyline } from './skyline';
import { bytes, percent } from './text';
import { memoryParts, memoryScale, memoryTone, nameColumn, workerTotals } from './worker-rows';
import { WorkerPane } from './worker-pane';

const SKYLINE_HEIGHT = 64;
const EDGE = 12;

interface Ends {
  memory(row: WorkerRow): number;
}

const size = (name: string, title: string, tip: string, spare: number, of: (row: WorkerRow) => number): Column<WorkerRow> => ({
  name,
  title,
  tip,
  width: 90,
  number: true,
  spare,
  by: of,
  fill: (cell, row) => cell.text(of(row) ? bytes(of(row)) : '–', of(row) ? '' : 'jf-faint'),
});

function columns(ends: Ends): readonly Column<WorkerRow>[] {
  return [
    nameColumn(),
    {
      name: 'share',
      title: 'In use',
      tip: 'Results, then what is unmanaged (lighter), as a share of the limit',
      width: 140,
      text: 40,
      grow: 4,
      number: true,
      by: row => row.memory / ends.memory(row),
      fill: (cell, row) => cell.bar(memoryParts(row, ends.memory(row)), percent(row.memory / ends.memory(row)), memoryTone(row)),
    },
    size('memory', 'Memory', 'Of the process', 0, row => row.memory),
    size('limit', 'Limit', 'Above it the worker is in danger', 4, row => row.limit),
    size('managed', 'Results', 'What the results it holds take', 1, row => row.managed),
    size('unmanaged', 'Unmanaged', 'Everything else: modules, what tasks are at work on, what is not given back', 2, row => row.unmanaged),
    size('spilled', 'On disk', 'Results that were moved to disk', 3, row => row.spilled),
  ];
}

class MemoryPane extends WorkerPane {
  private readonly ends: Ends;
  private readonly skyline: Skyline<WorkerRow>;

  constructor(context: PaneContext) {
    const ends: Ends = { memory: () => 1 };
    super(context, 'memory', 'Memory of the workers', columns(ends), ['share', true]);
    this.ends = ends;
    this.skyline = new Skyline<WorkerRow>({
      label: 'Memory of all workers, one column each; the table below tells the same in words',
      up: [
        { of: row => row.managed / ends.memory(row), shade: 1, alarm: memoryTone },
        { of: row => row.unmanaged / ends.memory(row), shade: 0.4, alarm: memoryTone },
      ],
      describe: row => `${row.name}: ${bytes(row.memory)}${row.limit ? ` of ${bytes(row.limit)}` : ''}, results ${bytes(row.managed)}`,
      chosen: row => this.table.mark(row.address),
    });
    const legend = el(
      'div',
      'jf-legend',
      { 'aria-hidden': 'true' },
      el('span', 'jf-key-managed', {}, 'results'),
      el('span', 'jf-key-unmanaged', {}, 'unmanaged'),
      el('span', 'jf-key-warn', {}, 'above 80 % of the limit, or paused'),
    );
    this.above.append(this.skyline.node, legend);
  }

  protected override told(): void {
    this.ends.memory = memoryScale(this.workers);
    this.facts.set(memoryFacts(workerTotals(this.workers)));
  }

  protected override drawAbove(): void {
    this.skyline.draw(this.list.shown, this.table.range, this.theme, Math.max(0, this.width - 2 * EDGE), SKYLINE_HEIGHT);
  }
}

/** The line above. */
export function memoryFacts(all: WorkerTotals): [string, string, string?][] {
  const paused = all.states.get('paused') ?? 0;
  return [
    [bytes(all.memory), all.limit ? `of ${bytes(all.limit)}` : 'in use'],
    [bytes(all.managed), 'results'],
    [bytes(all.unmanaged), 'unmanaged'],
    [bytes(all.spilled), 'on disk'],
    ...(all.fullest
      ? ([[percent(all.fullest), 'in the fullest', all.fullest >= 0.95 ? 'jf-bad' : all.fullest >= 0.8 ? 'jf-warn' : '']] as [
          string,
          string,
          string,
        ][])
      : []),
    ...(paused ? ([[String(paused), 'paused', 'jf-warn']] as [string, string, string][]) : []),
  ];
}

export const MEMORY: PaneKind = {
  name: 'memory',
  title: 'Memory',
  caption: 'How full each worker is: results, unmanaged memory, and what is on disk',
  icon: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16"><g class="jp-icon3 jp-icon-selectable" fill="#616161"><path d="M1.5 3h13v2.6h-13zM1.5 6.8h13v2.6h-13zM1.5 10.6h13v2.6h-13z" fill-opacity=".3"/><path d="M1.5 3h9v2.6h-9zM1.5 6.8h5.5v2.6H1.5zM1.5 10.6h7.5v2.6H1.5z"/></g></svg>`,
  words: ['memory', 'ram', 'bytes', 'spill', 'disk', 'unmanaged', 'limit', 'workers'],
  create: (context: PaneContext): Pane => new MemoryPane(context),
};
