/**
 * The task stream: what ran where and when. One row a thread (or a worker), a bar for each call in its function's colour; what was moved runs along
 * the foot of a row, what failed is red. From far away, where many calls share a pixel, rows become charts of what kept them busy. It follows what is
 * new until one looks elsewhere.
 */
import type { FeedState } from '../feed/feed';
import type { TaskStream } from '../protocol/snapshots';
import { Detail } from './detail';
import { el, say } from './dom';
import { Pane, type PaneContext, type PaneKind } from './pane';
import type { Grouping } from './stream/bands';
import { describe, sentence, summary } from './stream/describe';
import { Gestures, type GestureHost } from './stream/gestures';
import { Legend } from './stream/legend';
import { Scene, type Hit } from './stream/scene';
import { clock, count, seconds, short } from './text';
import { readTheme, type Theme } from './theme';
import { button, choice, gap, toolbar } from './toolbar';

const KEYS =
  'Arrow keys: move in time, and from row to row. Shift and arrow: from task to task. Plus and minus: zoom. Alt and arrow up or down: height of the rows. ' +
  'Home: all. End: follow. Enter: details. S: summary.';

/** With more threads than this, rows are workers unless the user has chosen. */
const MANY = 300;

/** Milliseconds of silence after which time goes by without being told. */
const WALK = 1000;

/** Milliseconds that a picture may take that comes with data only, ten times a second at most. */
const LEISURE = 40;

/** Milliseconds without a move after which the picture is drawn in full. */
const REST = 180;

/** Milliseconds between two updates of the legend. */
const LEGEND = 400;

export class TaskStreamPane extends Pane implements GestureHost {
  readonly scene: Scene;
  private readonly bars = el('canvas', 'jf-stream-bars', { 'aria-hidden': 'true' });
  private readonly over = el('canvas', 'jf-stream-over', {
    tabindex: 0,
    role: 'application',
    'aria-roledescription': 'timeline',
    'aria-label': `Task stream. ${KEYS}`,
    'data-lm-suppress-shortcuts': 'true',
  });
  private readonly plot: HTMLElement;
  private readonly tip = el('div', 'jf-tip', { hidden: true, 'aria-hidden': 'true' });
  private readonly spoken = el('p', 'jf-spoken', { 'aria-live': 'polite' });
  private readonly hint = el('p', 'jf-stream-empty');
  private readonly span = el('span', 'jf-stream-span');
  private readonly live: HTMLButtonElement;
  private readonly rows: HTMLElement;
  private rowsChosen: boolean;
  private readonly legend: Legend;
  private readonly detail: Detail;
  /** Whether what is drawn next is one of many pictures in a row. */
  private moves = false;
  private walking: ReturnType<typeof setTimeout> | undefined;
  private heardAt = 0;
  private rest: ReturnType<typeof setTimeout> | undefined;
  private theme: Theme | null = null;
  private pointedAt: Hit | null = null;
  private chosenAt: Hit | null = null;
  private range: [number, number] | null = null;
  private legendAt = 0;
  private plotWidth = 0;
  private plotHeight = 0;
  /** Nothing but the upper canvas is out of date. */
  private overOnly = false;
  private readonly observer: ResizeObserver;

  constructor(context: PaneContext) {
    super(context, 'task-stream');
    this.scene = new Scene(this.bars, this.over);
    const { memory } = context;
    this.scene.bands.grouping = memory.rows === 'workers' ? 'workers' : 'threads';
    this.rowsChosen = memory.rows === 'workers' || memory.rows === 'threads';
    if (Array.isArray(memory.hidden)) {
      this.scene.bands.hidden = new Set(memory.hidden.filter(name => typeof name === 'string'));
    }
    this.live = button('Live', 'Follow what is new (End)', () => this.act(view => view.follow()));
    this.live.classList.add('jf-stream-live');
    const rows: readonly (readonly [Grouping, string])[] = [
      ['threads', 'Threads'],
      ['workers', 'Workers'],
    ];
    this.rows = choice('Rows', rows, this.scene.bands.grouping, grouping => {
      this.rowsChosen = true;
      this.context.remember({ rows: grouping });
      this.group(grouping);
    });
    const tools = toolbar(
      'Task stream',
      this.live,
      button('All', 'All that is kept (Home)', () => this.act(view => view.showAll())),
      button('−', 'Zoom out (-)', () => this.act(view => view.zoom(1 / 1.6, 0.5))),
      button('+', 'Zoom in (+)', () => this.act(view => view.zoom(1.6, 0.5))),
      this.span,
      gap(),
      this.rows,
    );
    this.plot = el('div', 'jf-stream-plot', {}, this.bars, this.over, this.hint, this.tip);
    this.legend = new Legend(this.scene, hidden => this.hideNames(hidden));
    this.detail = new Detail('The chosen task', () => this.chosen(null));
    this.node.classList.add('jf-column');
    this.node.append(tools, el('div', 'jf-stream-body', {}, this.plot, this.legend.node), this.detail.node, this.spoken);
    new Gestures(this.over, this);
    this.over.addEventListener('focus', () => this.summarise());
    this.observer = new ResizeObserver(() => this.stale());
    this.observer.observe(this.plot);
    this.watch('task-stream', data => this.takeStream(data));
  }

