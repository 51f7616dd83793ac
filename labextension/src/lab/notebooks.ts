/**
 * The notebooks that are open: which one is at hand, and what its kernel is, read from what the front end knows anyway. Nothing is executed here, but
 * for `inject`, which the user asks for.
 */
import { NotebookActions, type INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Signal, type ISignal } from '@lumino/signaling';

export class Notebooks {
  private readonly signal = new Signal<this, void>(this);

  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly tracker: INotebookTracker,
  ) {
    tracker.currentChanged.connect(this.tell, this);
    tracker.widgetAdded.connect((_, panel) => {
      panel.sessionContext.kernelChanged.connect(this.tell, this);
      panel.disposed.connect(this.tell, this);
      this.tell();
    });
    tracker.forEach(panel => panel.sessionContext.kernelChanged.connect(this.tell, this));
  }

  private tell(): void {
    this.signal.emit();
  }

  /** Another notebook is at hand, or one has another kernel, or one has been opened or closed. */
  get changed(): ISignal<this, void> {
    return this.signal;
  }

  get current(): NotebookPanel | null {
    return this.tracker.currentWidget;
  }

  /** The kernel of the notebook at hand; '' when there is none. */
  get kernel(): string {
    return kernelOf(this.current);
  }

  /** The kernels of all notebooks that are open here. */
  get kernels(): Set<string> {
    const found = new Set<string>();
    this.tracker.forEach(panel => found.add(kernelOf(panel)));
    found.delete('');
    return found;
  }

  /** Whether code for a Python kernel makes sense in the notebook at hand. */
  get canInject(): boolean {
    const panel = this.current;
    return panel !== null && panel.content.model !== null && !panel.content.model.readOnly;
  }

  /** A new cell above the active one, which becomes the active one. Runs it if asked to: the one place that executes what a user did not type. */
  async inject(code: string, run: boolean): Promise<void> {
    const panel = this.current;
    if (!panel) {
      throw new Error('No notebook is open.');
    }
    await panel.context.ready;
    const { content, sessionContext } = panel;
    const empty = content.activeCell?.model.type === 'code' && content.activeCell.model.sharedModel.getSource().trim() === '';
    if (!empty) {
      NotebookActions.insertAbove(content);
    }
    if (content.activeCell?.model.type !== 'code') {
      NotebookActions.changeCellType(content, 'code');
    }
    content.activeCell?.model.sharedModel.setSource(code);
    this.app.shell.activateById(panel.id);
    if (run) {
      await NotebookActions.run(content, sessionContext);
    }
  }

  /**
   * Show a cell, opening its notebook if need be. A cell is found by its id among the open notebooks; `session` is the notebook's path as its kernel
   * knows it, an absolute one mostly. Raises an Error that says what is not there.
   */
  async goTo(session: string, cellId: string): Promise<void> {
    const panel = this.withCell(cellId) ?? (await this.open(session));
    this.app.shell.activateById(panel.id);
    await panel.context.ready;
    await panel.revealed;
    const index = panel.content.widgets.findIndex(cell => cell.model.id === cellId);
    if (index < 0) {
      if (cellId === '') {
        return; // the notebook is all that is known
      }
      throw new Error(`The cell is not in ${panel.context.path} any more.`);
    }
    panel.content.deselectAll();
    panel.content.activeCellIndex = index;
    await panel.content.scrollToItem(index, 'center');
    flash(panel.content.widgets[index].node);
  }

  /** Whether the cell can be seen right now. */
  isInView(cellId: string): boolean {
    const panel = this.withCell(cellId);
    const cell = panel?.content.widgets.find(one => one.model.id === cellId);
    if (!panel?.isVisible || !cell || document.hidden) {
      return false;
    }
    const box = cell.node.getBoundingClientRect();
    const frame = panel.content.node.getBoundingClientRect();
    return box.height > 0 && box.bottom > frame.top && box.top < frame.bottom;
  }

  private withCell(cellId: string): NotebookPanel | undefined {
    return cellId === '' ? undefined : this.tracker.find(panel => panel.content.widgets.some(cell => cell.model.id === cellId));
  }

  private async open(session: string): Promise<NotebookPanel> {
    const isIt = (path: string): boolean => path !== '' && (session === path || session.endsWith(`/${path}`));
    const opened = this.tracker.find(panel => isIt(panel.context.path));
    if (opened) {
      return opened;
    }
    const running = [...this.app.serviceManager.sessions.running()].find(model => isIt(model.path));
    if (session === '' || !running) {
      throw new Error(session ? `${session} is not open, and no kernel here runs it.` : 'Nobody knows in which notebook this cell is.');
    }
    const panel: NotebookPanel = await this.app.commands.execute('docmanager:open', { path: running.path });
    return panel;
  }
}

/** The id of the panel's kernel, or ''. */
export function kernelOf(panel: NotebookPanel | null): string {
  return panel?.sessionContext.session?.kernel?.id ?? '';
}

/** Draw the eye to an element, once. */
function flash(node: HTMLElement): void {
  node.classList.remove('jf-mod-found');
  void node.offsetWidth; // the animation begins anew
  node.classList.add('jf-mod-found');
  node.addEventListener('animationend', () => node.classList.remove('jf-mod-found'), { once: true });
}
