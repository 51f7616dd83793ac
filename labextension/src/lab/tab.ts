/**
 * A pane as a tab of JupyterLab. It shows the cluster of the notebook at hand, or one that it is bound to, and says above the pane which. When its
 * cluster ends the last picture stays, with a line that says so.
 */
import type { Message } from '@lumino/messaging';
import { Signal, type ISignal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';
import type { Disposable } from '../feed/feed';
import type { Pane, PaneContext, PaneKind } from '../panes/pane';
import type { ClusterInfo } from '../protocol/snapshots';
import { toneOf, type Clusters } from './clusters';
import { paneIcon } from './icons';

/** What a tab asks of the rest of the front end. */
export interface TabHost {
  goToCell?(session: string, cellId: string): void;
  openPane(pane: string, cluster: string, memory?: Record<string, unknown>): void;
  startCluster(): void;
}

export class PaneTab extends Widget {
  readonly kind: PaneKind;
  private readonly clusters: Clusters;
  private readonly host: TabHost;
  private readonly dot = element('span', 'jf-lab-dot');
  private readonly choice = element('select', 'jf-tab-cluster');
  private readonly note = element('span', 'jf-tab-note');
  private readonly stage = element('div', 'jf-tab-stage');
  private readonly empty = element('div', 'jf-tab-empty');
  private readonly observer = new ResizeObserver(() => this.measure());
  private readonly signal = new Signal<this, void>(this);
  private bound: string;
  private boundName = '';
  private kept: Record<string, unknown>;
  private pane: Pane | null = null;
  private shown = ''; // the cluster whose picture this is
  private shownName = '';
  private offered = '';
  private told = ''; // what is wrong with what is watched
  private telling: Disposable | null = null;

  constructor(kind: PaneKind, clusters: Clusters, host: TabHost, cluster: string, memory: Record<string, unknown>) {
    super();
    this.kind = kind;
    this.clusters = clusters;
    this.host = host;
    this.bound = cluster;
    this.kept = memory;
    this.addClass('jf-tab');
    this.node.tabIndex = -1;
    this.title.label = kind.title;
    this.title.caption = kind.caption;
    this.title.icon = paneIcon(kind.name, kind.icon);
    this.title.closable = true;
    this.choice.setAttribute('aria-label', 'Cluster');
    this.choice.addEventListener('change', () => this.bind(this.choice.value));
    this.note.setAttribute('role', 'status');
    const head = element('div', 'jf-tab-head');
    head.append(this.dot, this.choice, this.note);
    this.node.append(head, this.stage, this.empty);
    this.observer.observe(this.stage);
    document.addEventListener('visibilitychange', this.pageTurns);
    clusters.changed.connect(this.refresh, this);
    this.refresh();
  }

  /** The cluster that it is bound to; '': that of the notebook at hand. */
  get cluster(): string {
    return this.bound;
  }

  get memory(): Readonly<Record<string, unknown>> {
    return this.kept;
  }

  /** What is to be restored is different. */
  get remembered(): ISignal<this, void> {
    return this.signal;
  }

  /** Show this cluster from now on; '': that of the notebook at hand. */
  bind(cluster: string): void {
    this.bound = cluster;
    this.boundName = '';
    this.refresh();
    this.signal.emit();
  }

  /** Begin anew with a memory that somebody else has written. */
  recall(memory: Record<string, unknown>): void {
    this.kept = { ...this.kept, ...memory };
    this.drop();
    this.refresh();
    this.signal.emit();
  }

  /** The theme's colours are different. */
  retheme(): void {
    this.pane?.retheme();
  }

  private refresh(): void {
    const cluster = this.bound ? this.clusters.byId(this.bound) : this.clusters.current;
    if (cluster && cluster.id !== this.shown) {
      this.drop();
      this.create(cluster);
    }
    this.shownName = cluster?.name ?? this.shownName;
    this.boundName = (this.bound && cluster?.name) || this.boundName;
    this.title.label = this.bound && this.boundName ? `${this.kind.title} – ${this.boundName}` : this.kind.title;
    this.dot.dataset.tone = cluster ? toneOf(cluster) : 'off';
    this.note.textContent = this.trouble(cluster ?? null);
    this.offer(cluster ?? null);
    this.say();
    this.pane?.feedChanged(this.clusters.feedState);
  }

  /** The line beside the name; '' when all is well. */
  private trouble(cluster: ClusterInfo | null): string {
    const { state, text } = this.clusters.feedState;
    if (state !== 'open') {
      return text || (state === 'connecting' ? 'Connecting …' : 'The connection has ended.');
    }
    if (cluster) {
      return cluster.text || (cluster.state === 'running' ? this.told : cluster.state);
    }
    return this.pane ? `${this.shownName} has ended` : '';
  }

  /** The list of clusters to choose from. */
  private offer(cluster: ClusterInfo | null): void {
    const following = this.clusters.current;
    const choices: [string, string][] = [['', following ? `Notebook’s cluster: ${following.name}` : 'Notebook’s cluster']];
    for (const one of this.clusters.list) {
      choices.push([one.id, one.name]);
    }
    if (this.bound && !cluster) {
      choices.push([this.bound, `${this.boundName || 'A cluster'} (ended)`]);
    }
    const offered = JSON.stringify(choices);
    if (offered !== this.offered && document.activeElement !== this.choice) {
      this.offered = offered;
      this.choice.replaceChildren(...choices.map(([value, text]) => new Option(text, value)));
    }
    this.choice.value = this.bound;
  }

  /** What stands in the pane's place when there is nothing to show. */
  private say(): void {
    const nothing = this.pane === null;
    this.empty.hidden = !nothing;
    this.stage.hidden = nothing;
    if (!nothing) {
      return;
    }
    const waits = !this.clusters.isReady;
    const line = element('p', '');
    line.textContent = waits ? 'Looking for clusters …' : this.bound ? 'This cluster has ended.' : 'No cluster is running.';
    this.empty.replaceChildren(line);
    if (!waits) {
      const follow = this.bound !== '' && this.clusters.list.length > 0;
      const button = element('button', 'jf-button jf-mod-accept');
      button.type = 'button';
      button.textContent = follow ? 'Show the notebook’s cluster' : 'Start a cluster…';
      button.addEventListener('click', () => (follow ? this.bind('') : this.host.startCluster()));
      this.empty.append(button);
    }
  }

  private create(cluster: ClusterInfo): void {
    this.shown = cluster.id;
    const { host } = this;
    const context: PaneContext = {
      feed: this.clusters.feed,
      cluster: cluster.id,
      memory: this.kept,
      remember: values => {
        this.kept = { ...this.kept, ...values };
        this.signal.emit();
      },
      goToCell: host.goToCell ? (session, cellId) => host.goToCell?.(session, cellId) : undefined,
      openPane: (pane, memory) => host.openPane(pane, this.bound, memory),
    };
    this.pane = this.kind.create(context);
    this.telling = this.clusters.feed.onTrouble(cluster.id, text => {
      this.told = text;
      this.note.textContent = this.trouble(this.clusters.byId(cluster.id) ?? null);
    });
    this.stage.append(this.pane.node);
    this.stage.hidden = false;
    if (this.isVisible) {
      this.reveal();
    }
  }

  private drop(): void {
    this.telling?.dispose();
    this.telling = null;
    this.told = '';
    this.pane?.dispose();
    this.pane = null;
    this.shown = '';
  }

  private reveal(): void {
    if (!document.hidden) {
      this.measure();
      this.pane?.show();
    }
  }

  /** A browser's tab that is not looked at costs nothing either. */
  private readonly pageTurns = (): void => {
    if (document.hidden) {
      this.pane?.hide();
    } else if (this.isVisible) {
      this.reveal();
    }
  };

  private measure(): void {
    if (this.pane && this.isVisible) {
      this.pane.resize(this.stage.clientWidth, this.stage.clientHeight);
    }
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this.reveal();
  }

  protected override onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    if (this.isVisible) {
      this.reveal();
    }
  }

  protected override onBeforeHide(msg: Message): void {
    this.pane?.hide();
    super.onBeforeHide(msg);
  }

  protected override onBeforeDetach(msg: Message): void {
    this.pane?.hide();
    super.onBeforeDetach(msg);
  }

  protected override onActivateRequest(msg: Message): void {
    super.onActivateRequest(msg);
    this.node.focus({ preventScroll: true });
  }

  protected override onCloseRequest(msg: Message): void {
    super.onCloseRequest(msg);
    this.dispose();
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this.observer.disconnect();
      document.removeEventListener('visibilitychange', this.pageTurns);
      this.clusters.changed.disconnect(this.refresh, this);
      this.drop();
      super.dispose();
    }
  }
}

function element<K extends keyof HTMLElementTagNameMap>(tag: K, name: string): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  node.className = name;
  return node;
}