  private takeStream(data: TaskStream): void {
    this.scene.take(data);
    this.heardAt = performance.now();
    this.walk();
    this.moves ||= this.scene.took > LEISURE;
    if (data.reset) {
      this.pointedAt = null;
      this.chosenAt = null;
    }
    if (!this.rowsChosen && this.scene.bands.grouping === 'threads' && this.scene.bands.list.length > MANY) {
      this.group('workers');
      this.rows.querySelectorAll('input').forEach((input, i) => {
        input.checked = i === 1;
      });
    }
    this.redraw();
  }

  /** While it follows what is new and nothing comes, the picture moves on once a second. */
  private walk(): void {
    clearTimeout(this.walking);
    this.walking = setTimeout(() => {
      const now = performance.now();
      if (this.isVisible && !this.isDisposed) {
        this.scene.elapse((now - this.heardAt) / 1000);
        this.heardAt = now;
        this.redraw();
        this.walk();
      }
    }, WALK);
  }

  /** Draw everything soon. */
  private redraw(): void {
    this.overOnly = false;
    this.stale();
  }

  private act(what: (view: Scene['view']) => void): void {
    what(this.scene.view);
    this.redraw();
  }

  private group(grouping: Grouping): void {
    this.scene.bands.grouping = grouping;
    this.scene.bands.rebuild();
    this.scene.view.chosenBand = null;
    this.scene.view.scrollTo(0);
    this.pointedAt = null;
    this.redraw();
  }

  private hideNames(hidden: Set<string>): void {
    const before = this.scene.bands.hidden;
    if (hidden.size !== before.size || [...hidden].some(name => !before.has(name))) {
      this.scene.bands.hidden = hidden;
      this.scene.bands.rebuild();
      this.context.remember({ hidden: [...hidden] });
    }
    this.legendAt = 0;
    this.redraw();
  }

  override resize(width: number, height: number): void {
    this.node.classList.toggle('jf-narrow', width < 620);
    this.overOnly = false;
    super.resize(width, height);
  }

  override retheme(): void {
    this.theme = null;
    this.legendAt = 0;
    this.overOnly = false;
    super.retheme();
  }

  /** Without a way to the cluster nobody knows whether time goes by idle. */
  override feedChanged(state: FeedState): void {
    if (state.state !== 'open') {
      clearTimeout(this.walking);
    }
  }

  override hide(): void {
    clearTimeout(this.walking);
    super.hide();
  }

  override show(): void {
    this.overOnly = false;
    super.show();
  }

  // --- what gestures tell

  moved(): void {
    this.moves = true;
    this.redraw();
  }

  pointed(hit: Hit | null, x: number, y: number): void {
    if (hit === null && this.pointedAt === null) {
      return;
    }
    this.pointedAt = hit;
    this.showTip(hit, x, y);
    this.stale();
  }

  ranged(range: [number, number] | null): void {
    this.range = range;
    this.stale();
  }

  went(hit: Hit): void {
    this.chosenAt = hit;
    this.pointedAt = null;
    this.tip.hidden = true;
    say(this.spoken, sentence(describe(this.scene, hit)));
    if (this.detail.isOpen) {
      this.showDetail(hit);
    }
    this.redraw();
  }

  summarise(): void {
    say(this.spoken, summary(this.scene));
  }

  chosen(hit: Hit | null): void {
    this.chosenAt = hit;
    if (hit && (hit.row || hit.open || hit.many)) {
      this.showDetail(hit);
    } else {
      this.detail.close();
    }
    this.redraw();
  }

  private showDetail(hit: Hit): void {
    const description = describe(this.scene, hit);
    this.detail.open(description.title);
    this.detail.set(description.facts);
    say(this.spoken, sentence(description));
    const key = hit.row?.key ?? hit.open?.key ?? '';
    if (key) {
      const question = (): Promise<unknown> => this.context.feed.ask(this.context.cluster, 'story', { keys: [key] });
      void this.detail.answer('Asking for its story …', question, answer => this.detail.text(story(answer)));
    }
  }

