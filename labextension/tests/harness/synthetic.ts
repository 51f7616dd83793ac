/**
 * A cluster that does not exist, and a feed that tells of it: for looking at panes, measuring them and testing them without a scheduler. The same seed
 * gives the same cluster. Everything has the shapes and bounds of the real topics; the work comes in phases, so that the pictures look like work.
 */
import type { Disposable, Feed, FeedState, Listener, WatchOptions } from '../../src/feed/feed';
import type {
  CellRow,
  ClusterInfo,
  Cells,
  EventRow,
  Events,
  FlameNode,
  Graph,
  Group,
  Load,
  Profile,
  Progress,
  Snapshots,
  Summary,
  TaskCounts,
  TaskStream,
  Timings,
  Topic,
  Workers,
} from '../../src/protocol/snapshots';

export interface SyntheticOptions {
  seed?: number;
  workers?: number;
  threads?: number;
  /** Rows that the task stream begins with. */
  rows?: number;
  /** Seconds that these rows span. */
  span?: number;
  groups?: number;
  /** Messages a second, of each topic. */
  rate?: number;
  /** Nothing moves: one snapshot each, always the same. For screenshots that are compared, and for tests. */
  still?: boolean;
  /** Nothing has happened in this cluster yet. */
  empty?: boolean;
  /** When it "is"; seconds since 1970. */
  now?: number;
}

