/**
 * The pane "overview": a cluster at a glance. A number each for tasks, CPU, memory, workers and the scheduler, with how it has been lately, and what is
 * at work now. Each tile leads to the pane that tells more.
 */
import type { Group, Progress, Summary } from '../protocol/snapshots';
import { el, say } from './dom';
import { Pace, share, size, unfinished } from './pace';
import { Pane, type PaneContext, type PaneKind } from './pane';
import { about, groupParts, TotalBar } from './progress';
import { Samples, type Measure } from './samples';
import { spark } from './spark';
import { bytes, count, percent, seconds, short } from './text';
import { colourOf, readTheme, type Theme } from './theme';

/** Seconds that the small charts show. */
const SPAN = 120;
const SPARK = 34;
/** Rows of what is at work. */
const ROWS = 8;

interface Words {
  value: string;
  unit: string;
  note: string;
}

class Tile {
  readonly node: HTMLElement;
  private readonly canvas = el('canvas', '', { 'aria-hidden': 'true' });
  private readonly value = document.createTextNode('');
  private readonly unit = el('small');
  private readonly note = el('span', 'jf-tile-note');

  constructor(
    title: string,
    readonly measure: Measure,
    open: (() => void) | undefined,
  ) {
    const content = [el('span', 'jf-tile-title', {}, title), el('span', 'jf-tile-value', {}, this.value, this.unit), this.note, this.canvas];
    this.node = open ? el('button', 'jf-tile', { type: 'button' }, ...content) : el('div', 'jf-tile', {}, ...content);
    if (open) {
      this.node.addEventListener('click', open);
    }
  }

  set(words: Words): void {
    say(this.value, words.value);
    say(this.unit, words.unit);
    say(this.note, words.note);
    this.note.title = words.note;
  }

  draw(samples: Samples, range: readonly [number, number], most: number, theme: Theme): void {
    const least = Math.max(most, samples.most(this.measure, range[0]) * 1.05, 1e-9);
    const width = Math.max(1, this.node.clientWidth);
    spark(this.canvas, width, SPARK, samples.at, samples.column(this.measure), range, least, theme);
  }
}

/** The sentences of the tiles. Pure. */
export function tileWords(summary: Summary, samples: Samples): Record<'tasks' | 'cpu' | 'memory' | 'workers' | 'scheduler', Words> {
  const { tasks } = summary;
  const ahead = unfinished(tasks);
  const cpu = samples.value('cpu');
  const lag = samples.value('lag_s');
  const own = samples.value('memory');
  const adaptive = summary.adaptive ? `, sizes itself: ${summary.adaptive.minimum} to ${summary.adaptive.maximum ?? 'any'}` : '';
  const spilled = summary.spilled > 0 ? `${bytes(summary.spilled)} spilled` : 'nothing spilled';
  return {
    tasks: {
      value: short(Math.round(summary.rate * 10) / 10),
      unit: 'tasks/s',
      note: `${short(ahead)} to do, ${short(summary.done)} done`,
    },
    cpu: {
      value: summary.cpu.toFixed(1),
      unit: `of ${count(summary.threads)} threads`,
      note: summary.threads > 0 ? `${percent(summary.cpu / summary.threads)} busy` : 'no threads',
    },
    memory: {
      value: bytes(summary.memory),
      unit: summary.memory_limit > 0 ? `of ${bytes(summary.memory_limit)}` : '',
      note: summary.memory_limit > 0 ? `${percent(summary.memory / summary.memory_limit)}, ${spilled}` : spilled,
    },
    workers: {
      value: count(summary.workers),
      unit: summary.workers === 1 ? 'worker' : 'workers',
      note: `${count(summary.threads)} threads, ${count(summary.clients)} ${summary.clients === 1 ? 'client' : 'clients'}${adaptive}`,
    },
    scheduler: {
      value: cpu === null ? '–' : percent(cpu),
      unit: 'of a core',
      note: lag === null || own === null ? '' : `${seconds(lag)} late, ${bytes(own)}`,
    },
  };
}

interface Row {
  node: HTMLElement;
  name: HTMLElement;
  parts: HTMLElement[];
  done: HTMLElement;
  left: HTMLElement;
}

class OverviewPane extends Pane {
  private known: Theme | null = null;
  private summary: Summary | null = null;
  private readonly samples = new Samples();
  private readonly pace = new Pace<number>();
  private progress: Progress | null = null;
  private readonly tiles: Record<'tasks' | 'cpu' | 'memory' | 'workers' | 'scheduler', Tile>;
  private readonly total = new TotalBar();
  private readonly headline = el('span');
  private readonly failed = el('span', 'jf-bad');
  private readonly body = el('tbody');
  private readonly hint = el('p', 'jf-soft');
  private rows: Row[] = [];

