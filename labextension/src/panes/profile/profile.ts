/**
 * The pane "profile": where the workers' threads have been, as a flame graph or as a table of functions. A click zooms into a frame, the bar above
 * leads back; a search lights up what it finds and says its share.
 *
 * With the keyboard: up to the caller, down to what took longest, left and right to the neighbours, Enter zooms, Backspace zooms out. Each frame that is
 * reached is said aloud. The table of functions is the same in words.
 */
import type { Profile } from '../../protocol/snapshots';
import type { Pane as PaneType, PaneContext, PaneKind } from '../pane';
import type { Column } from '../table';
import type { Theme } from '../theme';
import type { Frame, FunctionRow } from './flame';
import { el, freshId, say } from '../dom';
import { Facts } from '../facts';
import { Pane } from '../pane';
import { finder, Rows } from '../rows';
import { Table } from '../table';
import { count, percent, seconds } from '../text';
import { readTheme } from '../theme';
import { button, choice, Menu, searchField, toolbar } from '../toolbar';
import { FlameChart, frameColour } from './chart';
import { frameAt, frames, functionRows, matches, originOf, walk } from './flame';

type Shape = 'flame' | 'functions';

interface Ends {
  samples: number;
  interval_s: number;
}

function functionColumns(ends: Ends): readonly Column<FunctionRow>[] {
  const share = (name: string, title: string, tip: string, of: (row: FunctionRow) => number): Column<FunctionRow> => ({
    name,
    title,
    tip,
    width: 130,
    text: 52,
    grow: 1,
    number: true,
    by: of,
    fill: (cell, row) => cell.bar([[of(row) / ends.samples, 'jf-part-a']], exact(of(row) / ends.samples), '', seconds(of(row) * ends.interval_s)),
  });
  return [
    { name: 'name', title: 'Function', width: 120, grow: 1.4, by: row => row.name, fill: (cell, row) => cell.text(row.name, 'jf-code', row.name) },
    { ...share('own', 'Own', 'Time in the function itself', row => row.own) },
    { ...share('total', 'With callees', 'Time in the function and in what it calls', row => row.total) },
    {
      name: 'file',
      title: 'Where',
      width: 120,
      grow: 1.4,
      spare: 1,
      by: row => row.file,
      fill: (cell, row) => cell.text(row.file ? `${shortFile(row.file)}:${row.line}` : '–', 'jf-soft', row.file),
    },
  ];
}

