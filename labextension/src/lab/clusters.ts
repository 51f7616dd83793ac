/**
 * The clusters there are, and which one is at hand: the one model behind sidebar, tabs, status bar and commands. It is told of clusters by the feed and
 * of the notebook's kernel by `notebooks.ts`; it asks nobody anything, so following a notebook costs its kernel nothing.
 */
import { Signal, type ISignal } from '@lumino/signaling';
import type { Disposable, Feed, FeedState } from '../feed/feed';
import type { ClusterInfo, TaskCounts } from '../protocol/snapshots';

export class Clusters {
  private known: readonly ClusterInfo[] = [];
  private heard = false;
  private kernel = '';
  private chosen = new Map<string, string>(); // kernel, or '' for none: the cluster that was picked for it
  private last = '';
  private readonly signal = new Signal<this, void>(this);
  private readonly first: Promise<void>;
  private readonly links: Disposable[];

  constructor(readonly feed: Feed) {
    let tell: () => void;
    this.first = new Promise(resolve => (tell = resolve));
    this.links = [
      feed.onClusters(list => {
        this.known = [...list].sort((a, b) => a.started - b.started || (a.id < b.id ? -1 : 1));
        if (feed.state.state === 'open') {
          this.heard = true;
          tell();
        }
        this.settle();
      }),
      feed.onState(() => this.signal.emit()),
    ];
  }

  /** Something about the clusters, the way to them or the one at hand is different. */
  get changed(): ISignal<this, void> {
    return this.signal;
  }

  /** All of them, oldest first: they never change places. */
  get list(): readonly ClusterInfo[] {
    return this.known;
  }

  /** Whether the list has come; before, an empty one means nothing. */
  get isReady(): boolean {
    return this.heard;
  }

  /** Resolves when the first list has come. */
  get ready(): Promise<void> {
    return this.first;
  }

  get feedState(): FeedState {
    return this.feed.state;
  }

  byId(id: string): ClusterInfo | undefined {
    return this.known.find(cluster => cluster.id === id);
  }

  /** The notebook at hand has this kernel; '' when there is none. */
  follow(kernel: string): void {
    if (kernel !== this.kernel) {
      this.kernel = kernel;
      this.settle();
    }
  }

  /** The kernel of the notebook at hand, or ''. */
  get followed(): string {
    return this.kernel;
  }

  /** The user points at a cluster: it is at hand as long as this notebook is, unless the notebook begins to use others only. */
  choose(id: string): void {
    this.chosen.set(this.kernel, id);
    this.settle();
  }

  /** Whether the notebook at hand uses it, or its kernel has started it. */
  isUsedHere(cluster: ClusterInfo): boolean {
    return uses(cluster, this.kernel);
  }

  /**
   * The cluster at hand: of those that the notebook uses the one that was picked, else the newest; with no such cluster the one that was picked, else
   * the one that was at hand before, else the newest of all.
   */
  get current(): ClusterInfo | null {
    return this.byId(this.last) ?? null;
  }

  private settle(): void {
    this.last = this.find()?.id ?? '';
    this.signal.emit();
  }

  private find(): ClusterInfo | undefined {
    const mine = this.known.filter(cluster => this.isUsedHere(cluster));
    const picked = this.byId(this.chosen.get(this.kernel) ?? '');
    if (mine.length > 0) {
      return picked && mine.includes(picked) ? picked : mine[mine.length - 1];
    }
    return picked ?? this.byId(this.last) ?? this.known[this.known.length - 1];
  }

  dispose(): void {
    for (const link of this.links) {
      link.dispose();
    }
    Signal.clearData(this);
  }
}

/** Whether this kernel's clients are at the cluster, or it belongs to it. */
export function uses(cluster: ClusterInfo, kernel: string): boolean {
  return kernel !== '' && (cluster.kernel === kernel || (cluster.summary?.kernels.includes(kernel) ?? false));
}

/** How a cluster is, in one of four tones. */
export function toneOf(cluster: ClusterInfo): 'good' | 'busy' | 'wait' | 'bad' {
  switch (cluster.state) {
    case 'running':
      return unfinished(cluster.summary?.tasks) > 0 ? 'busy' : 'good';
    case 'starting':
    case 'stopping':
      return 'wait';
    default:
      return 'bad';
  }
}

/** Tasks that have yet to finish. */
export function unfinished(tasks: TaskCounts | undefined): number {
  return tasks ? tasks.waiting + tasks.queued + tasks.processing : 0;
}

/** The notebooks at a cluster, as file names, that which started it first. */
export function notebooksOf(cluster: ClusterInfo): string[] {
  const paths = [cluster.session, ...(cluster.summary?.sessions ?? [])].filter(path => path !== '');
  return [...new Set(paths)].map(path => path.slice(path.lastIndexOf('/') + 1));
}

/** What a cluster is beside its name: where it came from, in a few words. */
export function originOf(cluster: ClusterInfo): string {
  switch (cluster.owner) {
    case 'kernel':
      return cluster.session ? `started by ${cluster.session.slice(cluster.session.lastIndexOf('/') + 1)}` : 'started by a notebook';
    case 'server':
      return 'started here, ends with the Jupyter server';
    case 'detached':
      return 'detached: runs until it is stopped';
    case 'remote':
      return `connected to ${cluster.address}`;
    default:
      return `started by process ${cluster.pid}`;
  }
}

const TEMPLATE = 'from jupyterfut import Client\n\nclient = Client({cluster})\nclient';

/** Of a scheduler elsewhere a kernel does not know the token, and it should not stand in a notebook. */
const REMOTE = [
  'from getpass import getpass',
  '',
  'from jupyterfut import Client, Security',
  '',
  'client = Client({cluster}, security=Security(token=getpass("Token: ")))',
  'client',
].join('\n');

/** Code that connects a notebook. A name that two clusters share does not tell them apart: then it is the address. */
export function clientCode(cluster: ClusterInfo, all: readonly ClusterInfo[], template: string): string {
  const far = cluster.owner === 'remote';
  const sure = cluster.name !== '' && !far && all.filter(other => other.name === cluster.name).length <= 1;
  const target = JSON.stringify(sure ? cluster.name : cluster.address); // JSON's strings are Python's, too
  return (far ? REMOTE : template.includes('{cluster}') ? template : TEMPLATE).replaceAll('{cluster}', () => target);
}
