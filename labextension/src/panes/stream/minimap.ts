/**
 * The whole stream in a strip: how busy all lanes were together, in at most 1,024 stretches of time whose length doubles when there is more. It
 * remembers what the store has dropped.
 */
const BINS = 1024;

export class Minimap {
  /** Seconds of one bin. */
  width = 0.125;
  /** When the first bin begins. */
  origin = 0;
  readonly busy = new Float64Array(BINS);
  readonly erred = new Float64Array(BINS);
  /** How many bins have something. */
  used = 0;

  begin(origin: number): void {
    this.origin = origin;
    this.width = 0.125;
    this.used = 0;
    this.busy.fill(0);
    this.erred.fill(0);
  }

  add(start: number, stop: number, busy: number, erred: number): void {
    while (stop - this.origin >= this.width * BINS) {
      this.fold();
    }
    const left = Math.max(0, (start - this.origin) / this.width);
    const right = Math.max(left, (stop - this.origin) / this.width);
    const low = Math.floor(left);
    const high = Math.min(BINS - 1, Math.floor(right));
    for (let i = low; i <= high; i++) {
      const share = right > left ? (Math.min(right, i + 1) - Math.max(left, i)) / (right - left) : 1;
      this.busy[i] += busy * share;
    }
    this.erred[high] += erred;
    this.used = Math.max(this.used, high + 1);
  }

  private fold(): void {
    for (const values of [this.busy, this.erred]) {
      for (let i = 0; i < BINS / 2; i++) {
        values[i] = values[2 * i] + values[2 * i + 1];
      }
      values.fill(0, BINS / 2);
    }
    this.width *= 2;
    this.used = Math.ceil(this.used / 2);
  }
}