/** `12.3 %`: a profile's shares are often small. */
export function exact(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

/** The end of a path: the file and the folder it is in; of packages all from the package on. */
export function shortFile(file: string): string {
  const parts = file.split(/[\\/]/);
  const site = Math.max(parts.lastIndexOf('site-packages'), parts.lastIndexOf('dist-packages'));
  return (site >= 0 ? parts.slice(site + 1) : parts.slice(-2)).join('/');
}

class ProfilePane extends Pane {
  private readonly facts = new Facts();
  private readonly chart = new FlameChart();
  private readonly place: HTMLElement;
  private readonly crumbs = el('nav', 'jf-crumbs', { 'aria-label': 'Zoomed into' });
  private readonly line = el('div', 'jf-flame-line');
  private readonly legend = el('div', 'jf-legend', { 'aria-hidden': 'true' });
  private readonly spoken = el('div', 'jf-sr', { 'aria-live': 'polite' });
  private readonly nothing = el('div', 'jf-table-empty', { role: 'status' }, 'No samples yet: they are taken while tasks run and somebody looks.');
  private readonly menu: Menu;
  private readonly table: Table<FunctionRow>;
  private readonly list = new Rows<FunctionRow>(row => `${row.name}\u0001${row.file}`);
  private readonly ends: Ends = { samples: 1, interval_s: 0.01 };
  private ordered: [string, boolean] = ['own', true];
  private known: Theme | null = null;
  private profile: Profile | null = null;
  private all: Frame[] = [];
  private shape: Shape;
  private name: string;
  private search = '';
  private zoomed = '';
  private markedPath = '';
  private pointed = '';
  private crumbed = '';
  private legended = '';

  constructor(context: PaneContext) {
    super(context, 'profile');
    this.shape = context.memory.shape === 'functions' ? 'functions' : 'flame';
    this.name = typeof context.memory.name === 'string' ? context.memory.name : '';
    this.menu = new Menu('Samples of calls of which function', value => {
      this.name = value;
      this.zoomed = '';
      context.remember({ name: value });
      this.rewatch('profile', value ? { name: value } : {});
    });
    const help = freshId('help');
    this.place = el(
      'div',
      'jf-flame',
      {
        tabindex: 0,
        role: 'application',
        'aria-roledescription': 'flame graph',
        'aria-label': 'Flame graph',
        'aria-describedby': help,
        'data-lm-suppress-shortcuts': 'true',
      },
      this.chart.node,
      el(
        'div',
        'jf-sr',
        { id: help },
        'Up leads to the caller, down to what took longest, left and right to the neighbours. Enter zooms, Backspace zooms out. The functions are a table as well.',
      ),
      this.spoken,
    );
    this.table = new Table<FunctionRow>({
      label: 'Functions by time',
      columns: functionColumns(this.ends),
      empty: '',
      keyOf: row => `${row.name}\u0001${row.file}`,
      stale: () => this.stale(),
      order: column => this.orderBy(column.name, this.ordered[0] === column.name ? !this.ordered[1] : Boolean(column.number)),
      rests: rests => {
        this.list.held = rests;
      },
    });
    const field = searchField('Find functions', '', text => {
      this.search = text;
      this.refilter();
    });
    this.node.classList.add('jf-column');
    this.node.append(
      toolbar(
        'Profile',
        choice<Shape>(
          'As',
          [
            ['flame', 'Flame graph'],
            ['functions', 'Functions'],
          ],
          this.shape,
          shape => {
            this.shape = shape;
            context.remember({ shape });
            this.stale();
          },
        ),
        this.menu.node,
        this.facts.node,
        field,
      ),
      this.crumbs,
      this.place,
      this.table.node,
      this.nothing,
      this.line,
      this.legend,
    );
    this.listen();
    this.orderBy('own', true);
    this.watch(
      'profile',
      data => {
        this.profile = data;
        this.all = frames(data.root);
        this.ends.samples = Math.max(1, data.root.count);
        this.ends.interval_s = data.interval_s;
        this.list.set(functionRows(this.all), performance.now());
        this.table.show(this.list.shown);
        this.stale();
      },
      this.name ? { name: this.name } : undefined,
    );
  }

  private listen(): void {
    const { canvas } = this.chart;
    canvas.addEventListener('pointermove', event => this.point(this.chart.at(event.offsetX, event.offsetY)));
    canvas.addEventListener('pointerleave', () => this.point(null));
    canvas.addEventListener('click', event => {
      const frame = this.chart.at(event.offsetX, event.offsetY);
      if (frame) {
        this.markedPath = frame.path;
        this.zoomTo(frame);
      }
    });
    this.place.addEventListener('keydown', event => this.key(event));
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || this.all.length === 0) {
      return;
    }
    const marked = frameAt(this.all, this.markedPath || this.zoomed);
    if (event.key.startsWith('Arrow')) {
      const next = walk(marked, event.key);
      this.markedPath = next.path;
      this.chart.reveal(next);
      say(this.spoken, this.describe(next));
      if (next.depth < frameAt(this.all, this.zoomed).depth) {
        this.zoomTo(next);
      }
    } else if (event.key === 'Enter') {
      this.zoomTo(marked);
    } else if (event.key === 'Backspace' || event.key === 'Escape') {
      const zoomed = frameAt(this.all, this.zoomed);
      if (zoomed.parent === null) {
        return;
      }
      this.zoomTo(event.key === 'Escape' ? this.all[0] : zoomed.parent);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    this.stale();
  }

  private zoomTo(frame: Frame): void {
    this.zoomed = frame.parent === null ? '' : frame.path;
    this.stale();
  }

  private point(frame: Frame | null): void {
    const path = frame?.path ?? '';
    if (path !== this.pointed) {
      this.pointed = path;
      this.chart.canvas.style.cursor = frame ? 'pointer' : '';
      this.chart.canvas.title = frame ? this.describe(frame) : '';
      this.stale();
    }
  }

  /** What is known of a frame, in a line. */
  private describe(frame: Frame): string {
    const { samples, interval_s } = this.ends;
    const where = frame.file ? `, ${shortFile(frame.file)}:${frame.line}` : '';
    const above = frame.parent ? `, ${percent(frame.count / Math.max(1, frame.parent.count))} of its caller` : '';
    const own = frame.own ? `, itself ${exact(frame.own / samples)}` : '';
    return `${frame.name}${where}: ${exact(frame.count / samples)}, ${seconds(frame.count * interval_s)}${own}${above}`;
  }

  private orderBy(name: string, down: boolean): void {
    this.ordered = [name, down];
    const by = functionColumns(this.ends).find(column => column.name === name)?.by;
    this.list.orderBy(by ? { by, down } : null, performance.now());
    this.table.ordered(name, down);
    this.table.show(this.list.shown);
    this.stale();
  }

  private refilter(): void {
    const found = finder(this.search);
    this.list.filter(row => found(`${row.name} ${row.file}`), performance.now());
    this.table.show(this.list.shown);
    this.stale();
  }

  override retheme(): void {
    this.known = null;
    super.retheme();
  }

  protected draw(): void {
    this.known ??= readTheme(this.node);
    const theme = this.known;
    const data = this.profile;
    const flame = this.shape === 'flame';
    const empty = data !== null && data.samples === 0;
    this.place.hidden = !flame || empty;
    this.table.node.hidden = flame || empty;
    this.nothing.hidden = !empty;
    this.line.hidden = !flame || empty;
    this.legend.hidden = !flame || empty;
    if (!data) {
      return;
    }
    const names = data.functions.includes(this.name) || !this.name ? data.functions : [this.name, ...data.functions];
    this.menu.set([['', 'All calls'], ...names.map(name => [name, `Calls of ${name}`] as const)], this.name);
    const hits = this.search ? matches(this.all, finder(this.search)) : null;
    this.facts.set([
      [count(data.samples), data.samples === 1 ? 'sample' : 'samples'],
      [seconds(data.samples * data.interval_s), 'of threads at work'],
      ...(hits ? ([[exact(hits.share), 'in what is found']] as const) : []),
    ]);
    const zoomed = frameAt(this.all, this.zoomed);
    this.drawCrumbs(flame ? zoomed : this.all[0]);
    if (!flame) {
      this.table.draw();
      return;
    }
    const pointed = this.pointed ? frameAt(this.all, this.pointed) : null;
    const marked = this.markedPath ? frameAt(this.all, this.markedPath) : null;
    say(this.line, pointed || marked ? this.describe((pointed ?? marked) as Frame) : ' ');
    this.drawLegend(theme);
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
    const scene = { frames: this.all, zoomed, found: hits?.frames ?? null, pointed, marked };
    if (this.chart.draw(scene, theme, this.chart.node.clientWidth, still)) {
      this.stale();
    }
  }

  /** The way from the root to what is zoomed into; each step leads back. */
  private drawCrumbs(zoomed: Frame): void {
    this.crumbs.hidden = zoomed.parent === null;
    if (zoomed.path === this.crumbed) {
      return;
    }
    this.crumbed = zoomed.path;
    const steps: Frame[] = [];
    for (let frame: Frame | null = zoomed; frame; frame = frame.parent) {
      steps.unshift(frame);
    }
    const shown = steps.length > 6 ? [steps[0], ...steps.slice(-5)] : steps;
    this.crumbs.replaceChildren(
      ...shown.map((frame, i) => {
        const { path } = frame;
        const made = button(i === 0 ? 'all' : frame.name, 'Zoom out to it', () => this.zoomTo(frameAt(this.all, path)));
        made.classList.add('jf-quiet', 'jf-small');
        if (frame === zoomed) {
          made.setAttribute('aria-current', 'true');
        }
        return el('span', i === 1 && shown.length < steps.length ? 'jf-crumb jf-crumb-gap' : 'jf-crumb', {}, made);
      }),
    );
  }

  /** Which colours stand for whose code: the largest few. */
  private drawLegend(theme: Theme): void {
    const sums = new Map<string, { frame: Frame; own: number }>();
    for (const frame of this.all) {
      if (frame.parent && frame.own) {
        const origin = originOf(frame.file);
        const known = sums.get(origin);
        if (known) {
          known.own += frame.own;
        } else {
          sums.set(origin, { frame, own: frame.own });
        }
      }
    }
    const largest = [...sums].sort((a, b) => b[1].own - a[1].own).slice(0, 6);
    const key = `${theme.accent}${theme.dark}${largest.map(([origin]) => origin).join()}`;
    if (key !== this.legended) {
      this.legended = key;
      this.legend.replaceChildren(
        ...largest.map(([origin, { frame }]) => {
          const made = el('span', '', {}, origin === '' ? 'your code' : origin === 'python' ? 'Python itself' : origin);
          made.style.setProperty('--jf-key', frameColour(frame, theme));
          return made;
        }),
      );
    }
  }
}

export const PROFILE: PaneKind = {
  name: 'profile',
  title: 'Profile',
  caption: 'Where the time goes inside of tasks: a flame graph of all workers',
  icon: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16"><g class="jp-icon3 jp-icon-selectable" fill="#616161"><path d="M1.5 2.5h13v2.4h-13z"/><path d="M1.5 5.7h8v2.4h-8zM10.3 5.7h4.2v2.4h-4.2z" fill-opacity=".75"/><path d="M1.5 8.9h4.6v2.4H1.5zM10.3 8.9h2.6v2.4h-2.6z" fill-opacity=".55"/><path d="M1.5 12.1h2.4v1.9H1.5z" fill-opacity=".4"/></g></svg>`,
  words: ['profile', 'flame graph', 'performance', 'hot', 'functions', 'slow', 'samples'],
  create: (context: PaneContext): PaneType => new ProfilePane(context),
};
