/** Which cluster is at hand, and how clusters are spoken of. */
import { describe, expect, it } from 'vitest';
import { clientCode, Clusters, notebooksOf, originOf, toneOf } from '../../src/lab/clusters';
import { cluster, summary, TestFeed } from './made';

function model(): { feed: TestFeed; clusters: Clusters } {
  const feed = new TestFeed();
  return { feed, clusters: new Clusters(feed) };
}

const used = (...kernels: string[]): ReturnType<typeof summary> => summary({ kernels, sessions: kernels.map(() => '') });

describe('the cluster at hand', () => {
  it('is nothing before the list has come, and says so', async () => {
    const { feed, clusters } = model();
    expect([clusters.isReady, clusters.current]).toEqual([false, null]);
    feed.list();
    expect([clusters.isReady, clusters.current]).toEqual([true, null]);
    await clusters.ready;
  });

  it('is that of the notebook at hand, whoever started it', () => {
    const { feed, clusters } = model();
    feed.list(cluster('a', { kernel: 'k1' }), cluster('b', { summary: used('k2') }), cluster('c'));
    clusters.follow('k1');
    expect(clusters.current?.id).toBe('a');
    clusters.follow('k2');
    expect(clusters.current?.id).toBe('b');
  });

  it('is the newest of several that the notebook uses, or the one that was picked of them', () => {
    const { feed, clusters } = model();
    feed.list(cluster('a', { summary: used('k') }), cluster('b', { summary: used('k') }), cluster('c'));
    clusters.follow('k');
    expect(clusters.current?.id).toBe('b');
    clusters.choose('a');
    expect(clusters.current?.id).toBe('a');
    clusters.follow('other');
    clusters.follow('k');
    expect(clusters.current?.id).toBe('a');
  });

  it('is no other than the notebook’s, whatever was picked', () => {
    const { feed, clusters } = model();
    feed.list(cluster('a', { kernel: 'k' }), cluster('b'));
    clusters.follow('k');
    clusters.choose('b');
    expect(clusters.current?.id).toBe('a');
  });

  it('stays when a notebook without one comes to hand', () => {
    const { feed, clusters } = model();
    feed.list(cluster('a', { kernel: 'k' }), cluster('b'), cluster('c'));
    clusters.follow('k');
    clusters.follow('none');
    expect(clusters.current?.id).toBe('a');
    clusters.choose('b');
    expect(clusters.current?.id).toBe('b');
  });

  it('goes over to the newest when it ends', () => {
    const { feed, clusters } = model();
    feed.list(cluster('a'), cluster('b'), cluster('c'));
    clusters.choose('a');
    feed.list(cluster('c'), cluster('b'));
    expect(clusters.current?.id).toBe('c');
    feed.list();
    expect(clusters.current).toBeNull();
  });

  it('follows a client that comes later', () => {
    const { feed, clusters } = model();
    clusters.follow('k');
    feed.list(cluster('a'), cluster('b'));
    feed.list(cluster('a', { summary: used('k') }), cluster('b'));
    expect(clusters.current?.id).toBe('a');
    expect(clusters.isUsedHere(clusters.list[0])).toBe(true);
  });
});

describe('the list', () => {
  it('is in the order of age, so that nothing changes places', () => {
    const { feed, clusters } = model();
    feed.list(cluster('c'), cluster('a'), cluster('b'));
    expect(clusters.list.map(one => one.id)).toEqual(['a', 'b', 'c']);
  });

  it('tells of changes, those of the way to the server too', () => {
    const { feed, clusters } = model();
    let changes = 0;
    clusters.changed.connect(() => changes++);
    feed.list(cluster('a'));
    const before = changes;
    feed.turn({ state: 'connecting', text: 'lost' });
    expect(changes).toBe(before + 1);
    expect(clusters.list.length).toBe(1);
  });
});

describe('code for a cluster', () => {
  const template = 'client = Client({cluster})';

  it('names it', () => {
    expect(clientCode(cluster('mill'), [], template)).toBe('client = Client("mill")');
  });

  it('gives the address where a name does not do', () => {
    const a = cluster('a', { name: 'mill' });
    const b = cluster('b', { name: 'mill' });
    expect(clientCode(a, [a, b], template)).toBe('client = Client("tcp://127.0.0.1:97")');
  });

  it('asks for the token of a scheduler elsewhere, so that it stands in no notebook', () => {
    expect(clientCode(cluster('c', { owner: 'remote' }), [], template)).toContain('Client("tcp://127.0.0.1:99", security=Security(token=getpass(');
  });

  it('is Python whatever the name is, and whatever the template', () => {
    expect(clientCode(cluster('c', { name: 'it\'s "$&" ours' }), [], template)).toBe(String.raw`client = Client("it's \"$&\" ours")`);
    expect(clientCode(cluster('mill'), [], 'nothing to fill in')).toContain('Client("mill")');
  });
});

describe('words', () => {
  it('tell the tone', () => {
    const busy = summary({ tasks: { waiting: 1, queued: 0, processing: 0, memory: 0, erred: 0, released: 0 } });
    expect(toneOf(cluster('a'))).toBe('good');
    expect(toneOf(cluster('a', { summary: busy }))).toBe('busy');
    expect(['starting', 'stopping', 'lost', 'silent', 'incompatible'].map(state => toneOf(cluster('a', { state })))).toEqual([
      'wait',
      'wait',
      'bad',
      'bad',
      'bad',
    ]);
  });

  it('tell who uses it, and where it came from', () => {
    const one = cluster('a', { session: '/home/me/study.ipynb', summary: summary({ sessions: ['/home/me/study.ipynb', '', 'b.ipynb'] }) });
    expect(notebooksOf(one)).toEqual(['study.ipynb', 'b.ipynb']);
    expect(originOf(one)).toBe('started by study.ipynb');
    expect(originOf(cluster('a', { owner: 'process', pid: 7 }))).toBe('started by process 7');
  });
});
