/**
 * A table that stays fast: only the rows in sight exist, and of these only the texts that have changed are written. It shows what it is given, in
 * the order in which it is given (`rows.ts` makes the order), and tells when a heading or a row is chosen.
 *
 * With the keyboard: the table is one stop of the Tab key, arrows, Page Up and Down, Home and End move the marked row, Enter opens it; the headings
 * are buttons. For screen readers it is an ARIA grid whose `aria-activedescendant` is the marked row, which always exists.
 */
import { el, freshId, say } from './dom';

export interface Column<R> {
  /** The name under which an order is remembered. */
  readonly name: string;
  readonly title: string;
  /** What the heading's tooltip says. */
  readonly tip?: string;
  /** Least width in pixels. */
  readonly width: number;
  /** The share it has of the space that is left; 0: none. */
  readonly grow?: number;
  /** Where cells have bars: the width of the texts beside them, so that all bars are equally long. */
  readonly text?: number;
  /** Numbers: right-aligned, and the first click on the heading brings the largest up. */
  readonly number?: boolean;
  /** In a narrow table, columns with the largest number go first; undefined: never. */
  readonly spare?: number;
  /** By what it can be ordered. */
  by?(row: R): string | number;
  /** Write a row's cell. */
  fill(cell: Cell, row: R): void;
}

/** A part of a bar: how long it is, of 1, and its class. */
export type Part = readonly [share: number, className: string];

/** One cell: remembers what it shows. */
export class Cell {
  private shown = '';
  private hint = '';
  private tone = '';
  private painted = '';
  private barNode: HTMLElement | null = null;
  private textNode: HTMLElement | null = null;
  private parts: { node: HTMLElement; share: string; className: string }[] = [];
  private made: HTMLElement | null = null;

  constructor(readonly node: HTMLElement) {}

  /** A text, with a tone (a class) and a tooltip. */
  text(text: string, tone = '', hint = ''): void {
    if (text !== this.shown) {
      this.shown = text;
      (this.textNode ?? this.node).textContent = text;
    }
    this.look(tone, hint);
  }

  /** A bar of parts before a text. A mark is a thin line at a share of the bar. */
  bar(parts: readonly Part[], text: string, tone = '', hint = ''): void {
    if (!this.barNode || !this.textNode) {
      this.barNode = el('span', 'jf-bar', { 'aria-hidden': 'true' });
      this.textNode = el('span', 'jf-bar-text');
      this.node.classList.add('jf-with-bar');
      this.node.replaceChildren(this.barNode, this.textNode);
    }
    while (this.parts.length < parts.length) {
      const node = el('i');
      this.parts.push({ node, share: '', className: '' });
      this.barNode.append(node);
    }
    for (let i = 0; i < this.parts.length; i++) {
      const part = this.parts[i];
      const [length, className] = parts[i] ?? [0, ''];
      const share = `${(Math.min(1, Math.max(0, length)) * 100).toFixed(1)}%`;
      if (share !== part.share) {
        part.share = share;
        part.node.style.width = share;
      }
      if (className !== part.className) {
        part.className = className;
        part.node.className = className;
      }
    }
    this.text(text, tone, hint);
  }

  /** A text after a dot of a tone. */
  dotted(text: string, tone: string, hint = ''): void {
    this.node.classList.add('jf-dotted');
    this.text(text, tone, hint);
  }

  /** The colour of the dot. */
  colour(colour: string): void {
    if (colour !== this.painted) {
      this.painted = colour;
      this.node.style.setProperty('--jf-dot', colour);
    }
  }

  /** An element of the column's own, made once. */
  own<E extends HTMLElement>(make: () => E): E {
    if (!this.made) {
      this.made = make();
      this.node.classList.add('jf-own');
      this.node.replaceChildren(this.made);
    }
    return this.made as E;
  }

  private look(tone: string, hint: string): void {
    if (tone !== this.tone) {
      if (this.tone) {
        this.node.classList.remove(this.tone);
      }
      if (tone) {
        this.node.classList.add(tone);
      }
      this.tone = tone;
    }
    if (hint !== this.hint) {
      this.hint = hint;
      this.node.title = hint;
    }
  }
}

