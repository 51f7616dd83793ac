/** The task stream's models: what is kept, what a pixel shows, and what is in sight. */
import { describe, expect, it } from 'vitest';
import type { TaskStream } from '../../src/protocol/snapshots';
import { Bands } from '../../src/panes/stream/bands';
import { Columns } from '../../src/panes/stream/columns';
import { Minimap } from '../../src/panes/stream/minimap';
import { blend, paintCalls, pixel, type Ink } from '../../src/panes/stream/painter';
import { CHUNK, StreamStore } from '../../src/panes/stream/store';
import { Track, type Sink } from '../../src/panes/stream/track';
import { ticks, Viewport } from '../../src/panes/stream/viewport';
import { SyntheticCluster } from '../harness/synthetic';

type Line = [
  lane: number,
  name: number,
  start: number,
  stop: number,
  extra?: { kind?: number; busy?: number; count?: number; erred?: number; key?: string },
];

function message(lines: Line[], more: Partial<TaskStream> = {}): TaskStream {
  return {
    reset: true,
    base: 1000,
    now: 100,
    lanes: [0, 1, -1].map(thread => ({ worker: 'a', address: 'tcp://a', thread })),
    names: ['f', 'g', 'h', 'i', 'transfer'],
    lane: lines.map(line => line[0]),
    name: lines.map(line => line[1]),
    kind: lines.map(line => line[4]?.kind ?? 0),
    start: lines.map(line => line[2]),
    stop: lines.map(line => line[3]),
    busy_s: lines.map(line => line[4]?.busy ?? line[3] - line[2]),
    count: lines.map(line => line[4]?.count ?? 1),
    erred: lines.map(line => line[4]?.erred ?? 0),
    nbytes: lines.map(() => 8),
    key: lines.map(line => line[4]?.key ?? ''),
    open_lane: [],
    open_name: [],
    open_start: [],
    open_key: [],
    dropped: 0,
    ...more,
  };
}

function stored(lines: Line[]): StreamStore {
  const store = new StreamStore();
  store.take(message(lines));
  return store;
}

/** What a visit tells: rows, and the sums of nodes and rows together. */
function tally(
  store: StreamStore,
  track: Track,
  from: number,
  to: number,
  least: number,
): { rows: number[]; nodes: number; busy: number; erred: number } {
  const told = { rows: [] as number[], nodes: 0, busy: 0, erred: 0 };
  const sink: Sink = {
    row: id => {
      told.rows.push(id);
      told.busy += store.busy(id);
      told.erred += store.erred(id);
    },
    node: (_begin, _end, busy, erred) => {
      told.nodes++;
      told.busy += busy;
      told.erred += erred;
    },
  };
  track.visit(from, to, least, sink);
  return told;
}

describe('the store', () => {
  it('keeps rows as they were told', () => {
    const store = stored([[1, 2, 3.25, 4.5, { key: 'h-1', erred: 1 }]]);
    expect(store.row(0)).toEqual({ id: 0, lane: 1, name: 2, kind: 0, start: 3.25, stop: 4.5, busy: 1.25, nbytes: 8, count: 1, erred: 1, key: 'h-1' });
    expect(store.totals[2]).toEqual({ count: 1, erred: 1, busy: 1.25, kind: 0 });
    expect(store.earliest).toBe(3.25);
  });

  it('adds what comes, and begins anew with a reset', () => {
    const store = stored([[0, 0, 1, 2]]);
    expect(store.take(message([[0, 5, 2, 3]], { reset: false, lanes: [], names: ['new'], now: 101, dropped: 7 }))).toBe(false);
    expect([store.size, store.now, store.dropped, store.names[5]]).toEqual([2, 101, 7, 'new']);
    expect(store.take(message([]))).toBe(true);
    expect([store.size, store.names.length, store.dropped, store.calls]).toEqual([0, 5, 0, 0]);
  });

  it('moves times that are told from another base', () => {
    const store = stored([[0, 0, 1, 2]]);
    store.take(message([[0, 0, 1, 2]], { reset: false, lanes: [], names: [], base: 1010 }));
    expect(store.start(1)).toBe(11);
  });

  it('drops the oldest rows, and says which are left', () => {
    const kept = 2 * CHUNK;
    const store = new StreamStore(kept);
    store.take(message([]));
    const lines: Line[] = Array.from({ length: 10_000 }, (_, i) => [0, 0, i, i + 1, { key: String(i) }]);
    const more = message(lines, { reset: false, lanes: [], names: [] });
    while (store.end < kept + 5000) {
      store.take(more);
    }
    expect(store.size).toBeLessThanOrEqual(kept);
    expect(store.first).toBe(CHUNK);
    expect(store.row(store.first).key).toBe(String(store.first % 10_000));
  });
});

