/**
 * A pane that is a table: numbers and a search field above it, the live list (`rows.ts`) in the order of a heading, a drawer for the marked row. Its
 * order and its search are remembered with the page.
 */
import type { PaneContext } from './pane';
import type { Theme } from './theme';
import type { Column } from './table';
import { Detail } from './detail';
import { el } from './dom';
import { Facts } from './facts';
import { Pane } from './pane';
import { finder, REST_MS, Rows } from './rows';
import { Table } from './table';
import { readTheme } from './theme';
import { searchField, toolbar } from './toolbar';

export interface TablePaneOptions<R> {
  /** What the table is, for screen readers. */
  readonly label: string;
  readonly columns: readonly Column<R>[];
  /** The column that it is ordered by until the user says otherwise, and whether downwards; null: as they come. */
  readonly order: readonly [column: string, down: boolean] | null;
  /** What the search field says. */
  readonly search: string;
  readonly empty: string;
  readonly rowHeight?: number;
  keyOf(row: R): string;
  /** What a search looks at. */
  textOf(row: R): string;
  toneOf?(row: R): string;
}

export abstract class TablePane<R> extends Pane {
  protected readonly table: Table<R>;
  protected readonly list: Rows<R>;
  protected readonly facts = new Facts();
  protected readonly tools: HTMLElement;
  /** Between the tools and the table. */
  protected readonly above = el('div', 'jf-above');
  protected readonly detail: Detail;
  private search: string;
  private ordered: readonly [column: string, down: boolean] | null;
  private known: Theme | null = null;
  private sorting = 0;

  constructor(
    context: PaneContext,
    name: string,
    private readonly options: TablePaneOptions<R>,
  ) {
    super(context, name);
    this.search = typeof context.memory.search === 'string' ? context.memory.search : '';
    this.ordered = this.recall();
    this.list = new Rows<R>(row => options.keyOf(row));
    this.table = new Table<R>({
      label: options.label,
      columns: options.columns,
      empty: options.empty,
      rowHeight: options.rowHeight,
      keyOf: row => options.keyOf(row),
      toneOf: options.toneOf,
      stale: () => this.stale(),
      order: column => this.choose(column),
      marked: row => this.marked(row),
      opened: row => this.opened(row),
      rests: rests => {
        this.list.held = rests;
        this.sortLater();
      },
    });
    this.detail = new Detail('Details', () => {
      this.table.mark(null);
      this.table.focus();
    });
    const field = searchField(options.search, this.search, text => {
      this.search = text;
      context.remember({ search: text });
      this.refilter();
    });
    this.tools = toolbar(options.label, this.facts.node, field);
    this.node.classList.add('jf-column');
    this.node.append(this.tools, this.above, this.table.node, this.detail.node);
    this.refilter();
    this.reorder();
  }

  /** These are the rows now. */
  protected take(rows: readonly R[]): void {
    this.list.set(rows, performance.now());
    this.table.show(this.list.shown);
    this.sortLater();
    this.stale();
  }

  /** The last snapshot before a silence is put in order as well. */
  private sortLater(): void {
    if (this.list.behind && !this.list.held && !this.sorting) {
      this.sorting = window.setTimeout(() => {
        this.sorting = 0;
        if (this.list.behind && !this.list.held) {
          this.list.sort(performance.now());
          this.table.show(this.list.shown);
          this.stale();
        }
      }, REST_MS);
    }
  }

  override dispose(): void {
    window.clearTimeout(this.sorting);
    super.dispose();
  }

  /** Besides the search: whether a row is to be seen. */
  protected wanted(_row: R): boolean {
    return true;
  }

  /** What is wanted has changed. */
  protected refilter(): void {
    const found = finder(this.search);
    this.list.filter(row => this.wanted(row) && found(this.options.textOf(row)), performance.now());
    this.table.show(this.list.shown);
    this.stale();
  }

  protected get theme(): Theme {
    this.known ??= readTheme(this.node);
    return this.known;
  }

  override retheme(): void {
    this.known = null;
    super.retheme();
  }

  protected draw(): void {
    const { total } = this.list;
    this.table.sayNothing(total ? `None of ${total.toLocaleString('en-US')} is like that.` : this.options.empty);
    this.drawAbove();
    this.table.draw();
  }

  /** Draw what stands above the table. */
  protected drawAbove(): void {
    // nothing, for most
  }

  /** A row was marked; null: none is. */
  protected marked(_row: R | null): void {
    // a table that has no more to tell
  }

  /** Enter, or a double click. */
  protected opened(_row: R): void {
    // as above
  }

  private choose(column: Column<R>): void {
    const down = this.ordered?.[0] === column.name ? !this.ordered[1] : Boolean(column.number);
    this.ordered = [column.name, down];
    this.context.remember({ order: column.name, down });
    this.reorder();
  }

  private reorder(): void {
    const by = this.options.columns.find(column => column.name === this.ordered?.[0])?.by;
    this.list.orderBy(by && this.ordered ? { by, down: this.ordered[1] } : null, performance.now());
    this.table.ordered(this.ordered?.[0] ?? '', this.ordered?.[1] ?? false);
    this.table.show(this.list.shown);
    this.stale();
  }

  private recall(): readonly [string, boolean] | null {
    const { order, down } = this.context.memory;
    return this.options.columns.some(column => column.name === order && column.by) ? [order as string, Boolean(down)] : this.options.order;
  }
}