export interface TableOptions<R> {
  /** What it is, for screen readers. */
  readonly label: string;
  readonly columns: readonly Column<R>[];
  keyOf(row: R): string;
  /** A class for a row, '' for none. */
  toneOf?(row: R): string;
  /** Shown when there are no rows. */
  readonly empty: string;
  readonly rowHeight?: number;
  /** Draw soon: it has been scrolled, or something was chosen. */
  stale(): void;
  /** The heading of a column that can be ordered by was chosen. */
  order?(column: Column<R>): void;
  /** The marked row; null: none. */
  marked?(row: R | null): void;
  /** Enter, or a double click. */
  opened?(row: R): void;
  /** The pointer rests on the rows, or has left. */
  rests?(rests: boolean): void;
}

interface RowNode {
  node: HTMLElement;
  cells: Cell[];
  place: number;
  tone: string;
  marked: boolean;
}

const SPARE_ROWS = 4;
/** What rows have left and right of their cells, in pixels (tables.css). */
const EDGES = 8;

export class Table<R> {
  readonly node: HTMLElement;
  /** Whether the end stays in sight while rows are added. */
  tail = false;
  readonly rowHeight: number;
  private readonly head: HTMLElement;
  private readonly body: HTMLElement;
  private readonly nothing: HTMLElement;
  private readonly headings = new Map<string, HTMLElement>();
  private readonly id = freshId('table');
  private columns: readonly Column<R>[];
  private nodes: RowNode[] = [];
  private rows: readonly R[] = [];
  private markedKey: string | null = null;
  private markedPlace = -1;
  private width = -1;
  private height = 0;
  private grown = -1;

  constructor(private readonly options: TableOptions<R>) {
    this.rowHeight = options.rowHeight ?? 24;
    this.columns = options.columns;
    this.head = el('div', 'jf-table-head', { role: 'row', 'aria-rowindex': 1 });
    this.body = el('div', 'jf-table-body', { role: 'rowgroup' });
    this.nothing = el('div', 'jf-table-empty', { role: 'row' }, el('div', '', { role: 'gridcell' }, options.empty));
    this.node = el(
      'div',
      'jf-table',
      { role: 'grid', tabindex: 0, 'aria-label': options.label, 'aria-readonly': 'true', 'data-lm-suppress-shortcuts': 'true' },
      this.head,
      this.body,
      this.nothing,
    );
    for (const column of options.columns) {
      this.headings.set(column.name, this.heading(column));
    }
    this.node.addEventListener('scroll', () => this.scrolled(), { passive: true });
    this.node.addEventListener('keydown', event => this.key(event));
    this.body.addEventListener('pointerenter', () => options.rests?.(true));
    this.body.addEventListener('pointerleave', () => options.rests?.(false));
    this.body.addEventListener('click', event => this.markAt(this.placeOf(event), false));
    this.body.addEventListener('dblclick', event => {
      const row = this.rows[this.placeOf(event)];
      if (row !== undefined && !(event.target as Element).closest('button')) {
        options.opened?.(row);
      }
    });
  }

  private heading(column: Column<R>): HTMLElement {
    const node = el('div', column.number ? 'jf-heading jf-number' : 'jf-heading', { role: 'columnheader' });
    if (column.by) {
      const button = el(
        'button',
        '',
        { type: 'button', title: column.tip },
        el('span', '', {}, column.title),
        el('i', 'jf-arrow', { 'aria-hidden': 'true' }),
      );
      button.addEventListener('click', () => this.options.order?.(column));
      node.append(button);
    } else {
      node.append(el('span', '', { title: column.tip }, column.title));
    }
    return node;
  }

  /** These are the rows from now on. What is in sight is written by the next `draw`. */
  show(rows: readonly R[]): void {
    this.rows = rows;
    if (this.markedKey !== null) {
      const at = this.rows[this.markedPlace];
      if (at === undefined || this.options.keyOf(at) !== this.markedKey) {
        this.markedPlace = rows.findIndex(row => this.options.keyOf(row) === this.markedKey);
      }
    }
  }

  /** What is said where there are no rows. */
  sayNothing(text: string): void {
    say(this.nothing.firstChild as Node, text);
  }

  /** Show the arrow at this column. */
  ordered(name: string, down: boolean): void {
    for (const [column, node] of this.headings) {
      if (column === name) {
        node.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      } else {
        node.removeAttribute('aria-sort');
      }
    }
  }

