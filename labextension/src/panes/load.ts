/**
 * The pane "load": what the scheduler does, and what the cluster as a whole does, over time. Charts share one stretch of time: pointing at one points at
 * all, dragging in one chooses a stretch for all, and the arrow keys move through the samples, which are said.
 */
import uPlot from 'uplot';
import type { Load } from '../protocol/snapshots';
import { el, say } from './dom';
import { Pane, type PaneContext, type PaneKind } from './pane';
import { Samples, type Measure } from './samples';
import { bytes, clock, percent, seconds, short } from './text';
import { mix, readTheme, type Theme } from './theme';
import { button, choice, gap, toolbar } from './toolbar';

interface Line {
  measure: Measure;
  label: string;
}

interface ChartKind {
  title: string;
  /** The first one is the one that counts: it has the accent's colour and an area. */
  lines: readonly Line[];
  format(value: number): string;
  /** The least end of the scale. */
  least: number;
}

const perSecond = (value: number): string => `${short(value)}/s`;

export const CHARTS: readonly ChartKind[] = [
  { title: 'Scheduler CPU', lines: [{ measure: 'cpu', label: 'of a core' }], format: percent, least: 0.2 },
  { title: 'Scheduler lag', lines: [{ measure: 'lag_s', label: 'late' }], format: seconds, least: 0.002 },
  { title: 'Scheduler memory', lines: [{ measure: 'memory', label: 'resident' }], format: bytes, least: 1e6 },
  {
    title: 'Messages',
    lines: [
      { measure: 'received', label: 'received' },
      { measure: 'sent', label: 'sent' },
    ],
    format: perSecond,
    least: 10,
  },
  {
    title: 'Tasks a second',
    lines: [
      { measure: 'done', label: 'done' },
      { measure: 'submitted', label: 'submitted' },
    ],
    format: perSecond,
    least: 10,
  },
  {
    title: 'Tasks at work',
    lines: [
      { measure: 'processing', label: 'processing' },
      { measure: 'queued', label: 'queued' },
      { measure: 'waiting', label: 'waiting' },
    ],
    format: short,
    least: 4,
  },
  {
    title: 'Workers',
    lines: [
      { measure: 'workers', label: 'there' },
      { measure: 'idle', label: 'with a free thread' },
    ],
    format: short,
    least: 2,
  },
  { title: "Workers' CPU", lines: [{ measure: 'worker_cpu', label: 'cores' }], format: value => value.toFixed(value < 10 ? 1 : 0), least: 1 },
  { title: "Workers' memory", lines: [{ measure: 'worker_memory', label: 'resident' }], format: bytes, least: 1e8 },
];

const SPANS = [
  ['60', '1 min'],
  ['300', '5 min'],
  ['3600', 'All'],
] as const;

/** Height of a chart, without its heading, at least. */
const LEAST = 84;
const HEADING = 30;

/** Steps of an axis of sizes: powers of two. */
const BINARY = Array.from({ length: 45 }, (_, i) => 2 ** i);

class Chart {
  readonly node: HTMLElement;
  private readonly values: HTMLElement[];
  private plot: uPlot | null = null;
  private size = '';

  constructor(
    readonly kind: ChartKind,
    private readonly pane: LoadPane,
  ) {
    this.values = kind.lines.map(() => el('b'));
    const legend = kind.lines.map((line, i) => el('span', `jf-chart-value jf-chart-value-${i}`, {}, this.values[i], ` ${line.label}`));
    this.node = el('figure', 'jf-chart', {}, el('figcaption', '', {}, el('span', 'jf-chart-title', {}, kind.title), ...legend));
  }

  colour(line: number): string {
    const theme = this.pane.theme;
    return line === 0 ? theme.accent : line === 1 ? theme.soft : theme.faint;
  }

  draw(width: number, height: number, samples: Samples, from: number, to: number, pointed: number | null): void {
    if (this.plot === null) {
      this.plot = new uPlot(this.options(width, height), [[]], this.node);
    } else if (this.size !== `${width} ${height}`) {
      this.plot.setSize({ width, height });
    }
    this.size = `${width} ${height}`;
    const [low, high] = samples.between(from, to);
    const columns = this.kind.lines.map(line => samples.column(line.measure).slice(low, high));
    this.plot.setData([samples.at.slice(low, high), ...columns], false);
    this.plot.setScale('x', { min: from, max: to });
    this.kind.lines.forEach((line, i) => {
      const value = samples.value(line.measure, pointed ?? Infinity);
      say(this.values[i], value === null ? '–' : this.kind.format(value));
    });
  }

