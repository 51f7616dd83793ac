/**
 * The bands of the picture: one for each thread, or one for each worker with all its threads. What a worker moves and what it does on disk happens
 * beside its threads; it is shown at the foot of the worker's first band. What the user has hidden is in no track, so that the pyramids are right.
 */
import type { Lane } from '../../protocol/snapshots';
import type { StreamStore } from './store';
import { Track } from './track';

export type Grouping = 'threads' | 'workers';

export interface Band {
  /** The worker's name. */
  worker: string;
  address: string;
  /** The thread; -1: all of the worker's. */
  thread: number;
  /** Whether it is the first of its worker. */
  first: boolean;
  /** How many threads it stands for. */
  threads: number;
  compute: Track;
  moves: Track;
}

export class Bands {
  list: Band[] = [];
  grouping: Grouping = 'threads';
  /** Names that are not shown. */
  hidden = new Set<string>();
  /** Another one whenever bands or what is in them are others. */
  version = 0;
  private hiddenPlaces = new Set<number>();
  private tracks: Track[] = []; // by lane
  private bands: Band[] = []; // by lane
  private knownLanes = 0;
  private knownNames = 0;
  private next = 0;

  constructor(private readonly store: StreamStore) {}

  /** Take in what the store has got since the last time. True if bands have come. */
  update(): boolean {
    const { store } = this;
    for (; this.knownNames < store.names.length; this.knownNames++) {
      if (this.hidden.has(store.names[this.knownNames])) {
        this.hiddenPlaces.add(this.knownNames);
      }
    }
    const more = this.knownLanes < store.lanes.length;
    if (more) {
      this.knownLanes = store.lanes.length;
      this.assign();
    }
    for (let id = Math.max(this.next, store.first); id < store.end; id++) {
      if (!this.hiddenPlaces.has(store.nameAndKind(id) >> 2)) {
        this.tracks[store.lane(id)].add(id);
      }
    }
    this.next = store.end;
    for (const band of this.list) {
      band.compute.compact();
      band.moves.compact();
    }
    return more;
  }

  /** Begin anew: another stream, other groups, or other names. */
  rebuild(): void {
    this.list = [];
    this.tracks = [];
    this.bands = [];
    this.knownLanes = 0;
    this.knownNames = 0;
    this.next = 0;
    this.hiddenPlaces.clear();
    this.version++;
    this.update();
  }

  isHidden(name: number): boolean {
    return this.hiddenPlaces.has(name);
  }

  /** The band in which a lane is shown. */
  ofLane(lane: number): Band {
    return this.bands[lane];
  }

  /** Give each lane its band. Lanes that have one keep it. */
  private assign(): void {
    const known = new Map(this.list.map(band => [keyOf(band.address, band.thread), band]));
    const order = this.store.lanes.map((_, i) => i).sort((a, b) => compareLanes(this.store.lanes[a], this.store.lanes[b]));
    const list: Band[] = [];
    let worker: string | null = null;
    let foot: Band | null = null;
    for (const lane of order) {
      const { worker: name, address, thread } = this.store.lanes[lane];
      const aside = thread < 0;
      const first = worker !== address;
      worker = address;
      let band: Band | null = foot;
      if (first || foot === null || (this.grouping === 'threads' && !aside)) {
        const place = this.grouping === 'workers' ? -1 : Math.max(0, thread);
        band = known.get(keyOf(address, place)) ?? {
          worker: name,
          address,
          thread: place,
          first,
          threads: 1,
          compute: new Track(this.store),
          moves: new Track(this.store),
        };
        band.first = first;
        band.threads = 0;
        list.push(band);
        if (first) {
          foot = band;
        }
      }
      const its = band as Band;
      its.threads += aside ? 0 : 1;
      this.bands[lane] = its;
      this.tracks[lane] = aside ? its.moves : its.compute;
    }
    for (const band of list) {
      band.threads = Math.max(1, band.threads);
    }
    this.list = list;
    this.version++;
  }
}

function keyOf(address: string, thread: number): string {
  return `${thread} ${address}`;
}

const collator = new Intl.Collator('en', { numeric: true });

/** By worker, then by thread; what happens beside the threads comes after them. */
function compareLanes(a: Lane, b: Lane): number {
  if (a.address !== b.address) {
    return collator.compare(a.worker, b.worker) || (a.address < b.address ? -1 : 1);
  }
  return (a.thread < 0 ? 1e9 - a.thread : a.thread) - (b.thread < 0 ? 1e9 - b.thread : b.thread);
}
