/** The pane "timings": how long calls take, by function. A row has its histogram in small; the drawer shows it in large, with a scale. */
import type { Timings } from '../protocol/snapshots';
import type { Pane, PaneContext, PaneKind } from './pane';
import type { Column } from './table';
import type { Theme } from './theme';
import { el, fit } from './dom';
import { TablePane } from './table-pane';
import { bytes, count, seconds, short } from './text';
import { colourOf, mix } from './theme';

export interface TimingRow {
  readonly name: string;
  readonly count: number;
  readonly erred: number;
  readonly total_s: number;
  readonly mean_s: number;
  readonly min_s: number;
  readonly max_s: number;
  readonly nbytes: number;
  readonly histogram: readonly number[];
}

export function timingRows(data: Timings): TimingRow[] {
  return data.name.map((name, i) => ({
    name,
    count: data.count[i],
    erred: data.erred[i],
    total_s: data.total_s[i],
    mean_s: data.mean_s[i],
    min_s: data.min_s[i],
    max_s: data.max_s[i],
    nbytes: data.nbytes[i],
    histogram: data.histogram[i],
  }));
}

/** The buckets that any row has calls in, from the first to the one after the last: all histograms share one scale. */
export function bucketRange(rows: readonly TimingRow[]): [number, number] {
  let first = Infinity;
  let end = 0;
  for (const row of rows) {
    row.histogram.forEach((n, bucket) => {
      if (n > 0) {
        first = Math.min(first, bucket);
        end = Math.max(end, bucket + 1);
      }
    });
  }
  return end ? [first, end] : [0, 0];
}

/** The bounds of a bucket; the last one has no upper one. */
export function bucketBounds(bounds: readonly number[], bucket: number): [number, number] {
  return [bucket > 0 ? bounds[bucket - 1] : 0, bucket < bounds.length ? bounds[bucket] : Infinity];
}

/** The time below which a share of the calls were, read from a histogram; NaN of none. Exact to a bucket, between its bounds by their logarithms. */
export function quantile(bounds: readonly number[], histogram: readonly number[], share: number): number {
  const all = histogram.reduce((sum, n) => sum + n, 0);
  let left = share * all;
  for (let bucket = 0; bucket < histogram.length; bucket++) {
    const n = histogram[bucket];
    if (n > 0 && left <= n) {
      const [low, high] = bucketBounds(bounds, bucket);
      const from = low || high / 10 ** 0.25;
      const to = Number.isFinite(high) ? high : low * 10 ** 0.25;
      return from * (to / from) ** (left / n);
    }
    left -= n;
  }
  return NaN;
}

const SPARK_WIDTH = 132;
const SPARK_HEIGHT = 18;
const LARGE_HEIGHT = 120;

interface Ends {
  total: number;
  range: [number, number];
  theme(): Theme;
}

function spark(canvas: HTMLCanvasElement, row: TimingRow, ends: Ends): void {
  const key = `${ends.range.join()};${row.histogram.join()};${ends.theme().accent};${ends.theme().text}`;
  if (canvas.dataset.shown === key) {
    return;
  }
  canvas.dataset.shown = key;
  const [first, end] = ends.range;
  const context = fit(canvas, SPARK_WIDTH, SPARK_HEIGHT);
  const most = row.histogram.reduce((a, b) => Math.max(a, b), 1);
  const step = Math.min(8, SPARK_WIDTH / Math.max(1, end - first));
  context.fillStyle = mix(ends.theme().text, 0.1);
  context.fillRect(0, SPARK_HEIGHT - 1, step * (end - first), 1);
  context.fillStyle = ends.theme().accent;
  for (let bucket = first; bucket < end; bucket++) {
    const n = row.histogram[bucket];
    if (n > 0) {
      const height = Math.max(1.5, (n / most) * (SPARK_HEIGHT - 1));
      context.fillRect((bucket - first) * step, SPARK_HEIGHT - height, Math.max(1, step - 1), height);
    }
  }
}

