/**
 * The panes that are open as tabs: opened, found again, put side by side, and restored with the page. Notebook 7 has room for one document in its main
 * area: there they open in the panel below.
 */
import type { ILabShell, JupyterFrontEnd } from '@jupyterlab/application';
import { WidgetTracker } from '@jupyterlab/apputils';
import type { DockLayout } from '@lumino/widgets';
import { PANES } from '../panes';
import type { PaneKind } from '../panes/pane';
import type { Place } from './options';
import { PaneTab, type TabHost } from './tab';
import { Command, type ICore } from './tokens';

/** How a pane is opened. */
export interface OpenOptions {
  /** '' or nothing: the cluster of the notebook at hand. */
  cluster?: string;
  memory?: Record<string, unknown>;
  mode?: DockLayout.InsertMode;
  ref?: string | null;
  activate?: boolean;
}

export class PaneTabs {
  readonly tracker = new WidgetTracker<PaneTab>({ namespace: 'jupyterfut-pane' });
  private numbered = 0;

  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly shell: ILabShell | null,
    private readonly core: ICore,
  ) {}

  /** Where tabs go. */
  get area(): 'main' | 'down' {
    return this.shell ? 'main' : 'down';
  }

  /** All panes there are. */
  get kinds(): readonly PaneKind[] {
    return PANES;
  }

  kind(name: string): PaneKind {
    const kind = PANES.find(one => one.name === name);
    if (!kind) {
      throw new Error(`There is no pane called ${name}.`);
    }
    return kind;
  }

  /** Show the pane of this cluster: the tab that is open, or a new one. */
  open(name: string, options: OpenOptions = {}): PaneTab {
    const cluster = options.cluster ?? '';
    const there = this.tracker.find(tab => tab.kind.name === name && tab.cluster === cluster);
    if (there) {
      if (options.memory) {
        there.recall(options.memory);
      }
      if (options.activate ?? true) {
        this.app.shell.activateById(there.id);
      }
      return there;
    }
    const tab = this.create(name, options);
    void this.app.shell.add(tab, this.area, { mode: options.mode, ref: options.ref, activate: options.activate ?? true });
    if (!this.shell && (options.activate ?? true)) {
      this.app.shell.activateById(tab.id);
    }
    return tab;
  }

  /** A new tab, which the caller puts somewhere: where it is dropped, for one. */
  create(name: string, options: OpenOptions = {}): PaneTab {
    const tab = new PaneTab(this.kind(name), this.core.clusters, this.host(), options.cluster ?? '', options.memory ?? {});
    tab.id = `jupyterfut-pane-${name}-${++this.numbered}`;
    tab.remembered.connect(() => void this.tracker.save(tab));
    void this.tracker.add(tab);
    return tab;
  }

  /** Whether a tab of this pane is open. */
  isOpen(name: string): boolean {
    return this.tracker.find(tab => tab.kind.name === name) !== undefined;
  }

  /**
   * Open the panes of a layout where it says; those that are open already stay where they are. Raises an Error that names the panes that there are not,
   * when the others are open.
   */
  arrange(places: readonly Place[], cluster: string): void {
    const put = new Map<string, PaneTab>();
    const beside = this.app.shell.currentWidget?.id ?? null;
    const there = places.filter(({ pane }) => PANES.some(kind => kind.name === pane));
    for (const { pane, mode, ref } of there) {
      const anchor = put.get(ref ?? '')?.id ?? beside;
      put.set(pane, this.open(pane, { cluster, mode: mode ?? 'split-right', ref: anchor, activate: false }));
    }
    const unknown = places.filter(place => !there.includes(place)).map(({ pane }) => pane);
    if (unknown.length > 0) {
      throw new Error(`The layout in the settings names panes that there are not: ${unknown.join(', ')}.`);
    }
  }

  retheme(): void {
    this.tracker.forEach(tab => tab.retheme());
  }

  private host(): TabHost {
    const { commands } = this.app;
    return {
      goToCell: this.core.notebooks ? (session, cellId) => void commands.execute(Command.goToCell, { session, cellId }) : undefined,
      openPane: (pane, cluster, memory) => void this.open(pane, { cluster, memory }),
      startCluster: () => void commands.execute(Command.start),
    };
  }
}