  private options(width: number, height: number): uPlot.Options {
    const { kind, pane } = this;
    const font = `11px ${pane.theme.font}`;
    const grid: uPlot.Axis.Grid = { stroke: () => mix(pane.theme.text, 0.08), width: 1 };
    return {
      width,
      height,
      padding: [6, 12, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        points: { size: 6 },
        drag: { x: true, y: false, setScale: false },
        sync: { key: pane.syncKey },
      },
      hooks: {
        setCursor: [plot => pane.point(plot.cursor.left !== undefined && plot.cursor.left >= 0 ? plot.posToVal(plot.cursor.left, 'x') : null)],
        setSelect: [
          plot => {
            if (plot.select.width > 4) {
              pane.choose(plot.posToVal(plot.select.left, 'x'), plot.posToVal(plot.select.left + plot.select.width, 'x'));
              plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            }
          },
        ],
      },
      scales: { x: { time: true, auto: false }, y: { range: (_plot, _low, high) => [0, Math.max(kind.least, (high ?? 0) * 1.1)] } },
      axes: [
        {
          stroke: () => pane.theme.soft,
          font,
          size: 20,
          gap: 3,
          space: 74,
          grid,
          ticks: { show: false },
          values: (_plot, splits) => splits.map(at => clock(at)),
        },
        {
          stroke: () => pane.theme.soft,
          font,
          size: 58,
          gap: 4,
          space: 26,
          grid,
          ticks: { show: false },
          values: (_plot, splits) => splits.map(value => kind.format(value)),
          ...(kind.format === bytes ? { incrs: BINARY } : {}),
        },
      ],
      series: [
        {},
        ...kind.lines.map((_line, i) => ({
          stroke: () => this.colour(i),
          fill: i === 0 ? (): string => mix(pane.theme.accent, 0.12) : undefined,
          width: i === 0 ? 1.5 : 1.25,
          points: { show: false },
          spanGaps: false,
        })),
      ],
    };
  }

  /** Show the cursor at a time. */
  pointAt(at: number): void {
    this.plot?.setCursor({ left: this.plot.valToPos(at, 'x'), top: 10 });
  }

  dispose(): void {
    this.plot?.destroy();
  }
}

let panes = 0;

export class LoadPane extends Pane {
  readonly syncKey = `jf-load-${++panes}`;
  private known: Theme | null = null;
  private readonly samples = new Samples();
  private readonly charts: Chart[];
  private readonly live: HTMLButtonElement;
  private readonly when = el('span', 'jf-stream-span');
  private readonly spoken = el('p', 'jf-spoken', { 'aria-live': 'polite' });
  private readonly grid: HTMLElement;
  private span: number;
  /** What the user has chosen; null: the end. */
  private chosen: [number, number] | null = null;
  private pointed: number | null = null;
  /** Where the keyboard is. */
  private walked: number | null = null;

  constructor(context: PaneContext) {
    super(context, 'load');
    this.span = SPANS.some(([value]) => value === context.memory.span) ? Number(context.memory.span) : 300;
    this.live = button('Live', 'Follow what is new (End)', () => this.follow());
    this.live.classList.add('jf-stream-live');
    const spans = choice('Time in sight', SPANS, String(this.span) as (typeof SPANS)[number][0], value => {
      this.span = Number(value);
      context.remember({ span: value });
      this.follow();
    });
    this.charts = CHARTS.map(kind => new Chart(kind, this));
    this.grid = el(
      'div',
      'jf-charts',
      {
        tabindex: 0,
        role: 'group',
        'aria-roledescription': 'charts',
        'aria-label': 'Load. Arrow keys: from sample to sample. Plus and minus: zoom. End: follow. S: summary.',
        'data-lm-suppress-shortcuts': 'true',
      },
      ...this.charts.map(chart => chart.node),
    );
    this.grid.addEventListener('keydown', event => this.key(event));
    this.grid.addEventListener('dblclick', () => this.follow());
    this.node.classList.add('jf-column');
    this.node.append(toolbar('Load', this.live, this.when, gap(), spans), this.grid, this.spoken);
    this.watch('load', data => this.takeLoad(data));
  }

  get theme(): Theme {
    this.known ??= readTheme(this.node);
    return this.known;
  }

  private takeLoad(data: Load): void {
    this.samples.take(data);
    this.stale();
  }

  override retheme(): void {
    this.known = null;
    super.retheme();
  }

