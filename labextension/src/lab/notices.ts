/**
 * When a submitted cell ends: what is worth a notification. Only cells of notebooks that are open in this page count, of clusters that these use, and
 * only those whose end was seen here: what had ended when the page was opened is no news.
 */
import type { CellRow, Cells } from '../protocol/snapshots';

/** The end of one cell. */
export interface Ending {
  row: CellRow;
  failed: boolean;
  took_s: number;
}

/** Finds the ends in what the cells topic of one cluster tells. */
export class Endings {
  private readonly open = new Set<string>();

  /** The cells of these kernels that have ended since the last time, and took at least so long. */
  take(cells: Cells, kernels: ReadonlySet<string>, least_s: number): Ending[] {
    const found: Ending[] = [];
    for (const row of cells.rows) {
      if (row.ended_at === null) {
        this.open.add(row.origin);
      } else if (this.open.delete(row.origin) && row.submitted && kernels.has(row.kernel) && row.ended_at - row.started_at >= least_s) {
        found.push({ row, failed: row.tasks.erred > 0, took_s: row.ended_at - row.started_at });
      }
    }
    return found;
  }
}

/** `In [12] of study.ipynb (x = fit(data))` */
export function nameOf(row: CellRow): string {
  const file = row.session.slice(row.session.lastIndexOf('/') + 1);
  const place = [row.number > 0 ? `In [${row.number}]` : '', file && `of ${file}`].filter(part => part !== '').join(' ');
  const title = row.title.length > 60 ? `${row.title.slice(0, 59)}…` : row.title;
  return place === '' ? title : title === '' ? place : `${place} (${title})`;
}