describe('a track', () => {
  const lines: Line[] = Array.from({ length: 1000 }, (_, i) => [0, i % 3, i * 0.1, i * 0.1 + 0.08, { erred: i % 100 === 0 ? 1 : 0 }]);
  const store = stored(lines);
  const track = new Track(store);
  for (let id = 0; id < store.end; id++) {
    track.add(id);
  }

  it('tells rows one by one where there is room for them', () => {
    const told = tally(store, track, 10.01, 10.39, 0.01);
    expect(told).toMatchObject({ rows: [100, 101, 102, 103], nodes: 0 });
  });

  it('tells the same time in few nodes from far away', () => {
    const far = tally(store, track, 0, 100, 10);
    expect(far.nodes).toBeLessThan(30);
    expect(far.rows.length).toBeLessThan(8);
    expect(far.busy).toBeCloseTo(80, 3);
    expect(far.erred).toBe(10);
  });

  it('tells each row once at every distance', () => {
    for (const least of [0.05, 0.35, 0.5, 1.6, 7, 30, 1000]) {
      expect(tally(store, track, -1, 101, least).busy).toBeCloseTo(80, 3);
    }
  });

  it('finds rows that overlap others and began before them', () => {
    const own = stored([[0, 0, 0, 50], ...Array.from({ length: 40 }, (_, i): Line => [0, 1, i, i + 0.5])]);
    const over = new Track(own);
    for (let id = 0; id < own.end; id++) {
      over.add(id);
    }
    expect(tally(own, over, 20.1, 20.2, -1).rows).toEqual([0, 21]);
  });

  it('goes on where the store has dropped the rows that a lane began with', () => {
    const own = new StreamStore(CHUNK);
    const all = new Bands(own);
    const take = (lines: Line[], reset = false): void => {
      own.take(message(lines, reset ? {} : { reset: false, lanes: [], names: [] }));
      all.update();
    };
    take([[0, 0, 0, 1], [0, 0, 1, 2], [0, 0, 2, 3]], true); // prettier-ignore
    while (own.first === 0) {
      take(Array.from({ length: 5000 }, (_, i): Line => [1, 1, i, i + 1]));
    }
    take([0, 1, 2, 3, 4].map(i => [0, 0, 6000 + i, 6001 + i]));
    expect(tally(own, all.ofLane(0).compute, 0, 7000, 1e6).busy).toBeCloseTo(5, 3);
  });
});

describe('columns', () => {
  it('share a bar out to the pixels that it covers', () => {
    const store = stored([[0, 0, 1.5, 4]]);
    const columns = new Columns(store);
    columns.begin(10, 0, 10);
    columns.row(0);
    expect([...columns.total.slice(0, 6)]).toEqual([0, 0.5, 1, 1, 0, 0]);
    expect(columns.names[3]).toBe(0);
    expect([columns.low, columns.high]).toEqual([1, 3]);
  });

  it('are empty again after begin', () => {
    const store = stored([[0, 0, 0, 10, { erred: 1 }]]);
    const columns = new Columns(store);
    columns.begin(10, 0, 10);
    columns.row(0);
    columns.begin(10, 20, 30);
    expect(columns.total.every(value => value === 0)).toBe(true);
    expect(columns.erred.every(value => value === 0)).toBe(true);
    expect(columns.names.every(value => value === -1)).toBe(true);
  });

  it('agree, whether rows or nodes are told', () => {
    const store = stored(Array.from({ length: 640 }, (_, i): Line => [0, i % 2, i * 0.01, i * 0.01 + 0.006]));
    const track = new Track(store);
    for (let id = 0; id < store.end; id++) {
      track.add(id);
    }
    const shares = [0, 0.05, 0.5, 2].map(least => {
      const columns = new Columns(store);
      columns.begin(4, 0, 6.4);
      track.visit(0, 6.4, least, columns);
      return columns.total.reduce((sum, value) => sum + value, 0);
    });
    for (const share of shares) {
      expect(share).toBeCloseTo(2.4, 1);
    }
  });

  it('mark failures, of one call and among many', () => {
    const store = stored([
      [0, 0, 0, 5, { erred: 1 }],
      [0, 0, 6, 10, { count: 9, erred: 1 }],
    ]);
    const columns = new Columns(store);
    columns.begin(10, 0, 10);
    columns.row(0);
    columns.row(1);
    expect([...columns.erred]).toEqual([2, 2, 2, 2, 2, 0, 1, 1, 1, 1]);
  });

  it('show a call that took no time at all', () => {
    const store = stored([[0, 0, 3, 3]]);
    const columns = new Columns(store);
    columns.begin(10, 0, 10);
    columns.row(0);
    expect(columns.total[3]).toBeGreaterThan(0);
  });
});

