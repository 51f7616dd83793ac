/** Clusters for tests, with what matters to a test said and the rest filled in; and a feed that tells what a test tells it. */
import type { Disposable, Feed, FeedState } from '../../src/feed/feed';
import type { ClusterInfo, Snapshots, Summary, Topic } from '../../src/protocol/snapshots';

export function summary(change: Partial<Summary> = {}): Summary {
  const tasks = { waiting: 0, queued: 0, processing: 0, memory: 0, erred: 0, released: 0 };
  return {
    ...{ at: 1, workers: 2, threads: 4, cpu: 0.5, memory: 1e8, memory_limit: 4e9, spilled: 0, tasks, done: 0, rate: 0, clients: 1 },
    ...{ kernels: [], sessions: [], adaptive: null, can_scale: true },
    ...change,
  };
}

export function cluster(id: string, change: Partial<ClusterInfo> = {}): ClusterInfo {
  const started = id.charCodeAt(0);
  return {
    ...{ id, name: id, address: `tcp://127.0.0.1:${started}`, host: 'here', pid: started, started, kernel: '', session: '', owner: 'kernel' },
    ...{ state: 'running', text: '', summary: summary() },
    ...change,
  };
}

export class TestFeed implements Feed {
  state: FeedState = { state: 'connecting', text: '' };
  readonly watched: [cluster: string, topic: Topic][] = [];
  private readonly onLists: ((clusters: readonly ClusterInfo[]) => void)[] = [];
  private readonly onStates: ((state: FeedState) => void)[] = [];
  private readonly ears = new Map<string, (data: never) => void>();

  /** The server tells which clusters there are. */
  list(...clusters: ClusterInfo[]): void {
    this.turn({ state: 'open', text: '' });
    this.onLists.forEach(listener => listener(clusters));
  }

  turn(state: FeedState): void {
    this.state = state;
    this.onStates.forEach(listener => listener(state));
  }

  tell<T extends Topic>(id: string, topic: T, data: Snapshots[T]): void {
    this.ears.get(`${id} ${topic}`)?.(data as never);
  }

  onState(listener: (state: FeedState) => void): Disposable {
    this.onStates.push(listener);
    return { dispose: () => undefined };
  }

  onClusters(listener: (clusters: readonly ClusterInfo[]) => void): Disposable {
    this.onLists.push(listener);
    listener([]);
    return { dispose: () => undefined };
  }

  onTrouble(): Disposable {
    return { dispose: () => undefined };
  }

  watch<T extends Topic>(id: string, topic: T, listener: (data: Snapshots[T]) => void): Disposable {
    const entry: [string, Topic] = [id, topic];
    this.watched.push(entry);
    this.ears.set(`${id} ${topic}`, listener);
    return { dispose: () => void this.watched.splice(this.watched.indexOf(entry), 1) };
  }

  ask(): Promise<unknown> {
    return Promise.reject(new Error('nobody is asked here'));
  }

  dispose(): void {
    this.ears.clear();
  }
}