/** Numbers of [0, 1) that look random and are the same each time. */
export function random(seed: number): () => number {
  let state = (seed >>> 0) + 1;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

interface Work {
  name: string;
  file: string;
  /** Seconds that a call takes, about. */
  mean: number;
  bytes: number;
}

const WORK: readonly Work[] = [
  { name: 'read_chunk', file: 'pipeline/io.py', mean: 0.05, bytes: 8e6 },
  { name: 'normalise', file: 'pipeline/clean.py', mean: 0.02, bytes: 8e6 },
  { name: 'find_peaks', file: 'pipeline/peaks.py', mean: 0.11, bytes: 4e5 },
  { name: 'fit_model', file: 'models/fit.py', mean: 0.3, bytes: 2e6 },
  { name: 'evaluate', file: 'models/score.py', mean: 0.07, bytes: 900 },
  { name: 'merge', file: 'pipeline/merge.py', mean: 0.04, bytes: 3e7 },
  { name: 'bootstrap', file: 'models/bootstrap.py', mean: 0.16, bytes: 1e5 },
  { name: 'cell [12]', file: 'analysis.ipynb', mean: 0.5, bytes: 1e4 },
  { name: 'inc', file: '__main__', mean: 0.002, bytes: 28 },
];

/** The share of each function of `WORK` in what runs at a moment. */
function mix(t: number): number[] {
  const turn = (t / 37) % 3;
  return turn < 1 ? [5, 4, 2, 0, 0, 1, 0, 0, 1] : turn < 2 ? [0, 0, 2, 6, 3, 0, 2, 0, 0] : [0, 0, 0, 1, 2, 3, 6, 1, 2];
}

const NO_TASKS: TaskCounts = { waiting: 0, queued: 0, processing: 0, memory: 0, erred: 0, released: 0 };

/** The state of the cluster that does not exist. */
export class SyntheticCluster {
  readonly options: Required<SyntheticOptions>;
  readonly id = 'synthetic';
  private readonly next: () => number;
  private readonly began: number;
  /** Per lane: until when its rows have been told. */
  private readonly told: number[] = [];
  private serial = 0;
  private eventSerial = 0;

  constructor(options: SyntheticOptions = {}) {
    this.options = {
      seed: 7,
      workers: 12,
      threads: 2,
      rows: 20_000,
      span: 120,
      groups: 9,
      rate: 10,
      still: false,
      empty: false,
      now: 1_795_000_000,
      ...options,
    };
    this.next = random(this.options.seed);
    this.began = this.options.now - this.options.span;
  }

  workerName(i: number): string {
    return `node${String(Math.floor(i / 4)).padStart(2, '0')}-${i % 4}`;
  }

  workerAddress(i: number): string {
    return `tcp://10.0.${Math.floor(i / 4 / 250)}.${(Math.floor(i / 4) % 250) + 1}:${40000 + (i % 4)}`;
  }

  /** A wave with noise between 0 and 1: the load of something at a moment. */
  private wave(t: number, phase: number): number {
    return Math.min(1, Math.max(0, 0.62 + 0.3 * Math.sin(t / 9 + phase) + 0.14 * Math.sin(t / 1.7 + 3 * phase) + 0.08 * (this.next() - 0.5)));
  }

  private tasks(now: number): { counts: TaskCounts; done: number } {
    if (this.options.empty) {
      return { counts: { ...NO_TASKS }, done: 0 };
    }
    const groups = this.progress(now);
    return { counts: groups.total, done: groups.done };
  }

  summary(now: number): Summary {
    const { workers, threads, empty } = this.options;
    const { counts, done } = this.tasks(now);
    const slots = workers * threads;
    const limit = workers * 8e9;
    return {
      at: now,
      workers: empty ? 0 : workers,
      threads: empty ? 0 : slots,
      cpu: empty ? 0 : slots * this.wave(now, 0) * 0.9,
      memory: empty ? 0 : limit * (0.35 + 0.2 * this.wave(now / 4, 1)),
      memory_limit: empty ? 0 : limit,
      spilled: empty ? 0 : limit * 0.03,
      tasks: counts,
      done,
      rate: empty ? 0 : slots * 9 * this.wave(now, 2),
      clients: 2,
      kernels: ['6f2c11d0'],
      sessions: ['work/analysis.ipynb'],
      adaptive: null,
      can_scale: true,
    };
  }

  info(now: number): ClusterInfo {
    return {
      id: this.id,
      name: 'analysis',
      address: 'tcp://127.0.0.1:41873',
      host: 'node00',
      pid: 4711,
      started: this.began,
      kernel: '6f2c11d0',
      session: 'work/analysis.ipynb',
      owner: 'kernel',
      state: 'running',
      text: '',
      summary: this.summary(now),
    };
  }

  progress(now: number): Progress {
    const n = this.options.empty ? 0 : this.options.groups;
    const groups: Group[] = [];
    const total = { ...NO_TASKS };
    let done = 0;
    for (let i = 0; i < n; i++) {
      const work = WORK[i % WORK.length];
      const size = Math.round(40 * Math.pow(10, ((i * 7) % 10) / 2.6));
      // the later a group, the less of it is done; the first ones are finished
      const pace = 1 / (25 + 12 * i);
      const elapsed = now - this.began;
      const share = Math.min(1, i < n / 4 ? 1 : Math.max(0, (elapsed - 14 * (i - n / 3)) * pace));
      const finished = Math.floor(size * share);
      const erred = i % 4 === 2 ? Math.floor(finished / 60) : 0;
      const left = size - finished;
      const processing = share > 0 && left > 0 ? Math.min(left, this.options.workers * this.options.threads) : 0;
      const queued = share > 0 ? left - processing : 0;
      const waiting = share > 0 ? 0 : left;
      const released = Math.floor((finished - erred) * 0.3);
      const tasks = { waiting, queued, processing, memory: finished - erred - released, erred, released };
      groups.push({
        id: i + 1,
        name: i < WORK.length ? work.name : `${work.name}_${Math.floor(i / WORK.length) + 1}`,
        origin: `cell-${(i % 5) + 3}`,
        tasks,
        done: finished,
        started_at: this.began + Math.max(0, 14 * (i - n / 3)),
        ended_at: left === 0 ? Math.min(now, this.began + 25 + 12 * i) : null,
      });
      for (const state of Object.keys(total) as (keyof TaskCounts)[]) {
        total[state] += tasks[state];
      }
      done += finished;
    }
    groups.sort((a, b) => Number(a.ended_at !== null) - Number(b.ended_at !== null));
    return { at: now, groups, others: null, total, done };
  }

  timings(now: number): Timings {
    const bounds = Array.from({ length: 32 }, (_, i) => 1e-6 * Math.pow(10, i / 4));
    const works = this.options.empty ? [] : [...WORK].sort((a, b) => b.mean - a.mean);
    const counts = works.map((_, i) => Math.round((4000 / (i + 1)) * (1 + (now - this.began) / 100)));
    return {
      at: now,
      name: works.map(work => work.name),
      count: counts,
      erred: works.map((_, i) => (i % 4 === 2 ? 12 : 0)),
      total_s: works.map((work, i) => counts[i] * work.mean),
      mean_s: works.map(work => work.mean),
      min_s: works.map(work => work.mean / 4),
      max_s: works.map(work => work.mean * 9),
      nbytes: works.map((work, i) => work.bytes * counts[i]),
      bounds_s: bounds,
      histogram: works.map((work, i) => {
        const centre = Math.log10(work.mean / 1e-6) * 4;
        return Array.from({ length: 33 }, (_, b) => Math.round((counts[i] / 3) * Math.exp(-((b - centre) ** 2) / 3)));
      }),
    };
  }

  workers(now: number): Workers {
    const n = this.options.empty ? 0 : this.options.workers;
    const { threads } = this.options;
    const each = <T>(make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i));
    const cpu = each(i => threads * this.wave(now, i * 1.7));
    const memory = each(i => 8e9 * (0.25 + 0.6 * this.wave(now / 5, i * 2.3)));
    return {
      at: now,
      address: each(i => this.workerAddress(i)),
      name: each(i => this.workerName(i)),
      host: each(i => `node${String(Math.floor(i / 4)).padStart(2, '0')}`),
      pid: each(i => 20000 + i * 3),
      threads: each(() => threads),
      state: each(i => (i % 31 === 11 ? 'paused' : i % 47 === 20 ? 'silent' : i % 53 === 30 ? 'retiring' : 'running')),
      cpu,
      memory,
      managed: memory.map((m, i) => m * (0.4 + 0.3 * ((i * 37) % 10) * 0.1)),
      spilled: each(i => (i % 5 === 0 ? 9e8 : 0)),
      memory_limit: each(() => 8e9),
      executing: each(() => threads),
      processing: each(i => threads + ((i * 13) % 7)),
      held: each(i => 40 + ((i * 29) % 90)),
      occupancy_s: each(i => 0.4 * (threads + ((i * 13) % 7))),
      received: each(i => 4e7 * this.wave(now / 2, i)),
      sent: each(i => 3e7 * this.wave(now / 2, i + 9)),
      seen_s: each(i => (i % 47 === 20 ? 14 : 0.4 * this.next())),
    };
  }

  load(now: number, since: number | null): Load {
    const load: Load = {
      reset: since === null,
      at: [],
      cpu: [],
      lag_s: [],
      memory: [],
      received: [],
      sent: [],
      submitted: [],
      done: [],
      waiting: [],
      queued: [],
      processing: [],
      workers: [],
      idle: [],
      worker_cpu: [],
      worker_memory: [],
    };
    const { workers, threads, span } = this.options;
    if (this.options.empty) {
      return load;
    }
    const step = since === null ? 0.5 : Math.max(0.05, now - since);
    for (let t = since === null ? now - span : since + step; t <= now + 1e-9; t += step) {
      const busy = this.wave(t, 0);
      load.at.push(t);
      load.cpu.push(0.08 + 0.35 * busy * busy);
      load.lag_s.push(0.0004 + 0.002 * this.next() ** 6 * 20);
      load.memory.push(9e7 + 4e5 * (t - this.began));
      load.received.push(700 * busy + 60 * this.next());
      load.sent.push(640 * busy + 60 * this.next());
      load.submitted.push(Math.max(0, 2600 * Math.sin(t / 11) + 200 * this.next()));
      load.done.push(workers * threads * 40 * busy);
      load.waiting.push(Math.round(500 + 400 * Math.sin(t / 13)));
      load.queued.push(Math.round(2400 + 2000 * Math.sin(t / 17)));
      load.processing.push(Math.round(workers * threads * (0.7 + 0.3 * busy)));
      load.workers.push(t < now - span * 0.6 ? Math.ceil(workers / 2) : workers);
      load.idle.push(Math.round(workers * (1 - busy) * 0.4));
      load.worker_cpu.push(workers * threads * 0.92 * busy);
      load.worker_memory.push(workers * 8e9 * (0.3 + 0.3 * busy));
    }
    return load;
  }

  graph(now: number): Graph {
    const graph: Graph = { at: now, grouped: false, nodes: [], edges: [], tasks: 0, looked_at: 0 };
    if (this.options.empty) {
      return graph;
    }
    const elapsed = now - this.began;
    const node = (label: string, depth: number): number => {
      const at = elapsed / 4 - depth * 9 - (graph.nodes.length % 7);
      const state = at > 12 ? 'memory' : at > 8 ? 'processing' : at > 6 ? 'queued' : 'waiting';
      const erred = graph.nodes.length % 41 === 17;
      const id = `${label}-${(0x9e3779b1 * (graph.nodes.length + 1)).toString(16).slice(0, 12)}`;
      graph.nodes.push({ id, label, count: 1, state: erred ? 'erred' : state, done: state === 'memory' ? 1 : 0, erred: erred ? 1 : 0 });
      return graph.nodes.length - 1;
    };
    const leaves = Array.from({ length: 24 }, () => {
      const read = node('read_chunk', 0);
      const clean = node('normalise', 1);
      const peaks = node('find_peaks', 2);
      graph.edges.push([read, clean], [clean, peaks]);
      return peaks;
    });
    let level = leaves;
    let depth = 3;
    while (level.length > 1) {
      const above: number[] = [];
      for (let i = 0; i < level.length; i += 3) {
        const merge = node('merge', depth);
        for (const input of level.slice(i, i + 3)) {
          graph.edges.push([input, merge]);
        }
        above.push(merge);
      }
      level = above;
      depth++;
    }
    const fit = node('fit_model', depth);
    graph.edges.push([level[0], fit]);
    for (let i = 0; i < 6; i++) {
      const score = node('evaluate', depth + 1);
      graph.edges.push([fit, score], [leaves[i * 3], score]);
    }
    graph.tasks = graph.nodes.length;
    graph.looked_at = graph.nodes.length;
    return graph;
  }

  profile(now: number, name: string | null): Profile {
    const next = random(name ? name.length * 31 : this.options.seed);
    const grow = (label: string, file: string, line: number, count: number, depth: number): FlameNode => {
      const node: FlameNode = { name: label, file, line, count, children: [] };
      let left = count * (depth === 0 ? 1 : 0.6 + 0.4 * next());
      const width = depth === 0 ? 6 : 1 + Math.floor(next() * 3);
      for (let i = 0; i < width && left > 4 && depth < 14; i++) {
        const share = Math.floor(i === width - 1 ? left * 0.9 : left * (0.2 + 0.6 * next()));
        const inner = depth === 0 ? WORK[i] : WORK[Math.floor(next() * WORK.length)];
        const label =
          depth === 0 ? inner.name : ['fft', '_dot', 'solve', 'read', 'decode', 'copy', 'argsort', 'convolve', '__getitem__'][Math.floor(next() * 9)];
        if (share > 2) {
          node.children.push(
            grow(label, depth < 2 ? inner.file : `site-packages/numpy/core/${label}.py`, 10 + Math.floor(next() * 400), share, depth + 1),
          );
        }
        left -= share;
      }
      return node;
    };
    const samples = this.options.empty ? 0 : 4000 + Math.floor((now - this.began) * 50);
    return {
      at: now,
      since: this.began,
      interval_s: 0.01,
      samples,
      functions: WORK.map(work => work.name),
      root: grow(name ?? 'all', '', 0, samples, 0),
    };
  }

  /** `since` null: a reset with the history; else the rows that have come to an end since. */
  taskStream(now: number, since: number | null): TaskStream {
    const { workers, threads, rows, span, empty } = this.options;
    const base = this.began;
    const lanes = empty ? 0 : workers * threads;
    const stream: TaskStream = {
      reset: since === null,
      base,
      now: now - base,
      lanes: [],
      names: [],
      lane: [],
      name: [],
      kind: [],
      start: [],
      stop: [],
      busy_s: [],
      count: [],
      erred: [],
      nbytes: [],
      key: [],
      open_lane: [],
      open_name: [],
      open_start: [],
      open_key: [],
      dropped: 0,
    };
    if (since === null) {
      this.told.length = 0;
      for (let lane = 0; lane < lanes; lane++) {
        const worker = Math.floor(lane / threads);
        stream.lanes.push({ worker: this.workerName(worker), address: this.workerAddress(worker), thread: lane % threads });
        this.told.push(this.next() * 0.3);
      }
      // what a worker moves happens beside its threads
      for (let worker = 0; worker < (empty ? 0 : workers); worker++) {
        stream.lanes.push({ worker: this.workerName(worker), address: this.workerAddress(worker), thread: -1 });
      }
      stream.names = [...WORK.map(work => work.name), 'transfer', 'read'];
    }
    // so many rows in the span, whatever the functions' own speed
    const natural = 0.14;
    const pace = lanes === 0 ? 1 : (span * lanes) / Math.max(1, rows) / natural;
    for (let lane = 0; lane < lanes; lane++) {
      let t = this.told[lane];
      for (;;) {
        const shares = mix(t / pace / 1.2 + lane / 40);
        let pick = this.next() * shares.reduce((a, b) => a + b, 0);
        let name = 0;
        while (pick >= shares[name]) {
          pick -= shares[name];
          name++;
        }
        const mean = WORK[name].mean * pace;
        const took = mean * (0.4 + 1.2 * this.next());
        const gap = this.next() < 0.03 ? mean * 4 * this.next() : mean * 0.05 * this.next();
        if (t + took > now - base) {
          if (now - base - t > 0.5) {
            stream.open_lane.push(lane);
            stream.open_name.push(name);
            stream.open_start.push(t);
            stream.open_key.push(`${WORK[name].name}-${lane.toString(16)}`);
          }
          break;
        }
        const many = WORK[name].name === 'inc';
        const moved = this.next() < 0.06;
        if (moved) {
          const transfer = took * 0.4;
          this.row(stream, lanes + Math.floor(lane / threads), WORK.length, t, t + transfer, transfer, 1, 0, 1 + (this.next() < 0.2 ? 1 : 0));
          t += transfer;
        }
        const calls = many ? 20 + Math.floor(this.next() * 60) : 1;
        this.row(stream, lane, name, t, t + took, many ? took * 0.7 : took, calls, this.next() < 0.004 ? 1 : 0, 0);
        t += took + gap;
      }
      this.told[lane] = t;
    }
    return stream;
  }

  private row(
    to: TaskStream,
    lane: number,
    name: number,
    start: number,
    stop: number,
    busy: number,
    count: number,
    erred: number,
    kind: number,
  ): void {
    to.lane.push(lane);
    to.name.push(kind === 0 ? name : WORK.length + kind - 1);
    to.kind.push(kind);
    to.start.push(start);
    to.stop.push(stop);
    to.busy_s.push(busy);
    to.count.push(count);
    to.erred.push(erred);
    to.nbytes.push(kind === 0 ? WORK[name].bytes * count : 4e6);
    this.serial++;
    to.key.push(count === 1 && kind === 0 ? `${WORK[name].name}-${(Math.imul(this.serial, 0x9e3779b1) >>> 0).toString(16)}` : '');
  }

  events(now: number, reset: boolean): Events {
    const rows: EventRow[] = [];
    const many = this.options.empty ? 0 : reset ? 400 : this.next() < 0.3 ? 1 + Math.floor(this.next() * 4) : 0;
    for (let i = 0; i < many; i++) {
      const at = reset ? now - ((many - i) / many) * this.options.span : now;
      const worker = this.workerName(Math.floor(this.next() * this.options.workers));
      const n = this.eventSerial++;
      const key = `fit_model-${(Math.imul(n, 0x9e3779b1) >>> 0).toString(16)}`;
      const kind = n % 11;
      if (kind === 3) {
        rows.push({
          at,
          kind: 'task',
          level: 'error',
          source: worker,
          text: `fit_model failed: ValueError: no convergence after ${100 + n} steps`,
          key,
        });
      } else if (kind === 6) {
        rows.push({ at, kind: 'worker', level: 'info', source: worker, text: 'joined with 2 threads and 8 GB', key: '' });
      } else if (kind === 8) {
        rows.push({ at, kind: 'log', level: 'warning', source: 'jupyterfut.worker', text: `${worker}: event loop was busy for 312 ms`, key: '' });
      } else if (kind === 9) {
        rows.push({ at, kind: 'event', level: 'info', source: 'checkpoint', text: `{"epoch": ${n}, "loss": ${(3 / (n + 1)).toFixed(4)}}`, key: '' });
      } else if (kind === 10) {
        rows.push({ at, kind: 'client', level: 'info', source: 'analysis.ipynb', text: 'submitted 200 tasks', key: '' });
      } else {
        rows.push({ at, kind: 'log', level: 'debug', source: 'jupyterfut.scheduler', text: `moved ${n % 7} results away from ${worker}`, key: '' });
      }
    }
    return { reset, rows, dropped: 0 };
  }

  cells(now: number): Cells {
    const progress = this.progress(now);
    const titles = [
      'frames = [read_chunk(f) for f in files]',
      'clean = client.map(normalise, frames)',
      'model = fit_model(clean)',
      'scores',
      '%%submit -o best',
    ];
    const rows: CellRow[] = progress.groups.slice(0, 7).map((group, i) => ({
      origin: group.origin + i,
      kernel: i === 6 ? '' : '6f2c11d0',
      session: i === 6 ? '' : 'work/analysis.ipynb',
      cell_id: i === 6 ? '' : `c${i}`,
      number: i === 6 ? 0 : 12 + i,
      title: titles[i % titles.length],
      submitted: i % 2 === 1,
      tasks: group.tasks,
      done: group.done,
      started_at: group.started_at,
      ended_at: group.ended_at,
      running_s: group.done * 0.12,
    }));
    return { at: now, rows };
  }

  answer(op: string, args: Record<string, unknown>): unknown {
    switch (op) {
      case 'story':
        return (Array.isArray(args.keys) ? args.keys : []).flatMap(key => [
          [this.began + 1, key, 'released', { to: 'waiting' }],
          [this.began + 1.2, key, 'sent', { worker: this.workerName(1), priority: [0, 12] }],
          [this.began + 1.4, key, 'memory', { nbytes: 8_000_000 }],
        ]);
      case 'worker_logs':
      case 'scheduler_logs':
        return op === 'scheduler_logs' ? [['INFO', 'all is well']] : { answers: { [this.workerAddress(0)]: [['INFO', 'all is well']] }, errors: {} };
      case 'call_stack':
        return { answers: { [this.workerAddress(0)]: { 'fit_model-9e37': ['pipeline/io.py:12 read_chunk', 'numpy/fft.py:88 fft'] } }, errors: {} };
      case 'processing':
        return { [String((args.workers as string[] | undefined)?.[0])]: ['fit_model-9e37', 'fit_model-3c6e'] };
      case 'why_pending':
        return 'waits for 2 inputs, fit_model-9e37 first';
      default:
        return { op, args };
    }
  }
}

