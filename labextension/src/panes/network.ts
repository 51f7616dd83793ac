/** The pane "network": what the workers move between each other, over the last two minutes, for all at a glance, and for each. */
import type { Pane, PaneContext, PaneKind } from './pane';
import type { Column } from './table';
import type { WorkerRow } from './worker-rows';
import { History, HistoryChart } from './history';
import { Skyline } from './skyline';
import { bytes } from './text';
import { nameColumn, Scale, workerTotals } from './worker-rows';
import { WorkerPane } from './worker-pane';

const HISTORY_HEIGHT = 84;
const SKYLINE_HEIGHT = 64;
const EDGE = 12;
const LEAST = 1e5; // bytes a second: below, bars stay short

interface Ends {
  rate: number;
}

function columns(ends: Ends): readonly Column<WorkerRow>[] {
  const rate = (name: string, title: string, tip: string, part: string, of: (row: WorkerRow) => number): Column<WorkerRow> => ({
    name,
    title,
    tip,
    width: 132,
    text: 70,
    grow: 2,
    number: true,
    by: of,
    fill: (cell, row) => cell.bar([[of(row) / ends.rate, part]], `${bytes(of(row))}/s`, of(row) >= 1 ? '' : 'jf-faint'),
  });
  return [
    nameColumn(),
    { name: 'host', title: 'Host', width: 72, grow: 0.6, spare: 1, by: row => row.host, fill: (cell, row) => cell.text(row.host) },
    rate('received', 'Received', 'From other workers and clients', 'jf-part-a', row => row.received),
    rate('sent', 'Sent', 'To other workers and clients', 'jf-part-b', row => row.sent),
  ];
}

class NetworkPane extends WorkerPane {
  private readonly ends: Ends;
  private readonly scale = new Scale(LEAST);
  private readonly totalScale = new Scale(LEAST);
  private readonly history = new History(120);
  private readonly chart = new HistoryChart('What all workers together have received (above) and sent (below) in the last two minutes');
  private readonly skyline: Skyline<WorkerRow>;

  constructor(context: PaneContext) {
    const ends: Ends = { rate: 1 };
    super(context, 'network', 'Network of the workers', columns(ends), ['received', true]);
    this.ends = ends;
    this.skyline = new Skyline<WorkerRow>({
      label: 'Network of all workers, one column each; the table below tells the same in words',
      up: [{ of: row => row.received / ends.rate, shade: 1 }],
      down: [{ of: row => row.sent / ends.rate, shade: 0.45 }],
      describe: row => `${row.name}: received ${bytes(row.received)}/s, sent ${bytes(row.sent)}/s`,
      chosen: row => this.table.mark(row.address),
    });
    this.above.append(this.chart.node, this.skyline.node);
  }

  protected override told(at: number): void {
    const all = workerTotals(this.workers);
    this.ends.rate = this.scale.of(this.workers.reduce((most, row) => Math.max(most, row.received, row.sent), 0));
    this.history.add(at, all.received, all.sent);
    this.facts.set([
      [`${bytes(all.received)}/s`, 'received', 'jf-key-a'],
      [`${bytes(all.sent)}/s`, 'sent', 'jf-key-b'],
      [`${bytes(this.ends.rate)}/s`, 'is a full bar'],
    ]);
  }

  protected override drawAbove(): void {
    const width = Math.max(0, this.width - 2 * EDGE);
    const end = this.totalScale.of(this.history.most);
    this.chart.draw(this.history, end, [`received, ${bytes(end)}/s`, `sent, ${bytes(end)}/s`], this.theme, width, HISTORY_HEIGHT);
    this.skyline.draw(this.list.shown, this.table.range, this.theme, width, SKYLINE_HEIGHT);
  }
}

export const NETWORK: PaneKind = {
  name: 'network',
  title: 'Network',
  caption: 'What workers receive and send, now and in the last two minutes',
  icon: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16"><g class="jp-icon3 jp-icon-selectable" fill="#616161"><path d="M5 1.8 8.6 6H6v8H4V6H1.4z"/><path d="M11 14.2 7.4 10H10V2h2v8h2.6z" fill-opacity=".55"/></g></svg>`,
  words: ['network', 'bandwidth', 'transfer', 'received', 'sent', 'bytes', 'workers'],
  create: (context: PaneContext): Pane => new NetworkPane(context),
};
