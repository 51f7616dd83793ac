/** What the panes workers, memory and network have in common: the topic, a table of workers, and the drawer for one of them. */
import type { PaneContext } from './pane';
import type { Column } from './table';
import type { WorkerRow } from './worker-rows';
import { TablePane } from './table-pane';
import { openWorker, updateWorker } from './worker-detail';
import { workerRows } from './worker-rows';

export abstract class WorkerPane extends TablePane<WorkerRow> {
  protected workers: readonly WorkerRow[] = [];
  private opening = '';

  constructor(context: PaneContext, name: string, label: string, columns: readonly Column<WorkerRow>[], order: readonly [string, boolean]) {
    super(context, name, {
      label,
      columns,
      order,
      search: 'Find workers',
      empty: 'No workers yet.',
      keyOf: row => row.address,
      textOf: row => `${row.name} ${row.host} ${row.address} ${row.state} ${row.pid}`,
    });
    this.watch('workers', data => {
      this.workers = workerRows(data);
      this.told(data.at);
      this.take(this.workers);
    });
  }

  /** New figures have come, of this time. */
  protected told(_at: number): void {
    // most look at `workers` when they draw
  }

  protected override marked(row: WorkerRow | null): void {
    if (row === null) {
      this.detail.close();
      this.opening = '';
    } else if (row.address !== this.opening || !this.detail.isOpen) {
      this.opening = row.address;
      openWorker(this.detail, this.context.feed, this.context.cluster, row);
    }
  }

  protected override draw(): void {
    super.draw();
    const row = this.table.marked;
    if (row && this.detail.isOpen) {
      updateWorker(this.detail, row);
    }
  }
}
