/**
 * Where panes get their data from. Three hosts, three feeds with one shape: a websocket of the Jupyter server, one of the scheduler's own dashboard,
 * and the comm of a notebook output.
 */
import type { ClusterInfo, Snapshots, Topic } from '../protocol/snapshots';

/** Ends what it was returned for. */
export interface Disposable {
  dispose(): void;
}

/** Options of topics: what the scheduler is told together with the wish. */
export type WatchOptions = Record<string, string | number | boolean | null>;

export type Listener<T extends Topic> = (data: Snapshots[T]) => void;

/** What is known of the way to the data. */
export interface FeedState {
  /** `open`: all is well; `connecting`: not yet, or again; `closed`: for good. */
  state: 'connecting' | 'open' | 'closed';
  /** What went wrong, for people; '' when nothing did. */
  text: string;
}

export interface Feed {
  readonly state: FeedState;
  onState(listener: (state: FeedState) => void): Disposable;

  /** The clusters there are; the listener is called at once with what is known. A feed of one cluster tells of that one. */
  onClusters(listener: (clusters: readonly ClusterInfo[]) => void): Disposable;

  /** What is wrong with what is watched of a cluster, for people; '' when nothing is. The listener is called at once with what is known. */
  onTrouble(cluster: string, listener: (text: string) => void): Disposable;

  /**
   * Hear of a topic of a cluster until the result is disposed of. Several may watch the same: the cluster is told once, and a listener that comes
   * later begins with a snapshot of its own. With options that differ, the latest options count for all.
   */
  watch<T extends Topic>(cluster: string, topic: T, listener: Listener<T>, options?: WatchOptions): Disposable;

  /** One question to a cluster. Rejects with an Error whose message can be shown. */
  ask(cluster: string, op: string, args?: Record<string, unknown>): Promise<unknown>;

  dispose(): void;
}