describe('the painter', () => {
  const ink: Ink = { background: 1, idle: 2, others: 3, failed: 4, transfer: 5, disk: 6, names: [10, 11, 12, 13, 14] };

  function painted(lines: Line[], width: number, height: number, threads = 1): Uint32Array {
    const store = stored(lines);
    const columns = new Columns(store);
    columns.begin(width, 0, width);
    for (let id = 0; id < store.end; id++) {
      columns.row(id);
    }
    const image = new Uint32Array(width * height);
    paintCalls(image, width, 0, 0, height, columns, threads, ink);
    return image;
  }

  it('fills a busy column, and leaves an idle one', () => {
    const image = painted([[0, 1, 0, 4]], 6, 8);
    const top = [...image.slice(0, 6)];
    expect(top.slice(0, 3).map(each => each & 0xff)).toEqual([11, 11, 11]);
    expect(top.slice(4)).toEqual([2, 2]);
  });

  it('stacks names by their shares where many meet', () => {
    const image = painted(
      [
        [0, 0, 0, 1, { busy: 0.5, count: 50 }],
        [0, 1, 0, 1, { busy: 0.25, count: 50 }],
      ],
      1,
      8,
    );
    expect([...image]).toEqual([2, 2, 11, 11, 10, 10, 10, 10]);
  });

  it('shows the share of the threads that are busy', () => {
    const image = painted([[0, 0, 0, 4]], 4, 8, 2);
    expect([...image].filter((_, i) => i % 4 === 1)).toEqual([2, 2, 2, 2, 10, 10, 10, 10]);
  });

  it('caps a column in which something failed', () => {
    const image = painted([[0, 0, 0, 1, { count: 10, erred: 1 }]], 1, 10);
    expect([...image]).toEqual([4, 4, 10, 10, 10, 10, 10, 10, 10, 10]);
  });

  it('mixes colours channel by channel', () => {
    const black = pixel([0, 0, 0]);
    const white = pixel([255, 255, 255]);
    expect(blend(black, white, 1)).toBe(white);
    expect(blend(black, white, 0)).toBe(black);
    expect(blend(white, black, 0.5).toString(16)).toMatch(/^ff(7f|80|7e)(7f|80|7e)(7f|80|7e)$/);
  });
});

describe('bands', () => {
  function bands(store: StreamStore, change: (bands: Bands) => void = () => undefined): Bands {
    const made = new Bands(store);
    change(made);
    made.rebuild();
    return made;
  }

  const lines: Line[] = [
    [0, 0, 0, 1],
    [1, 1, 0, 1],
    [2, 4, 0, 1, { kind: 1 }],
  ];

  it('are one a thread; what is moved goes to the foot of the first', () => {
    const made = bands(stored(lines));
    expect(made.list.map(band => [band.worker, band.thread, band.compute.length, band.moves.length])).toEqual([
      ['a', 0, 1, 1],
      ['a', 1, 1, 0],
    ]);
  });

  it('are one a worker', () => {
    const made = bands(stored(lines), each => (each.grouping = 'workers'));
    expect(made.list.map(band => [band.thread, band.threads, band.compute.length])).toEqual([[-1, 2, 2]]);
  });

  it('leave out names that are hidden, also those that come later', () => {
    const store = stored(lines);
    const made = bands(store, each => (each.hidden = new Set(['g', 'later'])));
    store.take(message([[0, 5, 2, 3]], { reset: false, lanes: [], names: ['later'] }));
    made.update();
    expect(made.list.map(band => band.compute.length)).toEqual([1, 0]);
  });

  it('are in the order of the names, however they come; those that exist stay', () => {
    const store = stored([]);
    const made = bands(store);
    const first = made.list[0];
    const lanes = ['w10', 'w9'].map(worker => ({ worker, address: `tcp://${worker}`, thread: 0 }));
    store.take(message([], { reset: false, names: [], lanes }));
    expect(made.update()).toBe(true);
    expect(made.list.map(band => `${band.worker} ${band.thread}`)).toEqual(['a 0', 'a 1', 'w9 0', 'w10 0']);
    expect(made.list[0]).toBe(first);
  });

  it('take in a synthetic stream of many lanes whole', () => {
    const cluster = new SyntheticCluster({ workers: 30, threads: 4, rows: 5000 });
    const store = new StreamStore();
    store.take(cluster.taskStream(cluster.options.now, null));
    const made = bands(store);
    expect(made.list.reduce((sum, band) => sum + band.compute.length + band.moves.length, 0)).toBe(store.size);
  });
});

