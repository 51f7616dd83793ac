/**
 * The page around the tiles: a head that says which cluster this is and how it is, and the list of panes with its search. A button of the list brings
 * its pane onto the page and takes it off; it can be dragged to where the pane is to stand.
 */
import type { Feed, FeedState } from '../feed/feed';
import type { PaneKind } from '../panes/pane';
import { bytes, count, short } from '../panes/text';
import type { ClusterInfo, Summary } from '../protocol/snapshots';
import { AUTO, DARK, LIGHT, LIST, SEARCH, svg } from './icons';
import { panesOf, type Layout } from './layout';
import type { Schemes } from './scheme';
import { recall, remember } from './store';
import { button, DRAGGED } from './tiles';

/** A window of this width has no room for the list beside the panes. */
const NARROW = 560;

/** What the page does when it is told to. */
export interface PageActions {
  open(pane: string): void;
  close(pane: string): void;
}

export class Page {
  readonly node = element('div', 'jf-dash-page');
  private readonly dot = element('span', 'jf-dash-dot');
  private readonly name = element('h1', 'jf-dash-name');
  private readonly facts = element('div', 'jf-dash-facts');
  private readonly note = element('div', 'jf-dash-note');
  private readonly search = element('input', 'jf-dash-search');
  private readonly list = element('ul', 'jf-dash-list');
  private readonly scheme: HTMLButtonElement;
  private readonly items = new Map<string, HTMLButtonElement>();
  private layout: Layout = [];
  private trouble = '';
  private info: ClusterInfo | null = null;
  private state: FeedState = { state: 'connecting', text: '' };
  private isOver = false;

  constructor(
    private readonly kinds: readonly PaneKind[],
    private readonly schemes: Schemes,
    private readonly actions: PageActions,
  ) {
    const fold = button('jf-dash-icon-button jf-dash-fold', LIST, 'List of panes');
    fold.addEventListener('click', () => this.fold(!this.node.classList.contains('jf-mod-folded')));
    this.scheme = button('jf-dash-icon-button', AUTO, 'Colours');
    this.scheme.addEventListener('click', () => this.schemes.next());
    const head = element('header', 'jf-dash-head');
    const mark = element('span', 'jf-dash-mark');
    mark.textContent = 'jupyterfut';
    head.append(fold, this.dot, this.name, this.facts, mark, this.scheme);
    this.note.setAttribute('role', 'status');
    this.note.hidden = true;
    this.node.append(head, this.note, this.side());
    this.fold(recall('folded', innerWidth < NARROW));
    this.colours();
    document.addEventListener('keydown', event => this.key(event));
  }

  /** The tiles stand here. */
  add(tiles: HTMLElement): void {
    this.node.append(tiles);
  }

  // --- what is told

  follow(feed: Feed): void {
    feed.onState(state => {
      this.state = state;
      this.isOver ||= state.state === 'closed';
      this.say();
    });
    feed.onClusters(([info]) => {
      this.info = info ?? this.info;
      this.say();
    });
    this.say();
  }

  /** What is wrong with what is watched. */
  troubled(text: string): void {
    this.trouble = text;
    this.say();
  }

  arranged(layout: Layout): void {
    this.layout = layout;
    const open = new Set(panesOf(layout));
    for (const [name, item] of this.items) {
      item.setAttribute('aria-pressed', String(open.has(name)));
    }
  }

  /** The colours are others. */
  colours(): void {
    const { scheme } = this.schemes;
    this.scheme.replaceChildren(svg({ auto: AUTO, light: LIGHT, dark: DARK }[scheme]));
    this.scheme.title = { auto: 'Colours: as the system has them', light: 'Colours: light', dark: 'Colours: dark' }[scheme];
    this.scheme.setAttribute('aria-label', this.scheme.title);
  }

  private say(): void {
    const { info, state } = this;
    const isOpen = state.state === 'open';
    const trouble = isOpen ? info?.text || this.trouble : state.text;
    this.name.textContent = info?.name ?? '';
    this.name.title = info ? `${info.address}, process ${info.pid} on ${info.host}` : '';
    document.title = info ? `${info.name} – jupyterfut` : 'jupyterfut';
    this.dot.dataset.tone = this.isOver ? 'off' : !isOpen ? 'wait' : trouble ? 'bad' : 'good';
    this.dot.title = this.isOver ? 'ended' : isOpen ? (info?.state ?? '') : 'connecting';
    this.note.textContent = trouble;
    this.note.hidden = trouble === '';
    this.note.dataset.tone = this.isOver ? 'off' : isOpen ? 'bad' : 'wait';
    this.node.classList.toggle('jf-mod-stale', !isOpen);
    this.facts.replaceChildren(...(info?.summary ? factsOf(info.summary) : []));
  }

  // --- the list

