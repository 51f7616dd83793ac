/**
 * The rows of one band of the picture, with a pyramid above them: each node stands for four nodes or rows below it and knows from when to when they
 * reach, how long they were busy, and with what most. Whoever draws descends only as far as a node is wider than a pixel, so a million rows cost as
 * much as there are pixels. Nodes are made when the four are complete, and never changed after.
 */
import type { StreamStore } from './store';

const FAN = 4; // `descend` shifts by two bits a height
/** Names that a node tells apart; time of others is in its sum only. */
export const NAMES = 3;

const FLOATS = 6; // a node in 8-byte places: begin, end, then eight of 4 bytes: busy, erred, names, amounts

/** Nodes of one height. */
interface Level {
  size: number;
  times: Float64Array;
  floats: Float32Array;
  words: Int32Array;
}

/** Who hears what is in a stretch of time. */
export interface Sink {
  /** A row that is wider than asked for, or of which there is no node yet. */
  row(id: number): void;
  /** Many rows in less time than asked for. */
  node(begin: number, end: number, busy: number, erred: number, names: Int32Array, amounts: Float32Array, at: number): void;
}

function newLevel(capacity: number): Level {
  const buffer = new ArrayBuffer(capacity * FLOATS * 8);
  return { size: 0, times: new Float64Array(buffer), floats: new Float32Array(buffer), words: new Int32Array(buffer) };
}

function grown(level: Level): Level {
  const larger = newLevel((level.times.length / FLOATS) * 2);
  larger.times.set(level.times);
  larger.size = level.size;
  return larger;
}

export class Track {
  private ids = new Int32Array(16);
  private size = 0;
  private levels: Level[] = [];
  // what `gather` adds up
  private readonly gatheredNames = new Int32Array(NAMES);
  private readonly gatheredAmounts = new Float32Array(NAMES);

  constructor(private readonly store: StreamStore) {}

  /** How many rows it has, those included that the store has dropped since the last `compact`. */
  get length(): number {
    return this.size;
  }

  /** The row at a place. */
  at(place: number): number {
    return this.ids[place];
  }

  add(id: number): void {
    if (this.size === this.ids.length) {
      const larger = new Int32Array(this.size * 2);
      larger.set(this.ids);
      this.ids = larger;
    }
    this.ids[this.size++] = id;
    let complete = this.size;
    for (let height = 0; complete % FAN === 0; height++) {
      complete /= FAN;
      this.build(height, complete - 1);
    }
  }

  /** Forget the rows that the store has dropped, once they are most of it. */
  compact(): void {
    const { first } = this.store;
    if (this.size > 32 && this.ids[this.size >> 1] < first) {
      const kept = this.ids.subarray(0, this.size).filter(id => id >= first);
      this.ids = new Int32Array(Math.max(16, kept.length * 2));
      this.size = 0;
      this.levels = [];
      for (const id of kept) {
        this.add(id);
      }
    }
  }

  private build(height: number, place: number): void {
    if (height === this.levels.length) {
      this.levels.push(newLevel(4));
    }
    let level = this.levels[height];
    if ((place + 1) * FLOATS > level.times.length) {
      level = this.levels[height] = grown(level);
    }
    const { store, gatheredNames: names, gatheredAmounts: amounts } = this;
    names.fill(-1);
    amounts.fill(0);
    let begin = Infinity;
    let end = -Infinity;
    let busy = 0;
    let erred = 0;
    for (let i = place * FAN; i < (place + 1) * FAN; i++) {
      if (height === 0) {
        const id = this.ids[i];
        if (id < store.first) {
          continue; // a lane that was quiet for long: the store has dropped it before its node was complete
        }
        const its = store.busy(id);
        begin = Math.min(begin, store.start(id));
        end = Math.max(end, store.stop(id));
        busy += its;
        erred += store.erred(id);
        addName(names, amounts, 0, store.nameAndKind(id), its);
      } else {
        const below = this.levels[height - 1];
        begin = Math.min(begin, below.times[i * FLOATS]);
        end = Math.max(end, below.times[i * FLOATS + 1]);
        busy += below.floats[i * 2 * FLOATS + 4];
        erred += below.floats[i * 2 * FLOATS + 5];
        for (let n = 0; n < NAMES; n++) {
          const name = below.words[i * 2 * FLOATS + 6 + n];
          if (name >= 0) {
            addName(names, amounts, 0, name, below.floats[i * 2 * FLOATS + 9 + n]);
          }
        }
      }
    }
    level.times[place * FLOATS] = begin;
    level.times[place * FLOATS + 1] = end;
    level.floats[place * 2 * FLOATS + 4] = busy;
    level.floats[place * 2 * FLOATS + 5] = erred;
    for (let n = 0; n < NAMES; n++) {
      level.words[place * 2 * FLOATS + 6 + n] = names[n];
      level.floats[place * 2 * FLOATS + 9 + n] = amounts[n];
    }
    level.size = place + 1;
  }

  /** Tell of all that reaches into [from, to]; of rows that stand closer together than `least` seconds, by nodes of at most this width. */
  visit(from: number, to: number, least: number, sink: Sink): void {
    // at each height, the nodes that have no node above them yet; the highest are the oldest
    let done = 0;
    for (let height = this.levels.length - 1; height >= 0; height--) {
      const { size } = this.levels[height];
      for (let place = done; place < size; place++) {
        this.descend(height, place, from, to, least, sink);
      }
      done = size * FAN;
    }
    for (let i = done; i < this.size; i++) {
      this.visitRow(this.ids[i], from, to, sink);
    }
  }

  private visitRow(id: number, from: number, to: number, sink: Sink): void {
    if (id >= this.store.first && this.store.stop(id) >= from && this.store.start(id) <= to) {
      sink.row(id);
    }
  }

  private descend(height: number, place: number, from: number, to: number, least: number, sink: Sink): void {
    const level = this.levels[height];
    const begin = level.times[place * FLOATS];
    const end = level.times[place * FLOATS + 1];
    if (end < from || begin > to) {
      return;
    }
    if (end - begin <= least) {
      if (this.ids[((place + 1) << (2 * height + 2)) - 1] >= this.store.first) {
        const at = place * 2 * FLOATS;
        sink.node(begin, end, level.floats[at + 4], level.floats[at + 5], level.words, level.floats, at + 6);
      }
      return;
    }
    for (let i = place * FAN; i < (place + 1) * FAN; i++) {
      if (height === 0) {
        this.visitRow(this.ids[i], from, to, sink);
      } else {
        this.descend(height - 1, i, from, to, least, sink);
      }
    }
  }
}

/** Add time of a name to the few that are told apart from `at` on; the one with the least gives way. */
export function addName(names: Int32Array, amounts: Float32Array, at: number, name: number, amount: number): void {
  let least = at;
  for (let i = at; i < at + NAMES; i++) {
    if (names[i] === name) {
      amounts[i] += amount;
      return;
    }
    if (names[i] < 0) {
      names[i] = name;
      amounts[i] = amount;
      return;
    }
    if (amounts[i] < amounts[least]) {
      least = i;
    }
  }
  if (amount > amounts[least]) {
    names[least] = name;
    amounts[least] = amount;
  }
}
