/**
 * Tells when a submitted cell has ended that the user does not see right now. The cells of a cluster are watched only while a notebook that is open
 * here uses it.
 */
import { Notification } from '@jupyterlab/apputils';
import type { CommandRegistry } from '@lumino/commands';
import type { Disposable } from '../feed/feed';
import { seconds } from '../panes/text';
import { uses } from './clusters';
import { Endings, nameOf, type Ending } from './notices';
import type { Notebooks } from './notebooks';
import { Command, type ICore } from './tokens';

export class Notifier {
  private readonly watches = new Map<string, Disposable>();

  constructor(
    private readonly core: ICore,
    private readonly notebooks: Notebooks,
    private readonly commands: CommandRegistry,
  ) {
    core.clusters.changed.connect(this.update, this);
    core.settings.changed.connect(this.update, this);
    notebooks.changed.connect(this.update, this);
    this.update();
  }

  private update(): void {
    const kernels = this.core.settings.get('notify') === 'never' ? [] : [...this.notebooks.kernels];
    const wanted = new Set(this.core.clusters.list.filter(cluster => kernels.some(kernel => uses(cluster, kernel))).map(cluster => cluster.id));
    for (const [id, watch] of this.watches) {
      if (!wanted.has(id)) {
        watch.dispose();
        this.watches.delete(id);
      }
    }
    for (const id of wanted) {
      if (!this.watches.has(id)) {
        const endings = new Endings();
        const watch = this.core.clusters.feed.watch(id, 'cells', cells => {
          for (const ending of endings.take(cells, this.notebooks.kernels, this.core.settings.get('notifyAfter'))) {
            this.tell(ending);
          }
        });
        this.watches.set(id, watch);
      }
    }
  }

  private tell({ row, failed, took_s }: Ending): void {
    if (this.core.settings.get('notify') === 'unseen' && this.notebooks.isInView(row.cell_id)) {
      return;
    }
    const text = `${nameOf(row)} ${failed ? 'failed' : 'is done'} after ${seconds(took_s)}`;
    const goTo = { label: 'Go to cell', callback: () => void this.commands.execute(Command.goToCell, { session: row.session, cellId: row.cell_id }) };
    Notification.emit(text, failed ? 'error' : 'success', { actions: [goTo], autoClose: failed ? false : 10_000 });
  }
}