interface Watch {
  topic: Topic;
  listener: (data: never) => void;
  options?: WatchOptions;
  /** When it was told of last; null before the first time. */
  since: number | null;
}

/** Tells of a `SyntheticCluster` as the real feeds tell of a real one. `step` moves it by hand. */
export class SyntheticFeed implements Feed {
  readonly cluster: SyntheticCluster;
  state: FeedState = { state: 'open', text: '' };
  /** Calls of `ask`, for tests. */
  readonly asked: { op: string; args: Record<string, unknown> }[] = [];
  private readonly watches = new Set<Watch>();
  private readonly stateListeners = new Set<(state: FeedState) => void>();
  private readonly troubleListeners = new Set<(text: string) => void>();
  private readonly clusterListeners = new Set<(clusters: readonly ClusterInfo[]) => void>();
  private readonly timer: ReturnType<typeof setInterval> | undefined;
  private now: number;

  /** With `live` false nothing moves but by `step`. */
  constructor(options: SyntheticOptions = {}, live = true) {
    this.cluster = new SyntheticCluster(options);
    this.now = this.cluster.options.now;
    if (live && !this.cluster.options.still) {
      const { rate } = this.cluster.options;
      this.timer = setInterval(() => this.step(1 / rate), 1000 / rate);
    }
  }