function columns(ends: Ends): readonly Column<TimingRow>[] {
  const time = (name: string, title: string, tip: string, spare: number, of: (row: TimingRow) => number): Column<TimingRow> => ({
    name,
    title,
    tip,
    width: 80,
    number: true,
    spare,
    by: of,
    fill: (cell, row) => cell.text(row.count ? seconds(of(row)) : '–', row.count ? '' : 'jf-faint'),
  });
  return [
    {
      name: 'name',
      title: 'Function',
      width: 120,
      grow: 2,
      by: row => row.name,
      fill: (cell, row) => {
        cell.dotted(row.name, 'jf-coloured', row.name);
        cell.colour(colourOf(row.name, ends.theme().dark));
      },
    },
    {
      name: 'count',
      title: 'Calls',
      tip: 'Those that did not fail',
      width: 64,
      number: true,
      by: row => row.count,
      fill: (cell, row) => cell.text(short(row.count), '', count(row.count)),
    },
    {
      name: 'erred',
      title: 'Failed',
      width: 60,
      number: true,
      spare: 4,
      by: row => row.erred,
      fill: (cell, row) => cell.text(row.erred ? short(row.erred) : '–', row.erred ? 'jf-bad' : 'jf-faint'),
    },
    {
      name: 'total',
      title: 'Total',
      tip: 'The time of all calls together',
      width: 134,
      text: 78,
      grow: 1.5,
      number: true,
      by: row => row.total_s,
      fill: (cell, row) => cell.bar([[row.total_s / ends.total, 'jf-part-a']], seconds(row.total_s)),
    },
    time('mean', 'Mean', 'Of one call', 0, row => row.mean_s),
    time('min', 'Shortest', 'Of one call', 5, row => row.min_s),
    time('max', 'Longest', 'Of one call', 2, row => row.max_s),
    {
      name: 'nbytes',
      title: 'Results',
      tip: 'The sizes of all results together',
      width: 80,
      number: true,
      spare: 3,
      by: row => row.nbytes,
      fill: (cell, row) => cell.text(row.nbytes ? bytes(row.nbytes) : '–', row.nbytes ? '' : 'jf-faint'),
    },
    {
      name: 'histogram',
      title: 'How long they took',
      tip: 'Calls since somebody looks, by duration; all rows have the same logarithmic scale',
      width: SPARK_WIDTH + 16,
      spare: 1,
      fill: (cell, row) =>
        spark(
          cell.own(() => el('canvas', 'jf-spark', { 'aria-hidden': 'true' })),
          row,
          ends,
        ),
    },
  ];
}

class TimingsPane extends TablePane<TimingRow> {
  private bounds: readonly number[] = [];
  private readonly large = el('canvas');

  constructor(context: PaneContext) {
    const ends: Ends = { total: 1, range: [0, 0], theme: () => this.theme };
    super(context, 'timings', {
      label: 'How long calls take, by function',
      columns: columns(ends),
      order: ['total', true],
      search: 'Find functions',
      empty: 'No calls yet.',
      rowHeight: 26,
      keyOf: row => row.name,
      textOf: row => row.name,
    });
    this.watch('timings', data => {
      const rows = timingRows(data);
      this.bounds = data.bounds_s;
      ends.range = bucketRange(rows);
      ends.total = rows.reduce((most, row) => Math.max(most, row.total_s), 1e-9);
      const calls = rows.reduce((sum, row) => sum + row.count, 0);
      const failed = rows.reduce((sum, row) => sum + row.erred, 0);
      this.facts.set([
        [count(rows.length), rows.length === 1 ? 'function' : 'functions'],
        [short(calls), calls === 1 ? 'call' : 'calls'],
        [seconds(rows.reduce((sum, row) => sum + row.total_s, 0)), 'in all'],
        ...(failed ? ([[short(failed), 'failed', 'jf-bad']] as const) : []),
      ]);
      this.take(rows);
    });
  }

  protected override marked(row: TimingRow | null): void {
    if (row === null) {
      this.detail.close();
      return;
    }
    this.detail.open(row.name);
    this.detail.content(
      el('div', 'jf-large', { role: 'img', 'aria-label': 'Histogram of the durations; the facts above tell its quartiles' }, this.large),
    );
  }

