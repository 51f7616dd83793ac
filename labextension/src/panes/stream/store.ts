/**
 * The rows of the task stream, as told by the scheduler: what ran in which lane and when. A million of them are kept, in packed chunks of typed arrays
 * (40 bytes a row, and its key), so that taking and dropping rows allocates next to nothing and a row costs one place in the processor's cache.
 * Rows are named by a number that only grows; the oldest are dropped by whole chunks, and numbers below `first` mean nothing any more.
 */
import type { Lane, TaskStream } from '../../protocol/snapshots';

export const COMPUTE = 0;
export const TRANSFER = 1;
export const DISK = 2;

const CHUNK_BITS = 15;
export const CHUNK = 1 << CHUNK_BITS;
/** Rows kept at most, before the oldest chunk goes. */
export const KEPT = 40 * CHUNK;
const FLOATS = 5; // a record in 8-byte places: start, stop, then six places of 4 bytes

interface Chunk {
  /** start at 5 i, stop at 5 i + 1 */
  times: Float64Array;
  /** busy at 10 i + 4, nbytes at 10 i + 5 */
  floats: Float32Array;
  /** lane at 10 i + 6, name and kind at 10 i + 7, count at 10 i + 8, erred at 10 i + 9 */
  words: Uint32Array;
  keys: string[];
}

/** One row, unpacked; times in seconds after `base`. */
export interface Row {
  id: number;
  lane: number;
  name: number;
  kind: number;
  start: number;
  stop: number;
  busy: number;
  nbytes: number;
  count: number;
  erred: number;
  key: string;
}

/** What is known of all rows of one name that have ever come. */
export interface NameTotals {
  /** Calls. */
  count: number;
  erred: number;
  busy: number;
  kind: number;
}

/** A call that has been running for long, and has not ended. */
export interface OpenRow {
  lane: number;
  name: number;
  start: number;
  key: string;
}

function newChunk(): Chunk {
  const buffer = new ArrayBuffer(CHUNK * FLOATS * 8);
  return { times: new Float64Array(buffer), floats: new Float32Array(buffer), words: new Uint32Array(buffer), keys: [] };
}

export class StreamStore {
  /** Seconds since 1970 of time 0. */
  base = 0;
  /** Until when it has been told, in seconds after `base`. */
  now = 0;
  /** When the first row that was kept began; `now` while there is none. */
  earliest = 0;
  lanes: Lane[] = [];
  names: string[] = [];
  totals: NameTotals[] = [];
  open: OpenRow[] = [];
  /** The first row that is kept, and one after the last. */
  first = 0;
  end = 0;
  /** Rows that the scheduler has not told, for they were too many. */
  dropped = 0;
  /** Calls of all rows, also of those that are not kept any more. */
  calls = 0;
  private chunks: Chunk[] = [];
  private firstChunk = 0;

  /** So many rows are kept at most. */
  constructor(private readonly kept = KEPT) {}

  /** Take a message. True if it was a new beginning, so that whoever refers to rows has to begin anew as well. */
  take(message: TaskStream): boolean {
    if (message.reset) {
      this.base = message.base;
      this.lanes = [];
      this.names = [];
      this.totals = [];
      this.first = this.end = this.firstChunk = 0;
      this.chunks = [];
      this.dropped = this.calls = 0;
      this.earliest = message.now;
    }
    const shift = message.base - this.base;
    this.now = Math.max(message.reset ? -Infinity : this.now, message.now + shift);
    this.dropped += message.dropped;
    for (const lane of message.lanes) {
      this.lanes.push(lane);
    }
    for (const name of message.names) {
      this.names.push(name);
      this.totals.push({ count: 0, erred: 0, busy: 0, kind: COMPUTE });
    }
    for (let i = 0; i < message.lane.length; i++) {
      this.append(message, i, shift);
    }
    this.open = message.open_lane.map((lane, i) => ({
      lane,
      name: message.open_name[i],
      start: message.open_start[i] + shift,
      key: message.open_key[i],
    }));
    while (this.end - this.first > this.kept) {
      this.chunks.shift();
      this.firstChunk++;
      this.first = this.firstChunk << CHUNK_BITS;
      this.earliest = this.start(this.first);
    }
    return message.reset;
  }

  private append(message: TaskStream, i: number, shift: number): void {
    const id = this.end++;
    const at = id & (CHUNK - 1);
    if (at === 0) {
      this.chunks.push(newChunk());
    }
    const chunk = this.chunks[this.chunks.length - 1];
    const start = message.start[i] + shift;
    const stop = Math.max(start, message.stop[i] + shift);
    const name = message.name[i];
    const place = at * 2 * FLOATS;
    chunk.times[at * FLOATS] = start;
    chunk.times[at * FLOATS + 1] = stop;
    chunk.floats[place + 4] = message.busy_s[i];
    chunk.floats[place + 5] = message.nbytes[i];
    chunk.words[place + 6] = message.lane[i];
    chunk.words[place + 7] = (name << 2) | message.kind[i];
    chunk.words[place + 8] = message.count[i];
    chunk.words[place + 9] = message.erred[i];
    chunk.keys.push(message.key[i]);
    const totals = this.totals[name];
    totals.count += message.count[i];
    totals.erred += message.erred[i];
    totals.busy += message.busy_s[i];
    totals.kind = message.kind[i];
    this.calls += message.kind[i] === COMPUTE ? message.count[i] : 0;
    if (start < this.earliest) {
      this.earliest = start;
    }
  }

  /** How many rows are kept. */
  get size(): number {
    return this.end - this.first;
  }

  start(id: number): number {
    return this.chunks[(id >> CHUNK_BITS) - this.firstChunk].times[(id & (CHUNK - 1)) * FLOATS];
  }

  stop(id: number): number {
    return this.chunks[(id >> CHUNK_BITS) - this.firstChunk].times[(id & (CHUNK - 1)) * FLOATS + 1];
  }

  busy(id: number): number {
    return this.chunks[(id >> CHUNK_BITS) - this.firstChunk].floats[(id & (CHUNK - 1)) * 2 * FLOATS + 4];
  }

  lane(id: number): number {
    return this.chunks[(id >> CHUNK_BITS) - this.firstChunk].words[(id & (CHUNK - 1)) * 2 * FLOATS + 6];
  }

  /** Four times the name's place, and the kind. */
  nameAndKind(id: number): number {
    return this.chunks[(id >> CHUNK_BITS) - this.firstChunk].words[(id & (CHUNK - 1)) * 2 * FLOATS + 7];
  }

  count(id: number): number {
    return this.chunks[(id >> CHUNK_BITS) - this.firstChunk].words[(id & (CHUNK - 1)) * 2 * FLOATS + 8];
  }

  erred(id: number): number {
    return this.chunks[(id >> CHUNK_BITS) - this.firstChunk].words[(id & (CHUNK - 1)) * 2 * FLOATS + 9];
  }

  row(id: number): Row {
    const chunk = this.chunks[(id >> CHUNK_BITS) - this.firstChunk];
    const at = id & (CHUNK - 1);
    const both = this.nameAndKind(id);
    return {
      id,
      lane: this.lane(id),
      name: both >> 2,
      kind: both & 3,
      start: this.start(id),
      stop: this.stop(id),
      busy: this.busy(id),
      nbytes: chunk.floats[at * 2 * FLOATS + 5],
      count: this.count(id),
      erred: this.erred(id),
      key: chunk.keys[at],
    };
  }
}