  /** The topics that are watched at present, for tests. */
  get watched(): Topic[] {
    return [...this.watches].map(watch => watch.topic);
  }

  onState(listener: (state: FeedState) => void): Disposable {
    this.stateListeners.add(listener);
    return { dispose: () => this.stateListeners.delete(listener) };
  }

  setState(state: FeedState): void {
    this.state = state;
    for (const listener of this.stateListeners) {
      listener(state);
    }
  }

  onClusters(listener: (clusters: readonly ClusterInfo[]) => void): Disposable {
    this.clusterListeners.add(listener);
    listener([this.cluster.info(this.now)]);
    return { dispose: () => this.clusterListeners.delete(listener) };
  }

  onTrouble(_cluster: string, listener: (text: string) => void): Disposable {
    this.troubleListeners.add(listener);
    listener('');
    return { dispose: () => this.troubleListeners.delete(listener) };
  }

  setTrouble(text: string): void {
    for (const listener of this.troubleListeners) {
      listener(text);
    }
  }

  watch<T extends Topic>(_cluster: string, topic: T, listener: Listener<T>, options?: WatchOptions): Disposable {
    const watch: Watch = { topic, listener: listener as (data: never) => void, options, since: null };
    this.watches.add(watch);
    this.tell(watch);
    return { dispose: () => this.watches.delete(watch) };
  }

