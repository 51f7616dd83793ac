/** The feed of a notebook output: what goes over the comm, and a kernel that is busy or has forgotten us. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CommFeed, type CommModel } from '../src/feed/comm';

type Sent = { t: string; page: string; text?: string; n?: number };

class FakeModel implements CommModel {
  readonly sent: Sent[] = [];
  isDead = false;
  private listener: ((content: unknown, buffers: unknown) => void) | null = null;
  private n = 0;

  send(content: unknown): void {
    if (this.isDead) {
      throw new Error('no comm');
    }
    this.sent.push(content as Sent);
  }

  on(_event: string, listener: (content: never, buffers: never) => void): void {
    this.listener = listener as (content: unknown, buffers: unknown) => void;
  }

  off(): void {
    this.listener = null;
  }

  get page(): string {
    return this.sent[0].page;
  }

  hear(content: object): void {
    this.listener?.(content, []);
  }

  tell(message: object, page = this.page): void {
    const bytes = new TextEncoder().encode(JSON.stringify(message));
    this.listener?.({ t: 'text', page, n: ++this.n }, [new DataView(bytes.buffer)]);
  }
}

describe('the comm', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());
  const turn = (): Promise<void> => Promise.resolve();

  it('carries what is said and heard', async () => {
    const model = new FakeModel();
    const feed = new CommFeed(model);
    const heard: unknown[] = [];
    feed.watch('cluster', 'workers', data => heard.push(data));
    await turn();
    expect(model.sent.map(one => one.t)).toEqual(['hello', 'text']);
    expect(JSON.parse(model.sent[1].text ?? '')).toEqual({ type: 'watch', cluster: 'cluster', topics: { workers: {} } });
    model.tell({ type: 'clusters', clusters: [] });
    model.tell({ type: 'snapshot', cluster: 'cluster', topic: 'workers', data: { at: 1 } });
    model.tell({ type: 'snapshot', cluster: 'cluster', topic: 'workers', data: { at: 2 } }, 'another page');
    expect(heard).toEqual([{ at: 1 }]);
    expect(feed.state.state).toBe('open');
    feed.dispose();
    expect(model.sent[model.sent.length - 1].t).toBe('bye');
  });

  it('says from time to time how much has come', () => {
    const model = new FakeModel();
    new CommFeed(model);
    for (let i = 0; i < 100; i++) {
      model.tell({ type: 'clusters', clusters: [] });
    }
    expect(model.sent.filter(one => one.t === 'ack').map(one => one.n)).toEqual([40, 80]);
  });

  it('asks a silent kernel again, less and less often', () => {
    const model = new FakeModel();
    const feed = new CommFeed(model);
    vi.advanceTimersByTime(60_000);
    expect(feed.state).toEqual({ state: 'connecting', text: 'Waiting for the kernel …' });
    const hellos = model.sent.filter(one => one.t === 'hello').length;
    expect(hellos).toBeGreaterThan(3);
    expect(hellos).toBeLessThan(10);
    model.tell({ type: 'clusters', clusters: [] });
    expect(feed.state.state).toBe('open');
    vi.advanceTimersByTime(60_000);
    expect(model.sent.filter(one => one.t === 'hello')).toHaveLength(hellos);
  });

  it('says everything anew when the kernel has forgotten', async () => {
    const model = new FakeModel();
    const feed = new CommFeed(model);
    feed.watch('cluster', 'workers', () => undefined);
    await turn();
    model.tell({ type: 'clusters', clusters: [] });
    model.hear({ t: 'who', page: model.page });
    expect(model.sent.map(one => one.t)).toEqual(['hello', 'text', 'hello', 'text']);
    feed.dispose();
  });

  it('lives without a kernel, and ends when the kernel says so', () => {
    const model = new FakeModel();
    const info = vi.spyOn(console, 'info').mockImplementation(() => undefined);
    model.isDead = true;
    const feed = new CommFeed(model);
    vi.advanceTimersByTime(10_000);
    expect(feed.state.state).toBe('connecting');
    expect(info).toHaveBeenCalled();
    info.mockRestore();
    model.hear({ t: 'over', text: 'the client is closed' });
    expect(feed.state).toEqual({ state: 'closed', text: 'the client is closed' });
    vi.advanceTimersByTime(60_000);
    expect(model.sent).toHaveLength(0);
  });
});