  constructor(context: PaneContext) {
    super(context, 'overview');
    const open = (pane: string): (() => void) | undefined => (context.openPane ? (): void => context.openPane?.(pane) : undefined);
    this.tiles = {
      tasks: new Tile('Tasks', 'done', open('task-stream')),
      cpu: new Tile('CPU', 'worker_cpu', open('workers')),
      memory: new Tile('Memory', 'worker_memory', open('memory')),
      workers: new Tile('Workers', 'workers', open('workers')),
      scheduler: new Tile('Scheduler', 'cpu', open('load')),
    };
    const work = el('table', 'jf-work', { 'aria-label': 'What is at work' }, this.body);
    const tiles = el('div', 'jf-tiles', {}, ...Object.values(this.tiles).map(tile => tile.node));
    this.node.append(
      el(
        'div',
        'jf-overview',
        {},
        tiles,
        el('section', '', {}, el('h3', '', {}, 'At work', this.headline, this.failed), this.total.node, work, this.hint),
      ),
    );
    this.watch('summary', data => {
      this.summary = data;
      this.stale();
    });
    this.watch('load', data => {
      this.samples.take(data);
      this.stale();
    });
    this.watch('progress', data => {
      this.progress = data;
      this.pace.take(
        data.at,
        data.groups.map(group => [group.id, group.done] as const),
      );
      this.stale();
    });
  }

  override retheme(): void {
    this.known = null;
    super.retheme();
  }

  protected override draw(): void {
    this.known ??= readTheme(this.node);
    const { summary, samples, known: theme } = this;
    if (summary) {
      const words = tileWords(summary, samples);
      const to = samples.newest || summary.at;
      const range = [to - SPAN, to] as const;
      const most: Record<keyof typeof words, number> = {
        tasks: 1,
        cpu: summary.threads,
        memory: summary.memory_limit,
        workers: summary.workers * 1.25,
        scheduler: 1,
      };
      for (const name of Object.keys(words) as (keyof typeof words)[]) {
        this.tiles[name].set(words[name]);
        this.tiles[name].draw(samples, range, most[name], theme);
      }
    }
    if (this.progress) {
      this.drawWork(this.progress, theme);
    }
  }

  private drawWork(progress: Progress, theme: Theme): void {
    const working = progress.groups.filter(group => group.ended_at === null);
    const shown = [...working, ...progress.groups.filter(group => group.ended_at !== null)].slice(0, ROWS);
    this.total.set(progress);
    say(this.headline, working.length === 0 ? 'nothing' : `${count(working.length)} ${working.length === 1 ? 'function' : 'functions'}`);
    say(this.failed, progress.total.erred > 0 ? `${count(progress.total.erred)} failed` : '');
    say(this.hint, progress.groups.length === 0 ? 'No tasks yet. What is submitted to this cluster appears here.' : '');
    this.hint.hidden = progress.groups.length > 0;
    this.total.node.hidden = progress.groups.length === 0;
    while (this.rows.length < shown.length) {
      this.rows.push(this.newRow());
    }
    this.rows.forEach((row, i) => {
      const group = shown[i];
      row.node.hidden = group === undefined;
      if (group) {
        this.fill(row, group, theme);
      }
    });
  }

  private fill(row: Row, group: Group, theme: Theme): void {
    say(row.name, group.name);
    row.name.title = group.name;
    row.name.style.setProperty('--jf-dot', colourOf(group.name, theme.dark));
    groupParts(group).forEach(([length, className], i) => {
      row.parts[i].className = className;
      row.parts[i].style.width = `${(100 * length).toFixed(1)}%`;
    });
    const left = group.ended_at !== null ? null : this.pace.left(group.id, unfinished(group.tasks));
    say(row.done, `${short(group.done)} / ${short(size(group))}`);
    row.done.title = percent(share(group));
    say(
      row.left,
      group.ended_at !== null ? (group.tasks.erred > 0 ? `${short(group.tasks.erred)} failed` : 'done') : left === null ? '–' : `${about(left)} left`,
    );
    row.left.className = `jf-work-left ${group.tasks.erred > 0 && group.ended_at !== null ? 'jf-bad' : 'jf-soft'}`;
  }

  private newRow(): Row {
    const name = el('th', '', { scope: 'row' });
    const parts = [0, 1, 2, 3].map(() => el('i'));
    const done = el('td');
    const left = el('td');
    const node = el('tr', '', {}, name, el('td', 'jf-work-bar', {}, el('div', '', { 'aria-hidden': 'true' }, ...parts)), done, left);
    this.body.append(node);
    return { node, name, parts, done, left };
  }
}

export const OVERVIEW: PaneKind = {
  name: 'overview',
  title: 'Overview',
  caption: 'The cluster at a glance: tasks, CPU, memory, workers, and what is at work',
  icon: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16"><g class="jp-icon3 jp-icon-selectable" fill="#616161"><rect x="1" y="1.5" width="6.4" height="5.6" rx=".8"/><rect x="8.6" y="1.5" width="6.4" height="5.6" rx=".8" fill-opacity=".45"/><rect x="1" y="8.5" width="14" height="2.2" rx=".8" fill-opacity=".45"/><rect x="1" y="12" width="9" height="2.2" rx=".8"/></g></svg>`,
  words: ['overview', 'summary', 'cluster', 'status', 'home', 'at a glance'],
  create: (context: PaneContext): Pane => new OverviewPane(context),
};
