/** The table in a simulated page: only what is in sight exists, and it can be read and moved through without a mouse. */
import { afterEach, describe, expect, it } from 'vitest';
import type { Column, TableOptions } from '../../src/panes/table';
import { Table } from '../../src/panes/table';

interface Row {
  key: string;
  value: number;
}

const ROWS: Row[] = Array.from({ length: 1000 }, (_, i) => ({ key: `w${i}`, value: i }));
let writes = 0;
const columns: Column<Row>[] = [
  { name: 'key', title: 'Worker', width: 80, by: row => row.key, fill: (cell, row) => cell.text(row.key) },
  {
    name: 'value',
    title: 'CPU',
    width: 80,
    number: true,
    by: row => row.value,
    fill: (cell, row) => {
      writes++;
      cell.bar([[row.value / 1000, 'jf-part-a']], String(row.value));
    },
  },
];

/** A table 400 pixels wide and 266 high: a simulated page has no sizes of its own. */
function made(options: Partial<TableOptions<Row>> = {}, rows = ROWS): Table<Row> {
  const table: Table<Row> = new Table<Row>({
    label: 'Workers',
    columns,
    empty: 'No workers.',
    keyOf: row => row.key,
    stale: () => table.draw(),
    ...options,
  });
  Object.defineProperty(table.node, 'clientWidth', { value: 400 });
  Object.defineProperty(table.node, 'clientHeight', { value: 266 });
  Object.defineProperty(table.node, 'scrollHeight', { value: rows.length * 24 });
  document.body.append(table.node);
  table.show(rows);
  table.draw();
  return table;
}

const visible = (table: Table<Row>): HTMLElement[] => [...table.node.querySelectorAll<HTMLElement>('.jf-row:not([hidden])')];
const shown = (table: Table<Row>): string[] => visible(table).map(row => row.textContent ?? '');
const press = (table: Table<Row>, ...keys: string[]): void =>
  keys.forEach(key => table.node.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true })));

afterEach(() => document.body.replaceChildren());

describe('a table of a thousand rows', () => {
  it('has elements for what is in sight only, and says how many rows there are', () => {
    const table = made();
    expect(visible(table).length).toBeLessThan(20);
    expect(shown(table)).toContain('w00');
    expect(table.node.getAttribute('aria-rowcount')).toBe('1001');
    table.node.scrollTop = 24 * 500;
    table.draw();
    expect(shown(table)).toContain('w500500');
    expect(shown(table)).not.toContain('w00');
    expect(visible(table).length).toBeLessThan(25);
    const row = visible(table).find(one => one.textContent === 'w500500');
    expect(row?.getAttribute('aria-rowindex')).toBe('502');
  });

  it('touches the page where something has changed only', () => {
    const table = made();
    writes = 0;
    const changes: MutationRecord[] = [];
    const watch = new MutationObserver(found => changes.push(...found));
    watch.observe(table.node, { subtree: true, childList: true, characterData: true, attributes: true });
    table.show(ROWS.map((row, i) => (i === 3 ? { ...row, value: 999 } : { ...row })));
    table.draw();
    changes.push(...watch.takeRecords());
    watch.disconnect();
    expect(writes).toBeGreaterThan(5);
    expect(changes.filter(change => (change.target as Element).closest?.('.jf-row')).length).toBe(2); // a text and the length of a bar
  });

  it('moves with the keys; the marked row is always there for a screen reader', () => {
    const opened: string[] = [];
    const marked: (string | null)[] = [];
    const table = made({ opened: row => opened.push(row.key), marked: row => marked.push(row?.key ?? null) });
    press(table, 'ArrowDown', 'ArrowDown', 'Enter');
    expect(opened).toEqual(['w1']);
    press(table, 'End');
    const active = document.getElementById(table.node.getAttribute('aria-activedescendant') ?? '');
    expect(active?.textContent).toBe('w999999');
    expect(active?.getAttribute('aria-selected')).toBe('true');
    press(table, 'PageUp', 'Home', 'ArrowUp');
    expect(table.marked?.key).toBe('w0');
    press(table, 'Escape');
    expect(table.marked).toBe(null);
    expect(marked[marked.length - 1]).toBe(null);
    expect(table.node.hasAttribute('aria-activedescendant')).toBe(false);
  });

  it('keeps the mark on its row when the order changes', () => {
    const table = made();
    table.mark('w7');
    table.show([...ROWS].reverse());
    table.draw();
    expect(table.marked?.key).toBe('w7');
  });

  it('tells which heading was chosen, and shows the order to everybody', () => {
    const chosen: string[] = [];
    const table = made({ order: column => chosen.push(column.name) });
    const headings = [...table.node.querySelectorAll<HTMLElement>('[role=columnheader]')];
    headings[1].querySelector('button')?.click();
    table.ordered('value', true);
    expect(chosen).toEqual(['value']);
    expect(headings.map(one => one.getAttribute('aria-sort'))).toEqual([null, 'descending']);
  });

  it('stays at the end while it follows, until one scrolls up', () => {
    const table = made();
    table.tail = true;
    table.draw();
    expect(table.node.scrollTop).toBe(24_000 - 266);
    table.node.scrollTop = 1000;
    table.node.dispatchEvent(new Event('scroll'));
    expect(table.tail).toBe(false);
    table.dropped(10);
    expect(table.node.scrollTop).toBe(760);
  });

  it('says when there is nothing', () => {
    const table = made({}, []);
    expect(table.node.querySelector<HTMLElement>('.jf-table-empty')?.hidden).toBe(false);
    expect(visible(table).length).toBe(0);
  });
});