describe('the minimap', () => {
  it('keeps the sum when its bins double', () => {
    const map = new Minimap();
    map.begin(0);
    for (let i = 0; i < 1000; i++) {
      map.add(i, i + 0.5, 0.5, i % 100 === 0 ? 1 : 0);
    }
    expect(map.width).toBe(1);
    expect(map.busy.reduce((sum, value) => sum + value, 0)).toBeCloseTo(500);
    expect(map.erred.reduce((sum, value) => sum + value, 0)).toBe(10);
  });
});

describe('the viewport', () => {
  function viewport(): Viewport {
    const view = new Viewport();
    view.begin(0, 1000);
    view.layOut(10, 200);
    return view;
  }

  it('follows the end until it is moved, and again at the end', () => {
    const view = viewport();
    view.know(0, 1010);
    expect(view.to).toBeGreaterThan(1010);
    view.pan(-30);
    const { from } = view;
    view.know(0, 1020);
    expect([view.live, view.from]).toEqual([false, from]);
    view.pan(500);
    expect(view.live).toBe(true);
    expect(view.to).toBeCloseTo(1020 + view.span * 0.01);
  });

  it('shows all as long as it is not much, unless somebody zooms', () => {
    const view = new Viewport();
    view.begin(100, 100);
    expect(view.span).toBeCloseTo(5);
    view.know(100, 120);
    expect(view.span).toBeCloseTo(20.4);
    view.zoom(2, 1);
    view.know(100, 140);
    expect([view.live, Math.round(view.span * 10)]).toEqual([true, 102]);
  });

  it('zooms where the pointer is', () => {
    const view = viewport();
    view.show(100, 200);
    view.zoom(2, 0.25);
    expect([view.from, view.to]).toEqual([112.5, 162.5]);
  });

  it('stays near what there is', () => {
    const view = viewport();
    view.show(500, 510);
    view.pan(-1e6);
    expect(view.from).toBeGreaterThan(-100);
    view.zoom(1e-9, 0.5);
    expect(view.span).toBeLessThanOrEqual(1100);
    view.zoom(1e12, 0.5);
    expect(view.span).toBeGreaterThan(0);
  });

  it('shares the height among the bands, and scrolls when they are too many', () => {
    const view = viewport();
    expect([view.band, view.overflows]).toEqual([20, false]);
    view.layOut(1000, 200);
    expect([view.band, view.overflows]).toEqual([2, true]);
    view.scrollTo(1e9);
    expect(view.top).toBe(1800);
    view.zoomBands(10, 0);
    expect(view.band).toBe(20);
    expect(view.top).toBe(18_000);
  });
});

describe('ticks', () => {
  it('stand at round times', () => {
    const marks = ticks(1_795_000_000, 0.5, 60, 8);
    expect(marks.map(mark => mark.at)).toEqual([10, 20, 30, 40, 50, 60]);
    expect(marks[0].label).toMatch(/^\d\d:\d\d:\d\d$/);
  });

  it('count from the full second when they are finer', () => {
    const marks = ticks(1_795_000_000.25, 0.5, 1.1, 8);
    expect(marks.map(mark => mark.label.replace(/^\d\d:\d\d:\d\d$/, 'second'))).toEqual([
      '+800 ms',
      '+900 ms',
      'second',
      '+100 ms',
      '+200 ms',
      '+300 ms',
    ]);
    expect(marks[2].at).toBeCloseTo(0.75);
    expect(ticks(1_795_000_000, 5.0001, 5.0002, 5).every(mark => /^\+\d+(\.\d)? µs$/.test(mark.label) || mark.major)).toBe(true);
  });

  it('are never many', () => {
    for (let span = 1e-5; span < 1e6; span *= 1.7) {
      expect(ticks(1_795_000_000.3, 12.3, 12.3 + span, 8).length).toBeLessThanOrEqual(10);
    }
  });
});
