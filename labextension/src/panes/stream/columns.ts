/**
 * What one band of the picture shows in each column of pixels: how much of the column's time something ran, the three names that had most of it, and
 * whether something failed. It is filled by a visit of the band's track, and read by the painter.
 */
import { COMPUTE, type StreamStore } from './store';
import { addName, NAMES, type Sink } from './track';

/** Bars that are wide enough to be told apart. */
export interface Bar {
  id: number;
  /** From where to where, in pixels; may reach out of the picture. */
  left: number;
  right: number;
}

/** Pixels from which on a row is a bar of its own. */
const BAR = 3;
/** Pixels from which on it has an edge to the next. */
const EDGED = 5;

export class Columns implements Sink {
  width = 0;
  /** Three a column, and the busy share of each; -1: none. */
  names = new Int32Array(0);
  amounts = new Float32Array(0);
  /** The busy share, of all names; above 1 where rows overlap. */
  total = new Float32Array(0);
  /** 1: something failed in it, 2: and nothing else is there. */
  erred = new Uint8Array(0);
  /** Columns in which many rows meet: their share is shown as a height, that of a bar's edge as a shade. */
  fine = new Uint8Array(0);
  /** Columns in which a bar ends and another may begin. */
  edge = new Uint8Array(0);
  /** The first and the last column that have something. */
  low = 0;
  high = -1;
  bars: Bar[] = [];
  private from = 0;
  private perSecond = 1;

  constructor(private readonly store: StreamStore) {}

  /** Empty it for this stretch of time, in so many columns. */
  begin(width: number, from: number, to: number): void {
    if (width !== this.width) {
      this.width = width;
      this.names = new Int32Array(width * NAMES);
      this.amounts = new Float32Array(width * NAMES);
      this.total = new Float32Array(width);
      this.erred = new Uint8Array(width);
      this.fine = new Uint8Array(width);
      this.edge = new Uint8Array(width);
      this.names.fill(-1);
    } else if (this.high >= this.low) {
      const { low, high } = this;
      this.names.fill(-1, low * NAMES, (high + 1) * NAMES);
      this.total.fill(0, low, high + 1);
      this.erred.fill(0, low, high + 1);
      this.fine.fill(0, low, high + 1);
      this.edge.fill(0, low, high + 1);
    }
    this.from = from;
    this.perSecond = width / (to - from);
    this.low = width;
    this.high = -1;
    this.bars = [];
  }

  /** The pixel of a time. */
  at(time: number): number {
    return (time - this.from) * this.perSecond;
  }

  row(id: number): void {
    const { store } = this;
    const start = store.start(id);
    const stop = store.stop(id);
    const left = this.at(start);
    const right = this.at(stop);
    const both = store.nameAndKind(id);
    const took = stop - start;
    const share = took > 0 ? Math.min(1, store.busy(id) / took) : 1;
    const single = store.count(id) === 1 && (both & 3) === COMPUTE;
    if (right - left >= BAR) {
      this.bars.push({ id, left, right });
      this.spread(both, left, right, single ? 1 : share, !single);
      const last = Math.ceil(right) - 1;
      if (right - left >= EDGED && last >= 0 && last < this.width) {
        this.edge[last] = 1;
      }
    } else {
      this.spread(both, left, Math.max(right, left + 1e-3), share, right - left < 1.5 || !single);
    }
    const erred = store.erred(id);
    if (erred > 0) {
      const low = Math.max(0, Math.floor(left));
      const high = Math.min(this.width - 1, Math.max(low, Math.ceil(right) - 1));
      const how = erred === store.count(id) && right - left >= BAR ? 2 : 1;
      for (let x = low; x <= high; x++) {
        this.erred[x] = Math.max(this.erred[x], how);
      }
    }
  }

  /** A call that has not ended: a bar from its start until the end of what is known. */
  open(name: number, start: number, until: number): void {
    this.spread(name << 2, this.at(start), this.at(until), 1, false);
  }

  node(begin: number, end: number, busy: number, erred: number, names: Int32Array, amounts: Float32Array, at: number): void {
    const { perSecond, width } = this;
    const left = (begin - this.from) * perSecond;
    const right = (end - this.from) * perSecond;
    const low = left > 0 ? left | 0 : 0;
    const high = right < width ? right | 0 : width - 1;
    const whole = right > left ? 1 / (right - left) : 0;
    for (let x = low; x <= high; x++) {
      const part = whole === 0 ? 1 : ((right < x + 1 ? right : x + 1) - (left > x ? left : x)) * whole;
      if (part > 0) {
        const scale = part * perSecond;
        this.total[x] += busy * scale;
        this.fine[x] = 1;
        for (let n = 0; n < NAMES && names[at + n] >= 0; n++) {
          addName(this.names, this.amounts, x * NAMES, names[at + n], amounts[at + NAMES + n] * scale);
        }
        if (erred > 0) {
          this.erred[x] = 1;
        }
      }
    }
    this.low = low < this.low ? low : this.low;
    this.high = high > this.high ? high : this.high;
  }

  private spread(name: number, left: number, right: number, share: number, fine: boolean): void {
    const low = Math.max(0, Math.floor(left));
    const high = Math.min(this.width - 1, Math.ceil(right) - 1);
    for (let x = low; x <= high; x++) {
      const amount = (Math.min(right, x + 1) - Math.max(left, x)) * share;
      this.total[x] += amount;
      addName(this.names, this.amounts, x * NAMES, name, amount);
      if (fine) {
        this.fine[x] = 1;
      }
    }
    this.low = Math.min(this.low, low);
    this.high = Math.max(this.high, high);
  }
}
