/**
 * The names of the stream with their colours and how long they have run, the longest first: a legend that hides and shows them, and, read as a
 * table, the stream for those who do not see it.
 */
import { el, say } from '../dom';
import { searchField } from '../toolbar';
import { count, seconds } from '../text';
import type { Theme } from '../theme';
import type { Scene } from './scene';

const ROWS = 60;

interface Line {
  name: string;
  node: HTMLButtonElement;
  swatch: HTMLElement;
  label: HTMLElement;
  time: HTMLElement;
  calls: HTMLElement;
  failed: HTMLElement;
  bar: HTMLElement;
}

export class Legend {
  readonly node: HTMLElement;
  private readonly list = el('div', 'jf-names-list', { role: 'group', 'aria-label': 'Functions: press to hide or show' });
  private readonly more = el('p', 'jf-names-more');
  private readonly search: HTMLInputElement;
  private readonly all: HTMLButtonElement;
  private lines: Line[] = [];
  private wanted = '';

  /** `changed` is given the names that are hidden. */
  constructor(
    private readonly scene: Scene,
    private readonly changed: (hidden: Set<string>) => void,
  ) {
    this.search = searchField('Find a function', '', text => {
      this.wanted = text.toLowerCase();
      this.changed(this.scene.bands.hidden);
    });
    this.all = el('button', 'jf-button jf-quiet', { type: 'button' }, 'Show all');
    this.all.addEventListener('click', () => this.changed(new Set()));
    this.node = el(
      'aside',
      'jf-names',
      { 'aria-label': 'Functions', 'data-lm-suppress-shortcuts': 'true' },
      this.search,
      this.list,
      this.more,
      this.all,
    );
  }

  update(theme: Theme): void {
    const { store, bands } = this.scene;
    const names = store.names
      .map((name, i) => ({ name, i, totals: store.totals[i] }))
      .filter(each => each.totals.count > 0 && (!this.wanted || each.name.toLowerCase().includes(this.wanted)))
      .sort((a, b) => Math.min(a.totals.kind, 1) - Math.min(b.totals.kind, 1) || b.totals.busy - a.totals.busy);
    const most = names.reduce((max, each) => Math.max(max, each.totals.busy), 0) || 1;
    const shown = names.slice(0, ROWS);
    while (this.lines.length < shown.length) {
      this.lines.push(this.newLine());
    }
    this.lines.forEach((line, i) => {
      const each = shown[i];
      line.node.hidden = each === undefined;
      if (each) {
        const hidden = bands.hidden.has(each.name);
        line.name = each.name;
        line.swatch.style.background = this.scene.colour(each.i, theme);
        line.bar.style.background = line.swatch.style.background;
        line.bar.style.width = `${((100 * each.totals.busy) / most).toFixed(1)}%`;
        say(line.label, each.name);
        say(line.time, seconds(each.totals.busy));
        say(line.calls, count(each.totals.count));
        say(line.failed, each.totals.erred > 0 ? `${count(each.totals.erred)} failed` : '');
        line.node.setAttribute('aria-pressed', String(!hidden));
        line.node.title = `${each.name}\nClick: ${hidden ? 'show' : 'hide'}. Double click: only this one`;
      }
    });
    say(this.more, names.length > ROWS ? `and ${count(names.length - ROWS)} more: find them above` : '');
    this.search.hidden = store.names.length <= 12 && !this.wanted;
    this.all.hidden = bands.hidden.size === 0;
  }

  private newLine(): Line {
    const swatch = el('span', 'jf-names-swatch', { 'aria-hidden': 'true' });
    const label = el('span', 'jf-names-label');
    const time = el('span', 'jf-names-time');
    const calls = el('span', 'jf-names-calls');
    const failed = el('span', 'jf-names-failed');
    const bar = el('span', '', { 'aria-hidden': 'true' });
    const second = el('span', 'jf-names-second', {}, el('span', 'jf-names-bar', {}, bar), failed, calls);
    const node = el('button', 'jf-names-line', { type: 'button' }, swatch, label, time, second);
    const line: Line = { name: '', node, swatch, label, time, calls, failed, bar };
    node.addEventListener('click', event => {
      const hidden = new Set(this.scene.bands.hidden);
      if (event.detail > 1 || event.shiftKey) {
        this.only(line.name);
        return;
      }
      if (!hidden.delete(line.name)) {
        hidden.add(line.name);
      }
      this.changed(hidden);
    });
    this.list.append(node);
    return line;
  }

  /** Show one name only. */
  only(name: string): void {
    this.changed(new Set(this.scene.store.names.filter(other => other !== name)));
  }
}