  private follow(): void {
    this.chosen = null;
    this.walked = null;
    this.stale();
  }

  /** A stretch was chosen in one of the charts. */
  choose(from: number, to: number): void {
    this.chosen = [from, Math.max(to, from + 2)];
    this.stale();
  }

  /** The pointer is at this time in one of the charts. */
  point(at: number | null): void {
    if (at !== this.pointed) {
      this.pointed = at;
      this.stale();
    }
  }

  /** From when to when. */
  private range(): [number, number] {
    if (this.chosen) {
      return this.chosen;
    }
    const to = this.samples.newest || Date.now() / 1000;
    const first = this.samples.at[0] ?? to;
    const span = Math.min(this.span, Math.max(60, to - first));
    return [to - span, to];
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    const [from, to] = this.range();
    const { at } = this.samples;
    if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') {
      if (at.length === 0) {
        return;
      }
      const [low, high] = this.samples.between(from, to);
      const step = Math.max(1, Math.round((high - low) / 60)) * (event.key === 'ArrowLeft' ? -1 : 1);
      const place = this.walked === null ? at.length - 1 : at.findIndex(each => each >= (this.walked as number));
      this.walked = at[Math.max(0, Math.min(at.length - 1, (place < 0 ? at.length - 1 : place) + step))];
      if (this.walked < from || this.walked > to) {
        this.chosen = [this.walked - (to - from) / 2, this.walked + (to - from) / 2];
      }
      this.charts[0].pointAt(this.walked);
      say(this.spoken, this.sentence(this.walked));
    } else if (event.key === '+' || event.key === '=' || event.key === '-') {
      const middle = this.walked ?? (this.chosen ? (from + to) / 2 : to);
      const factor = event.key === '-' ? 1.6 : 1 / 1.6;
      this.choose(middle - (middle - from) * factor, middle + (to - middle) * factor);
    } else if (event.key === 'End' || event.key === 'Escape') {
      this.follow();
    } else if (event.key === 's' || event.key === 'S') {
      say(this.spoken, this.sentence(this.samples.newest));
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    this.stale();
  }

  private sentence(at: number): string {
    const parts = CHARTS.flatMap(kind =>
      kind.lines.map(line => {
        const value = this.samples.value(line.measure, at);
        return `${kind.title} ${line.label} ${value === null ? 'unknown' : kind.format(value)}`;
      }),
    );
    return `${clock(at)}: ${parts.join(', ')}`;
  }

  protected override draw(): void {
    const across = Math.max(1, Math.min(3, Math.floor(this.width / 330)));
    const rows = Math.ceil(CHARTS.length / across);
    const height = Math.max(LEAST, Math.floor((this.height - 48 - 8 * rows) / rows) - HEADING);
    const width = Math.floor((this.width - 24 - 16 * (across - 1) - (rows * (height + HEADING) > this.height - 48 ? 12 : 0)) / across);
    this.grid.style.gridTemplateColumns = `repeat(${across}, minmax(0, 1fr))`;
    const [from, to] = this.range();
    for (const chart of this.charts) {
      chart.draw(Math.max(120, width), height, this.samples, from, to, this.pointed);
    }
    this.live.setAttribute('aria-pressed', String(this.chosen === null));
    const shown = this.pointed ?? (this.chosen ? this.chosen[0] : null);
    const text =
      shown === null ? `last ${seconds(to - from)}` : this.pointed !== null ? `at ${clock(shown)}` : `${seconds(to - from)} from ${clock(shown)}`;
    say(this.when, this.samples.length === 0 ? 'Nothing has been measured yet.' : text);
  }

  override dispose(): void {
    for (const chart of this.charts) {
      chart.dispose();
    }
    super.dispose();
  }
}

export const LOAD: PaneKind = {
  name: 'load',
  title: 'Load',
  caption: 'What the scheduler and the cluster as a whole do, over time',
  icon: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16"><g class="jp-icon3 jp-icon-selectable" fill="#616161"><path d="M1 14V9.6l3-3.4 3 2.3 4-5.2 4 3.2V14z" fill-opacity=".3"/><path d="M1.4 10.2.6 9.5l3.3-3.8 3 2.3 3.9-5.1 4.5 3.6-.6.8-3.7-2.9-3.9 5.1L4 7.1z"/></g></svg>`,
  words: ['load', 'scheduler', 'cpu', 'lag', 'memory', 'messages', 'rate', 'tasks', 'charts', 'history'],
  create: (context: PaneContext): Pane => new LoadPane(context),
};
