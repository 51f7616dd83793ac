/**
 * What a page says to its server, and what it hears (jupyterfut/diagnostics/socket.py): the part of a feed that does not care what carries the texts.
 *
 * A topic is watched once for all who listen. What they want together is said once, at the end of the present turn of the event loop, so that a pane
 * that goes and one that comes cost one message. When the way to the server is lost and found again everything is said anew; those who listen notice
 * a fresh beginning, and nothing else.
 */
import type { ClusterInfo, Snapshots, Topic } from '../protocol/snapshots';
import type { Disposable, Feed, FeedState, Listener, WatchOptions } from './feed';

/** A question may take so long. */
export const PATIENCE_MS = 30_000;

interface Ear {
  listener: Listener<Topic>;
  /** It has not had its first snapshot: increments that follow another one's beginning are not for it. */
  fresh: boolean;
}

interface Watched {
  options: WatchOptions;
  readonly ears: Set<Ear>;
  /** The newest snapshot, of topics that tell how things are. */
  last: Snapshots[Topic] | null;
}

interface Question {
  readonly text: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** A feed without a way to the server: `carry` brings a text there, `hear` takes one from there, `found` and `lost` tell of the way. */
export abstract class Speech implements Feed {
  private now: FeedState = { state: 'connecting', text: '' };
  private readonly stateListeners = new Set<(state: FeedState) => void>();
  private clusters: readonly ClusterInfo[] = [];
  private readonly clusterListeners = new Set<(clusters: readonly ClusterInfo[]) => void>();
  private readonly watched = new Map<string, Map<Topic, Watched>>();
  private readonly troubles = new Map<string, string>();
  private readonly troubleListeners = new Map<string, Set<(text: string) => void>>();
  private readonly questions = new Map<number, Question>();
  private readonly due = new Set<string>(); // clusters of which our wish is to be said
  private readonly said = new Map<string, string>(); // what the server knows of our wishes
  private readonly again = new Set<string>(); // topics that are to begin anew, as `cluster\n topic`
  private asked = 0;
  private isUp = false;

  /** Bring a text to the server. Called only between `found` and `lost`. */
  protected abstract carry(text: string): void;

  // --- the way to the server

  get state(): FeedState {
    return this.now;
  }

  onState(listener: (state: FeedState) => void): Disposable {
    this.stateListeners.add(listener);
    return { dispose: () => this.stateListeners.delete(listener) };
  }

  /** The server can hear us. What we want is said, and what was asked meanwhile. */
  protected found(): void {
    this.isUp = true;
    this.said.clear();
    for (const cluster of this.watched.keys()) {
      this.due.add(cluster);
    }
    for (const question of this.questions.values()) {
      this.carry(question.text);
    }
    this.flush();
  }

  /** It cannot, for now (`closed` false) or for good. What was asked gets no answer any more. */
  protected lost(text: string, closed = false): void {
    if (this.now.state === 'closed') {
      return;
    }
    const wasUp = this.isUp;
    this.isUp = false;
    if (wasUp || closed) {
      this.rejectAll(text || 'The connection is lost.');
    }
    this.become({ state: closed ? 'closed' : 'connecting', text });
  }

  private become(state: FeedState): void {
    if (state.state !== this.now.state || state.text !== this.now.text) {
      this.now = state;
      each(this.stateListeners, listener => listener(state));
    }
  }

  // --- what is heard

  /** A text from the server. */
  protected hear(text: string): void {
    if (this.now.state === 'closed') {
      return;
    }
    // The server's own words, made by `Page`: no need to doubt their shape.
    const message = JSON.parse(text);
    switch (message.type) {
      case 'clusters':
        this.become({ state: 'open', text: '' });
        this.clusters = message.clusters;
        each(this.clusterListeners, listener => listener(this.clusters));
        break;
      case 'snapshot':
        this.told(message.cluster, message.topic, message.data);
        break;
      case 'answer':
        this.answered(message);
        break;
      case 'trouble':
        this.inTrouble(message.cluster, message.text);
        break;
    }
  }

  private told(cluster: string, topic: Topic, data: Snapshots[Topic]): void {
    const watched = this.watched.get(cluster)?.get(topic);
    if (!watched) {
      return;
    }
    const begins = !('reset' in data) || data.reset;
    if (!('reset' in data)) {
      watched.last = data;
    }
    each([...watched.ears], ear => {
      if (begins || !ear.fresh) {
        ear.fresh = false;
        ear.listener(data as never);
      }
    });
  }

  private answered(message: { id: number; value?: unknown; error?: string }): void {
    const question = this.questions.get(message.id);
    if (question) {
      this.questions.delete(message.id);
      clearTimeout(question.timer);
      if (message.error === undefined) {
        question.resolve(message.value);
      } else {
        question.reject(new Error(message.error));
      }
    }
  }