  /** The first row that can be seen, and the one after the last. */
  get range(): [number, number] {
    const top = this.node.scrollTop;
    const first = Math.floor(top / this.rowHeight);
    return [first, Math.min(this.rows.length, Math.ceil((top + this.bodyHeight()) / this.rowHeight))];
  }

  get marked(): R | null {
    return this.rows[this.markedPlace] ?? null;
  }

  /** Mark the row with this key and bring it into sight. */
  mark(key: string | null): void {
    this.markAt(key === null ? -1 : this.rows.findIndex(row => this.options.keyOf(row) === key), true);
  }

  /** So many rows have left at the top: what is in sight stays where it is. */
  dropped(rows: number): void {
    if (!this.tail) {
      this.node.scrollTop = Math.max(0, this.node.scrollTop - rows * this.rowHeight);
    }
    this.markedPlace = Math.max(-1, this.markedPlace - rows);
  }

  /** Go to the end and stay there. */
  toEnd(): void {
    this.tail = true;
    this.options.stale();
  }

  focus(): void {
    this.node.focus({ preventScroll: true });
  }

  /** Write what is in sight. */
  draw(): void {
    const width = this.node.clientWidth;
    this.height = this.node.clientHeight;
    if (width !== this.width) {
      this.width = width;
      this.lay();
    }
    const rows = this.rows.length;
    if (rows !== this.grown) {
      this.grown = rows;
      this.body.style.height = `${rows * this.rowHeight}px`;
      this.node.setAttribute('aria-rowcount', String(rows + 1));
      this.nothing.hidden = rows > 0;
    }
    if (this.tail) {
      const end = this.node.scrollHeight - this.height;
      if (Math.abs(this.node.scrollTop - end) > 1) {
        this.node.scrollTop = end;
      }
    }
    const [from, to] = this.range;
    const first = Math.max(0, from - SPARE_ROWS);
    const last = Math.min(rows, to + SPARE_ROWS);
    this.need(last - first);
    const pool = this.nodes.length;
    for (let place = first; place < last; place++) {
      this.write(this.nodes[place % pool], place);
    }
    for (const one of this.nodes) {
      if (one.place < first || one.place >= last) {
        this.park(one);
      }
    }
    const marked = this.markedPlace >= first && this.markedPlace < last ? `${this.id}-${this.markedPlace % pool}` : '';
    if (marked) {
      this.node.setAttribute('aria-activedescendant', marked);
    } else {
      this.node.removeAttribute('aria-activedescendant');
    }
  }

  private write(one: RowNode, place: number): void {
    const row = this.rows[place];
    if (one.place !== place) {
      if (one.place < 0) {
        one.node.hidden = false;
      }
      one.place = place;
      one.node.style.transform = `translateY(${place * this.rowHeight}px)`;
      one.node.setAttribute('aria-rowindex', String(place + 2));
      one.node.classList.toggle('jf-odd', place % 2 === 1);
    }
    const tone = this.options.toneOf?.(row) ?? '';
    if (tone !== one.tone) {
      if (one.tone) {
        one.node.classList.remove(one.tone);
      }
      if (tone) {
        one.node.classList.add(tone);
      }
      one.tone = tone;
    }
    const marked = place === this.markedPlace;
    if (marked !== one.marked) {
      one.marked = marked;
      one.node.classList.toggle('jf-marked', marked);
      one.node.setAttribute('aria-selected', String(marked));
    }
    for (let i = 0; i < this.columns.length; i++) {
      this.columns[i].fill(one.cells[i], row);
    }
  }

  private park(one: RowNode): void {
    if (one.place !== -1) {
      one.place = -1;
      one.node.hidden = true;
    }
  }

  /** At least so many row elements. The pool only grows, since row and element belong together by remainder. */
  private need(rows: number): void {
    if (rows <= this.nodes.length) {
      return;
    }
    for (const one of this.nodes) {
      one.place = -2; // all are placed anew
    }
    while (this.nodes.length < rows) {
      this.nodes.push(this.rowNode(this.nodes.length));
    }
  }

  private rowNode(i: number): RowNode {
    const node = el('div', 'jf-row', { role: 'row', id: `${this.id}-${i}` });
    node.style.height = `${this.rowHeight}px`;
    this.body.append(node);
    const one: RowNode = { node, cells: [], place: -2, tone: '', marked: false };
    this.cells(one);
    return one;
  }