  /** Let so much time go by, and tell of what happened. */
  step(seconds: number): void {
    this.now += seconds;
    for (const watch of this.watches) {
      this.tell(watch);
    }
    for (const listener of this.clusterListeners) {
      listener([this.cluster.info(this.now)]);
    }
  }

  private tell(watch: Watch): void {
    const { now, cluster } = this;
    const make: { [T in Topic]: () => Snapshots[T] } = {
      summary: () => cluster.summary(now),
      progress: () => cluster.progress(now),
      timings: () => cluster.timings(now),
      workers: () => cluster.workers(now),
      load: () => cluster.load(now, watch.since),
      graph: () => cluster.graph(now),
      profile: () => cluster.profile(now, typeof watch.options?.name === 'string' ? watch.options.name : null),
      'task-stream': () => cluster.taskStream(now, watch.since),
      events: () => cluster.events(now, watch.since === null),
      cells: () => cluster.cells(now),
    };
    const data = make[watch.topic]();
    watch.since = now;
    watch.listener(data as never);
  }

  ask(_cluster: string, op: string, args: Record<string, unknown> = {}): Promise<unknown> {
    this.asked.push({ op, args });
    return Promise.resolve(this.cluster.answer(op, args));
  }

  dispose(): void {
    clearInterval(this.timer);
    this.watches.clear();
  }
}