  protected override draw(): void {
    super.draw();
    const row = this.table.marked;
    if (row && this.detail.isOpen) {
      this.detail.set(timingFacts(row, this.bounds));
      this.drawLarge(row);
    }
  }

  /** The histogram of the marked row, with decades below it. */
  private drawLarge(row: TimingRow): void {
    const theme = this.theme;
    const width = Math.min(760, Math.max(120, this.width - 24));
    const context = fit(this.large, width, LARGE_HEIGHT);
    const [first, end] = bucketRange([row]);
    const from = Math.max(0, first - 2);
    const to = Math.min(row.histogram.length, end + 2);
    if (from >= to) {
      context.fillStyle = theme.soft;
      context.font = `12px ${theme.font}`;
      context.fillText('No calls since somebody looks.', 0, 20);
      return;
    }
    const foot = LARGE_HEIGHT - 20;
    const step = Math.min(48, width / (to - from));
    const most = row.histogram.reduce((a, b) => Math.max(a, b), 1);
    context.font = `11px ${theme.font}`;
    context.textBaseline = 'top';
    for (let bucket = from; bucket < to; bucket++) {
      const x = (bucket - from) * step;
      const n = row.histogram[bucket];
      if (n > 0) {
        const height = Math.max(2, (n / most) * (foot - 16));
        context.fillStyle = theme.accent;
        context.fillRect(x + 1, foot - height, step - 2, height);
        if (step > 26) {
          context.fillStyle = theme.soft;
          context.textAlign = 'center';
          context.fillText(short(n), x + step / 2, foot - height - 13);
        }
      }
      const bound = bucket > 0 ? this.bounds[bucket - 1] : 0;
      const decade = Math.round(Math.log10(bound));
      if (bound > 0 && Math.abs(bound / 10 ** decade - 1) < 0.01) {
        context.fillStyle = mix(theme.text, 0.18);
        context.fillRect(x - 0.5, foot, 1, 5);
        context.fillStyle = theme.soft;
        context.textAlign = x < 20 ? 'left' : 'center';
        context.fillText(decadeText(decade), x, foot + 7);
      }
    }
    context.textAlign = 'left';
    context.fillStyle = theme.line;
    context.fillRect(0, foot, step * (to - from), 1);
  }
}

/** `10 ms`, `1 s`. */
export function decadeText(decade: number): string {
  const unit = decade < -3 ? ([-6, 'µs'] as const) : decade < 0 ? ([-3, 'ms'] as const) : ([0, 's'] as const);
  return `${10 ** (decade - unit[0])} ${unit[1]}`;
}

/** What the drawer says of a function. */
export function timingFacts(row: TimingRow, bounds: readonly number[]): [string, string][] {
  const at = (share: number): string => {
    const s = quantile(bounds, row.histogram, share);
    return Number.isNaN(s) ? '–' : `about ${seconds(Math.min(row.max_s, Math.max(row.min_s, s)))}`;
  };
  return [
    ['calls', count(row.count)],
    ['failed', count(row.erred)],
    ['total', seconds(row.total_s)],
    ['mean', seconds(row.mean_s)],
    ['shortest', seconds(row.min_s)],
    ['longest', seconds(row.max_s)],
    ['median', at(0.5)],
    ['95 % below', at(0.95)],
    ['results', `${bytes(row.nbytes)}${row.count ? `, ${bytes(row.nbytes / row.count)} each` : ''}`],
  ];
}

export const TIMINGS: PaneKind = {
  name: 'timings',
  title: 'Timings',
  caption: 'How long calls take, by function, with histograms',
  icon: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16"><g class="jp-icon3 jp-icon-selectable" fill="#616161"><path d="M1.5 13h13v1h-13z"/><path d="M2 10h2v2.4H2zM4.6 6.5h2v5.9h-2zM7.2 2.5h2v9.9h-2z"/><path d="M9.8 5.5h2v6.9h-2zM12.4 9h2v3.4h-2z" fill-opacity=".6"/></g></svg>`,
  words: ['timings', 'durations', 'histogram', 'functions', 'calls', 'mean', 'slow', 'prefix'],
  create: (context: PaneContext): Pane => new TimingsPane(context),
};