  private inTrouble(cluster: string, text: string): void {
    if (cluster === '') {
      console.warn(`jupyterfut: ${text}`); // it is about what we have said, and no reader's fault
      return;
    }
    this.troubles.set(cluster, text);
    each([...(this.troubleListeners.get(cluster) ?? [])], listener => listener(text));
  }

  // --- who listens

  onClusters(listener: (clusters: readonly ClusterInfo[]) => void): Disposable {
    this.clusterListeners.add(listener);
    listener(this.clusters);
    return { dispose: () => this.clusterListeners.delete(listener) };
  }

  onTrouble(cluster: string, listener: (text: string) => void): Disposable {
    const listeners = this.troubleListeners.get(cluster) ?? new Set();
    this.troubleListeners.set(cluster, listeners.add(listener));
    listener(this.troubles.get(cluster) ?? '');
    return { dispose: () => listeners.delete(listener) };
  }

  watch<T extends Topic>(cluster: string, topic: T, listener: Listener<T>, options: WatchOptions = {}): Disposable {
    const topics = this.watched.get(cluster) ?? new Map<Topic, Watched>();
    this.watched.set(cluster, topics);
    let watched = topics.get(topic);
    if (!watched) {
      watched = { options, ears: new Set(), last: null };
      topics.set(topic, watched);
    } else if (JSON.stringify(watched.options) !== JSON.stringify(options)) {
      watched.options = options;
      watched.last = null;
    } else if (watched.last === null && this.said.has(cluster)) {
      this.again.add(`${cluster}\n${topic}`); // others have had the beginning: this one wants it too
    }
    const ear: Ear = { listener: listener as Listener<Topic>, fresh: true };
    const { ears, last } = watched;
    ears.add(ear);
    if (last !== null) {
      queueMicrotask(() => {
        if (ear.fresh && ears.has(ear)) {
          ear.fresh = false;
          each([ear], one => one.listener(last as never));
        }
      });
    }
    this.wishChanged(cluster);
    return {
      dispose: () => {
        if (ears.delete(ear) && ears.size === 0 && topics.get(topic)?.ears === ears) {
          topics.delete(topic);
          this.wishChanged(cluster);
        }
      },
    };
  }

  private wishChanged(cluster: string): void {
    if (this.due.size === 0) {
      queueMicrotask(() => this.flush());
    }
    this.due.add(cluster);
  }

  private flush(): void {
    if (!this.isUp) {
      return; // `found` comes here again
    }
    for (const cluster of this.due) {
      const topics = this.watched.get(cluster) ?? new Map<Topic, Watched>();
      const wish = Object.fromEntries([...topics].map(([topic, { options }]) => [topic, options]));
      const begun = Object.entries(wish).filter(([topic]) => !this.again.has(`${cluster}\n${topic}`));
      if (begun.length < topics.size) {
        this.say(cluster, Object.fromEntries(begun));
      }
      this.say(cluster, wish);
      if (topics.size === 0) {
        this.watched.delete(cluster);
        this.said.delete(cluster);
        this.troubles.delete(cluster);
      }
    }
    this.due.clear();
    this.again.clear();
  }

  private say(cluster: string, topics: Record<string, WatchOptions>): void {
    const text = JSON.stringify({ type: 'watch', cluster, topics });
    if (text !== this.said.get(cluster) && (this.said.has(cluster) || Object.keys(topics).length > 0)) {
      this.said.set(cluster, text);
      this.carry(text);
    }
  }

  // --- questions

  ask(cluster: string, op: string, args: Record<string, unknown> = {}): Promise<unknown> {
    if (this.now.state === 'closed') {
      return Promise.reject(new Error(this.now.text || 'The connection has ended.'));
    }
    const id = ++this.asked;
    const text = JSON.stringify({ type: 'ask', id, cluster, op, args });
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.answered({ id, error: 'There is no answer.' }), PATIENCE_MS);
      this.questions.set(id, { text, resolve, reject, timer });
      if (this.isUp) {
        this.carry(text);
      }
    });
  }

  private rejectAll(text: string): void {
    for (const id of [...this.questions.keys()]) {
      this.answered({ id, error: text });
    }
  }

  dispose(): void {
    this.lost('', true);
    this.watched.clear();
    this.stateListeners.clear();
    this.clusterListeners.clear();
    this.troubleListeners.clear();
  }
}

/** Tell all of them; what one makes of it must not keep the others from hearing. */
function each<T>(listeners: Iterable<T>, tell: (listener: T) => void): void {
  for (const listener of listeners) {
    try {
      tell(listener);
    } catch (error) {
      console.error('jupyterfut: a listener failed', error);
    }
  }
}