  private showTip(hit: Hit | null, x: number, y: number): void {
    this.tip.hidden = hit === null || (hit.row === null && hit.open === null && hit.many === null);
    if (hit === null || this.tip.hidden || this.theme === null) {
      return;
    }
    const { title, name, facts, bad } = describe(this.scene, hit);
    const swatch = el('span', 'jf-names-swatch');
    swatch.style.background = bad && hit.row ? this.theme.bad : name < 0 ? 'none' : this.scene.colour(name, this.theme);
    swatch.hidden = name < 0;
    const list = el('dl');
    for (const [noun, value] of facts) {
      list.append(el('dt', '', {}, noun), el('dd', noun === 'failed' ? 'jf-bad' : '', {}, value));
    }
    this.tip.replaceChildren(el('b', '', {}, swatch, title), list);
    const { offsetWidth, offsetHeight } = this.tip;
    const left = x + 16 + offsetWidth > this.plotWidth ? x - 16 - offsetWidth : x + 16;
    this.tip.style.left = `${Math.max(4, left)}px`;
    this.tip.style.top = `${Math.max(4, Math.min(y + 14, this.plotHeight - offsetHeight - 4))}px`;
  }

  // --- drawing

  protected override draw(): void {
    this.theme ??= readTheme(this.node);
    const { theme, scene } = this;
    const width = this.plot.clientWidth;
    const height = this.plot.clientHeight;
    if (width < 40 || height < 90) {
      return;
    }
    if (!this.overOnly || width !== this.plotWidth || height !== this.plotHeight) {
      const again = scene.draw(width, height, theme, this.moves);
      clearTimeout(this.rest);
      this.rest = again ? setTimeout(() => this.redraw(), REST) : undefined;
      this.moves = false;
    }
    this.plotWidth = width;
    this.plotHeight = height;
    this.overOnly = true;
    scene.drawOver(width, height, theme, this.pointedAt ?? this.chosenAt, this.range);
    const { store, view } = scene;
    say(this.span, this.spanText());
    this.live.setAttribute('aria-pressed', String(view.live));
    const empty = store.size === 0 && store.open.length === 0;
    this.hint.hidden = !empty;
    if (empty) {
      say(this.hint, 'Nothing has run since somebody looks. Calls appear here as they end.');
    }
    const now = performance.now();
    if (now - this.legendAt > LEGEND) {
      this.legendAt = now;
      this.legend.update(theme);
    }
  }

  private spanText(): string {
    const { store, view } = this.scene;
    const dropped = store.dropped > 0 ? `, ${short(store.dropped)} rows untold` : '';
    const when = view.live ? `last ${seconds(view.span)}` : `${seconds(view.span)} from ${clock(store.base + view.from)}`;
    return `${when} · ${count(store.calls)} calls${dropped}`;
  }

  override dispose(): void {
    clearTimeout(this.rest);
    clearTimeout(this.walking);
    this.observer.disconnect();
    super.dispose();
  }
}

/** The answer to `story`: lists of time, key, what happened, detail. */
function story(answer: unknown): string {
  const lines = Array.isArray(answer) ? answer : [];
  if (lines.length === 0) {
    return 'The journal has forgotten it.';
  }
  return lines
    .map(line => {
      const [at, , what, ...detail] = line as [number, string, string, ...unknown[]];
      const text = detail.map(each => (typeof each === 'string' ? each : JSON.stringify(each))).join(' ');
      const part = (at - Math.floor(at)).toFixed(3).slice(1, 5);
      return `${clock(Math.floor(at))}${part}  ${String(what).padEnd(12)}  ${text}`;
    })
    .join('\n');
}

export const TASK_STREAM: PaneKind = {
  name: 'task-stream',
  title: 'Task stream',
  caption: 'What ran where and when, thread by thread',
  icon: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16"><g class="jp-icon3 jp-icon-selectable" fill="#616161"><rect x="1" y="2" width="5" height="3" rx=".6"/><rect x="7" y="2" width="8" height="3" rx=".6" fill-opacity=".45"/><rect x="1" y="6.5" width="8" height="3" rx=".6" fill-opacity=".45"/><rect x="10" y="6.5" width="5" height="3" rx=".6"/><rect x="3" y="11" width="4" height="3" rx=".6"/><rect x="8" y="11" width="5" height="3" rx=".6" fill-opacity=".45"/></g></svg>`,
  words: ['task stream', 'timeline', 'gantt', 'trace', 'threads', 'transfers', 'when', 'where'],
  create: (context: PaneContext): Pane => new TaskStreamPane(context),
};
