/**
 * Where panes stand on the page: rows of panes, each with its share of the room. A layout is a value; what changes it makes a new one. Its words go
 * into the address, so that a link shows what its sender saw: `task-stream+workers/progress` is two panes side by side above a third.
 */

export interface Cell {
  readonly pane: string;
  /** Of its row's width, in any unit. */
  readonly share: number;
}

export interface Row {
  readonly cells: readonly Cell[];
  /** Of the page's height. */
  readonly share: number;
}

export type Layout = readonly Row[];

/** Where something is put, as seen from a pane that stands there. */
export type Side = 'left' | 'right' | 'above' | 'below';

/** No pane gets less than this of what two neighbours have together. */
const LEAST = 0.1;

/** The words of a layout: names, and shares where they are not even. */
export function toText(layout: Layout): string {
  const marked = (name: string, mark: string, share: number): string =>
    Math.abs(share - 1) < 0.005 ? name : `${name}${mark}${Number(share.toFixed(2))}`;
  return layout.map(row => marked(row.cells.map(cell => marked(cell.pane, '~', cell.share)).join('+'), '!', row.share)).join('/');
}

/** The layout of these words; panes that `known` does not know, and those that stand there twice, are left out. */
export function fromText(text: string, known: (pane: string) => boolean): Layout {
  const met = new Set<string>();
  const rows: Row[] = [];
  for (const words of text.split('/')) {
    const [names, height] = words.split('!');
    const cells: Cell[] = [];
    for (const word of names.split('+')) {
      const [pane, width] = word.split('~');
      if (known(pane) && !met.has(pane)) {
        met.add(pane);
        cells.push({ pane, share: shareOf(width) });
      }
    }
    if (cells.length > 0) {
      rows.push({ cells, share: shareOf(height) });
    }
  }
  return even(rows);
}

function shareOf(word: string | undefined): number {
  const share = Number(word);
  return word !== undefined && share > 0.01 && share < 100 ? share : 1;
}

/** Shares whose mean is 1. */
function even(layout: Layout): Layout {
  const scaled = <T extends { share: number }>(parts: readonly T[]): T[] => {
    const mean = parts.reduce((sum, part) => sum + part.share, 0) / parts.length;
    return parts.map(part => ({ ...part, share: part.share / mean }));
  };
  return scaled(layout.map(row => ({ ...row, cells: scaled(row.cells) })));
}

export function panesOf(layout: Layout): string[] {
  return layout.flatMap(row => row.cells.map(cell => cell.pane));
}

/** One pane more: in the row that has most room for it, or in a new one. `wide`: how many times as wide as high the page is. */
export function add(layout: Layout, pane: string, wide: number): Layout {
  if (panesOf(layout).includes(pane)) {
    return layout;
  }
  const most = Math.max(1, Math.round(Math.sqrt((panesOf(layout).length + 1) * Math.max(0.3, wide / 1.6))));
  const roomy = layout.filter(row => row.cells.length < most);
  const row = roomy[roomy.length - 1];
  if (row === undefined) {
    return even([...layout, { cells: [{ pane, share: 1 }], share: 1 }]);
  }
  return even(layout.map(one => (one === row ? { ...row, cells: [...row.cells, { pane, share: 1 }] } : one)));
}

/** One pane less. */
export function remove(layout: Layout, pane: string): Layout {
  return even(layout.map(row => ({ ...row, cells: row.cells.filter(cell => cell.pane !== pane) })).filter(row => row.cells.length > 0));
}

/** Put a pane, from wherever it stands or from outside, beside another one. */
export function place(layout: Layout, pane: string, side: Side, beside: string): Layout {
  if (pane === beside) {
    return layout;
  }
  const rest = remove(layout, pane);
  return even(
    rest.flatMap(row => {
      const at = row.cells.findIndex(cell => cell.pane === beside);
      if (at < 0) {
        return [row];
      }
      const fresh: Cell = { pane, share: 1 };
      if (side === 'above' || side === 'below') {
        const line: Row = { cells: [fresh], share: row.share };
        return side === 'above' ? [line, row] : [row, line];
      }
      const cells = [...row.cells];
      cells.splice(side === 'left' ? at : at + 1, 0, fresh);
      return [{ ...row, cells }];
    }),
  );
}

/** Move the border below row `row`, by this part of what both rows have together. */
export function moveBelow(layout: Layout, row: number, by: number): Layout {
  return moved(layout, row, by);
}

/** Move the border right of cell `cell` of row `row`. */
export function moveRight(layout: Layout, row: number, cell: number, by: number): Layout {
  return layout.map((one, i) => (i === row ? { ...one, cells: moved(one.cells, cell, by) } : one));
}

function moved<T extends { share: number }>(parts: readonly T[], at: number, by: number): T[] {
  const both = parts[at].share + parts[at + 1].share;
  const first = Math.min(1 - LEAST, Math.max(LEAST, parts[at].share / both + by)) * both;
  return parts.map((part, i) => (i === at ? { ...part, share: first } : i === at + 1 ? { ...part, share: both - first } : part));
}