  private cells(one: RowNode): void {
    one.cells = this.columns.map(column => {
      const node = el('div', column.number ? 'jf-cell jf-number' : 'jf-cell', { role: 'gridcell' });
      if (column.text) {
        node.style.setProperty('--jf-bar-text', `${column.text}px`);
      }
      return new Cell(node);
    });
    one.node.replaceChildren(...one.cells.map(cell => cell.node));
  }

  /** Choose the columns that there is room for, and give them their widths. */
  private lay(): void {
    const columns = fitting(this.options.columns, this.width - EDGES);
    const changed = columns.length !== this.columns.length || columns.some((column, i) => column !== this.columns[i]);
    if (changed || !this.head.firstChild) {
      this.columns = columns;
      this.head.replaceChildren(...columns.map(column => this.headings.get(column.name) as HTMLElement));
      this.node.setAttribute('aria-colcount', String(columns.length));
      for (const one of this.nodes) {
        this.cells(one);
      }
    }
    const tracks = columns.map(column => (column.grow ? `minmax(${column.width}px, ${column.grow}fr)` : `${column.width}px`)).join(' ');
    this.node.style.setProperty('--jf-columns', columns.some(column => column.grow) ? tracks : `${tracks} 1fr`);
    this.node.style.setProperty('--jf-least', `${columns.reduce((sum, column) => sum + column.width, 0)}px`);
  }

  private bodyHeight(): number {
    return Math.max(0, this.height - this.head.offsetHeight);
  }

  private scrolled(): void {
    const end = this.node.scrollHeight - this.node.clientHeight;
    if (this.tail && this.node.scrollTop < end - this.rowHeight) {
      this.tail = false;
    }
    this.options.stale();
  }

  private placeOf(event: Event): number {
    const node = (event.target as Element).closest('.jf-row');
    return this.nodes.find(one => one.node === node)?.place ?? -1;
  }

  private markAt(place: number, reveal: boolean): void {
    const row = this.rows[place];
    this.markedPlace = row === undefined ? -1 : place;
    this.markedKey = row === undefined ? null : this.options.keyOf(row);
    if (row !== undefined && reveal) {
      this.reveal(place);
    }
    this.options.marked?.(row ?? null);
    this.options.stale();
  }

  private reveal(place: number): void {
    const top = place * this.rowHeight;
    const view = this.bodyHeight();
    if (top < this.node.scrollTop) {
      this.node.scrollTop = top;
    } else if (top + this.rowHeight > this.node.scrollTop + view) {
      this.node.scrollTop = top + this.rowHeight - view;
    }
  }

  private key(event: KeyboardEvent): void {
    if (event.target !== this.node || event.ctrlKey || event.metaKey || event.altKey) {
      return; // a heading, or a button in a cell
    }
    const page = Math.max(1, Math.floor(this.bodyHeight() / this.rowHeight) - 1);
    const last = this.rows.length - 1;
    const at = this.markedPlace;
    const aims: Record<string, number> = {
      ArrowDown: at < 0 ? this.range[0] : at + 1,
      ArrowUp: at < 0 ? this.range[0] : at - 1,
      PageDown: Math.max(0, at) + page,
      PageUp: at - page,
      Home: 0,
      End: last,
    };
    const aim = aims[event.key];
    if (aim !== undefined && last >= 0) {
      this.markAt(Math.min(last, Math.max(0, aim)), true);
    } else if (event.key === 'Enter' && this.marked !== null) {
      this.options.opened?.(this.marked);
    } else if (event.key === 'Escape' && at >= 0) {
      this.markAt(-1, false);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}

/** The columns that fit into a width: those that can be spared leave first. */
export function fitting<R>(columns: readonly Column<R>[], width: number): readonly Column<R>[] {
  const kept = [...columns];
  let need = kept.reduce((sum, column) => sum + column.width, 0);
  while (need > width) {
    let worst = -1;
    for (let i = 0; i < kept.length; i++) {
      const spare = kept[i].spare;
      if (spare !== undefined && (worst < 0 || spare > (kept[worst].spare as number))) {
        worst = i;
      }
    }
    if (worst < 0) {
      break;
    }
    need -= kept[worst].width;
    kept.splice(worst, 1);
  }
  return kept;
}