  private side(): HTMLElement {
    const side = element('nav', 'jf-dash-side');
    side.setAttribute('aria-label', 'Panes');
    this.search.type = 'search';
    this.search.placeholder = 'Search panes';
    this.search.setAttribute('aria-label', 'Search panes');
    this.search.addEventListener('input', () => this.filter());
    this.search.addEventListener('keydown', event => {
      const found = this.found();
      if (event.key === 'Enter' && found.length > 0 && this.search.value !== '') {
        this.actions.open(this.best(found).name);
        this.search.value = '';
        this.filter();
      } else if (event.key === 'Escape') {
        this.search.value = '';
        this.filter();
        this.search.blur();
      } else if (event.key === 'ArrowDown' && found.length > 0) {
        event.preventDefault();
        this.items.get(found[0].name)?.focus();
      }
    });
    const box = element('label', 'jf-dash-search-box');
    box.append(svg(SEARCH), this.search);
    for (const kind of this.kinds) {
      const item = element('button', 'jf-dash-item');
      item.type = 'button';
      item.title = kind.caption;
      item.draggable = true;
      item.append(svg(kind.icon), text('span', 'jf-dash-item-title', kind.title));
      item.addEventListener('click', () => (this.isOpen(kind.name) ? this.actions.close(kind.name) : this.actions.open(kind.name)));
      item.addEventListener('dragstart', event => event.dataTransfer?.setData(DRAGGED, kind.name));
      item.addEventListener('keydown', event => this.step(event, kind.name));
      this.items.set(kind.name, item);
      const entry = element('li', '');
      entry.append(item);
      this.list.append(entry);
    }
    side.append(box, this.list);
    return side;
  }

  private isOpen(name: string): boolean {
    return panesOf(this.layout).includes(name);
  }

  private found(): PaneKind[] {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    return this.kinds.filter(kind => {
      const all = [kind.name, kind.title, kind.caption, ...kind.words].join(' ').toLowerCase();
      return words.every(word => all.includes(word));
    });
  }

  /** The one that is meant, most likely: words of its title count before others. */
  private best(found: readonly PaneKind[]): PaneKind {
    const words = this.search.value.trim().toLowerCase();
    const rank = ({ title }: PaneKind): number => {
      const at = title.toLowerCase().indexOf(words);
      return at === 0 ? 0 : at > 0 ? 1 : 2;
    };
    return found.reduce((best, kind) => (rank(kind) < rank(best) ? kind : best));
  }

  private filter(): void {
    const found = this.found();
    const best = this.search.value.trim() === '' || found.length === 0 ? null : this.best(found);
    for (const kind of this.kinds) {
      const item = this.items.get(kind.name)!;
      item.parentElement!.hidden = !found.includes(kind);
      item.classList.toggle('jf-mod-best', kind === best);
    }
  }

  /** Up and down in the list. */
  private step(event: KeyboardEvent, name: string): void {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by !== undefined) {
      event.preventDefault();
      const found = this.found();
      const next = found[found.findIndex(kind => kind.name === name) + by];
      (next ? this.items.get(next.name)! : this.search).focus();
    }
  }

  private key(event: KeyboardEvent): void {
    const isTyping = event.target instanceof HTMLElement && event.target.matches('input, textarea, select, [contenteditable]');
    if (event.key === '/' && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      this.fold(false);
      this.search.focus();
      this.search.select();
    }
  }

  private fold(folded: boolean): void {
    this.node.classList.toggle('jf-mod-folded', folded);
    remember('folded', folded);
  }
}

/** How the cluster is, in a line. */
function factsOf(summary: Summary): HTMLElement[] {
  const { tasks } = summary;
  const waiting = tasks.waiting + tasks.queued;
  const facts = [
    fact(count(summary.workers), summary.workers === 1 ? 'worker' : 'workers'),
    fact(count(summary.threads), summary.threads === 1 ? 'thread' : 'threads'),
    meter('CPU', `${Math.round((100 * summary.cpu) / Math.max(1, summary.threads))} %`, summary.cpu / Math.max(1, summary.threads)),
    meter('Memory', bytes(summary.memory), summary.memory_limit > 0 ? summary.memory / summary.memory_limit : null),
    fact(short(summary.rate), 'tasks/s'),
    fact(short(tasks.processing), 'assigned'),
    fact(short(waiting), 'waiting'),
    fact(short(summary.done), 'done'),
  ];
  if (tasks.erred > 0) {
    const failed = fact(short(tasks.erred), 'failed');
    failed.classList.add('jf-mod-bad');
    facts.push(failed);
  }
  return facts;
}

function fact(number: string, noun: string): HTMLElement {
  const node = element('span', 'jf-dash-fact');
  node.append(text('b', '', number), ` ${noun}`);
  return node;
}

function meter(noun: string, number: string, share: number | null): HTMLElement {
  const node = element('span', 'jf-dash-fact');
  node.append(`${noun} `, text('b', '', number));
  if (share !== null) {
    const bar = element('span', 'jf-dash-meter');
    bar.style.setProperty('--share', String(Math.min(1, Math.max(0, share))));
    bar.dataset.tone = share > 0.9 && noun === 'Memory' ? 'bad' : '';
    node.append(bar);
  }
  return node;
}

function element<K extends keyof HTMLElementTagNameMap>(tag: K, name: string): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  node.className = name;
  return node;
}

function text<K extends keyof HTMLElementTagNameMap>(tag: K, name: string, content: string): HTMLElementTagNameMap[K] {
  const node = element(tag, name);
  node.textContent = content;
  return node;
}
