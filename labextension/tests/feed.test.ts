/** Feeds: what is said to the server, who hears what, and what a broken way changes. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Speech } from '../src/feed/speech';
import { OVER, WebSocketFeed } from '../src/feed/websocket';

class Mouth extends Speech {
  readonly carried: { type: string; [field: string]: unknown }[] = [];

  protected carry(text: string): void {
    this.carried.push(JSON.parse(text));
  }

  up(): void {
    this.found();
  }

  down(text = 'gone', closed = false): void {
    this.lost(text, closed);
  }

  tell(message: object): void {
    this.hear(JSON.stringify(message));
  }

  snapshot(topic: string, data: object, cluster = 'a'): void {
    this.tell({ type: 'snapshot', cluster, topic, data });
  }

  get wishes(): unknown[] {
    return this.carried.filter(one => one.type === 'watch').map(one => one.topics);
  }
}

const turn = (): Promise<void> => Promise.resolve();
const opened = (): Mouth => {
  const mouth = new Mouth();
  mouth.up();
  mouth.tell({ type: 'clusters', clusters: [] });
  return mouth;
};

describe('what is said', () => {
  it('is one wish for all who listen', async () => {
    const mouth = opened();
    const first = mouth.watch('a', 'workers', () => undefined);
    const second = mouth.watch('a', 'workers', () => undefined);
    const graph = mouth.watch('a', 'graph', () => undefined);
    await turn();
    expect(mouth.wishes).toEqual([{ workers: {}, graph: {} }]);
    first.dispose();
    await turn();
    expect(mouth.wishes).toHaveLength(1);
    second.dispose();
    graph.dispose();
    graph.dispose();
    await turn();
    expect(mouth.wishes.slice(1)).toEqual([{}]);
  });

  it('is nothing when a pane goes and another one comes', async () => {
    const mouth = opened();
    const old = mouth.watch('a', 'workers', () => undefined);
    await turn();
    old.dispose();
    mouth.watch('a', 'workers', () => undefined);
    await turn();
    expect(mouth.wishes).toHaveLength(1);
  });

  it('has the latest options', async () => {
    const mouth = opened();
    mouth.watch('a', 'profile', () => undefined);
    mouth.watch('a', 'profile', () => undefined, { name: 'inc' });
    await turn();
    expect(mouth.wishes).toEqual([{ profile: { name: 'inc' } }]);
  });

  it('is said anew when the way is back', async () => {
    const mouth = opened();
    mouth.watch('a', 'workers', () => undefined);
    await turn();
    mouth.down();
    mouth.watch('b', 'graph', () => undefined);
    await turn();
    mouth.up();
    expect(mouth.carried.map(one => [one.cluster, one.topics])).toEqual([
      ['a', { workers: {} }],
      ['b', { graph: {} }],
      ['a', { workers: {} }],
    ]);
  });
});

describe('what is heard', () => {
  it('goes to those who listen to the topic of the cluster', async () => {
    const mouth = opened();
    const heard: unknown[] = [];
    const watch = mouth.watch('a', 'workers', data => heard.push(data));
    await turn();
    mouth.snapshot('workers', { at: 1 });
    mouth.snapshot('graph', { at: 2 });
    mouth.snapshot('workers', { at: 3 }, 'b');
    watch.dispose();
    mouth.snapshot('workers', { at: 4 });
    expect(heard).toEqual([{ at: 1 }]);
  });

  it('begins for a late listener with the newest state', async () => {
    const mouth = opened();
    mouth.watch('a', 'workers', () => undefined);
    await turn();
    mouth.snapshot('workers', { at: 1 });
    const heard: unknown[] = [];
    mouth.watch('a', 'workers', data => heard.push(data));
    await turn();
    expect(heard).toEqual([{ at: 1 }]);
    expect(mouth.wishes).toHaveLength(1);
  });

  it('begins for a late listener to increments with a beginning, for which the server is asked', async () => {
    const mouth = opened();
    const early: unknown[] = [];
    const late: unknown[] = [];
    mouth.watch('a', 'load', data => early.push(data.at[0]));
    mouth.watch('a', 'workers', () => undefined);
    await turn();
    mouth.snapshot('load', { reset: true, at: [1] });
    mouth.watch('a', 'load', data => late.push(data.at[0]));
    await turn();
    expect(mouth.wishes.slice(1)).toEqual([{ workers: {} }, { load: {}, workers: {} }]);
    mouth.snapshot('load', { reset: false, at: [2] }); // was on its way already
    mouth.snapshot('load', { reset: true, at: [3] });
    mouth.snapshot('load', { reset: false, at: [4] });
    expect(early).toEqual([1, 2, 3, 4]);
    expect(late).toEqual([3, 4]);
  });

  it('reaches the others when one listener fails', async () => {
    const mouth = opened();
    const complained = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    const heard: unknown[] = [];
    mouth.watch('a', 'workers', () => {
      throw new Error('no');
    });
    mouth.watch('a', 'workers', data => heard.push(data));
    mouth.snapshot('workers', { at: 1 });
    expect(heard).toHaveLength(1);
    expect(complained).toHaveBeenCalledOnce();
    complained.mockRestore();
  });

  it('tells of clusters and troubles at once', () => {
    const mouth = opened();
    const lists: unknown[] = [];
    const texts: string[] = [];
    mouth.onClusters(list => lists.push(list.length));
    mouth.onTrouble('a', text => texts.push(text));
    mouth.tell({ type: 'clusters', clusters: [{ id: 'a' }] });
    mouth.tell({ type: 'trouble', cluster: 'a', text: 'lost' });
    mouth.tell({ type: 'trouble', cluster: 'b', text: 'lost' });
    expect(lists).toEqual([0, 1]);
    expect(texts).toEqual(['', 'lost']);
  });
});

describe('questions', () => {
  it('are answered, or fail', async () => {
    const mouth = opened();
    const good = mouth.ask('a', 'identity');
    const bad = mouth.ask('a', 'story', { keys: ['x'] });
    expect(mouth.carried.map(one => one.args)).toEqual([{}, { keys: ['x'] }]);
    mouth.tell({ type: 'answer', id: 2, error: 'no such task' });
    mouth.tell({ type: 'answer', id: 1, value: 7 });
    mouth.tell({ type: 'answer', id: 9, value: 7 });
    await expect(good).resolves.toBe(7);
    await expect(bad).rejects.toThrow('no such task');
  });

  it('wait for the way, and end with it', async () => {
    const mouth = new Mouth();
    const question = mouth.ask('a', 'identity');
    expect(mouth.carried).toHaveLength(0);
    mouth.up();
    expect(mouth.carried).toHaveLength(1);
    mouth.down('broken');
    await expect(question).rejects.toThrow('broken');
    mouth.dispose();
    await expect(mouth.ask('a', 'identity')).rejects.toThrow('ended');
  });

  it('do not wait for ever', async () => {
    vi.useFakeTimers();
    const question = opened().ask('a', 'identity');
    vi.advanceTimersByTime(60_000);
    await expect(question).rejects.toThrow('no answer');
    vi.useRealTimers();
  });
});

describe('the state', () => {
  it('is open when the server has spoken', () => {
    const mouth = new Mouth();
    const states: string[] = [];
    mouth.onState(({ state }) => states.push(state));
    mouth.up();
    expect(mouth.state.state).toBe('connecting');
    mouth.tell({ type: 'clusters', clusters: [] });
    mouth.down('trying again');
    mouth.down('over', true);
    mouth.down('trying again');
    expect(states).toEqual(['open', 'connecting', 'closed']);
    expect(mouth.state.text).toBe('over');
  });
});

class FakeSocket {
  static all: FakeSocket[] = [];
  sent: string[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  isClosed = false;

  constructor(readonly url: string) {
    FakeSocket.all.push(this);
  }

  send(text: string): void {
    this.sent.push(text);
  }

  close(): void {
    this.isClosed = true;
  }
}

describe('the websocket', () => {
  const network = new EventTarget();
  beforeEach(() => {
    FakeSocket.all = [];
    vi.stubGlobal('addEventListener', network.addEventListener.bind(network));
    vi.stubGlobal('removeEventListener', network.removeEventListener.bind(network));
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  const feed = (): WebSocketFeed => new WebSocketFeed({ url: () => 'ws://here/socket', WebSocket: FakeSocket as unknown as typeof WebSocket });
  const last = (): FakeSocket => FakeSocket.all[FakeSocket.all.length - 1];

  it('is opened again when it breaks, and everything is said anew', async () => {
    const made = feed();
    made.watch('a', 'workers', () => undefined);
    await turn();
    last().onopen?.();
    expect(last().sent).toHaveLength(1);
    last().onclose?.({ code: 1006, reason: '' });
    expect(made.state.state).toBe('connecting');
    expect(FakeSocket.all).toHaveLength(1);
    vi.advanceTimersByTime(1000);
    expect(FakeSocket.all).toHaveLength(2);
    last().onopen?.();
    expect(last().sent).toHaveLength(1);
    made.dispose();
    expect(last().isClosed).toBe(true);
  });

  it('waits longer each time, but not when the network is back', () => {
    const made = feed();
    for (let i = 0; i < 8; i++) {
      last().onclose?.({ code: 1006, reason: '' });
      vi.advanceTimersByTime(20_000);
    }
    expect(FakeSocket.all).toHaveLength(9);
    last().onclose?.({ code: 1006, reason: '' });
    vi.advanceTimersByTime(4000);
    expect(FakeSocket.all).toHaveLength(9);
    network.dispatchEvent(new Event('online'));
    expect(FakeSocket.all).toHaveLength(10);
    made.dispose();
    network.dispatchEvent(new Event('online'));
    expect(FakeSocket.all).toHaveLength(10);
  });

  it('is over when the server says so', () => {
    const made = feed();
    last().onopen?.();
    last().onclose?.({ code: OVER, reason: 'The scheduler has closed.' });
    vi.advanceTimersByTime(60_000);
    expect(FakeSocket.all).toHaveLength(1);
    expect(made.state).toEqual({ state: 'closed', text: 'The scheduler has closed.' });
  });
});
