/**
 * Which part of the picture is in sight: a stretch of time, and the bands from `top` on. It follows what is new until the user looks elsewhere. Pure
 * arithmetic; times in seconds after the stream's base, heights in CSS pixels.
 */

/** Seconds that are in sight at first, and at least and at most. */
const FIRST = 60;
const LEAST = 20e-6;
/** The least and largest height of a band. */
export const BAND_LEAST = 2;
export const BAND_MOST = 48;

export class Viewport {
  from = -FIRST;
  to = 0;
  /** Whether the end of what is known stays at the right edge. */
  live = true;
  /** Pixels above the first band in sight. */
  top = 0;
  /** The height that the user has chosen for a band; null: as it fits. */
  chosenBand: number | null = null;
  /** Whether all is in sight as long as it is not much: until somebody zooms. */
  private grows = true;
  private earliest = 0;
  private now = 0;
  private bands = 0;
  private height = 0;

  get span(): number {
    return this.to - this.from;
  }

  /** What there is to see. */
  know(earliest: number, now: number): void {
    this.earliest = earliest;
    this.now = now;
    if (this.live) {
      const span = this.grows ? Math.min(FIRST, Math.max(5, (now - earliest) * 1.02)) : this.span;
      this.to = now + span * 0.01;
      this.from = this.to - span;
    }
  }

  /** A new stream: look at the end of it, or at all of it if that is not much more. */
  begin(earliest: number, now: number): void {
    this.live = true;
    this.grows = true;
    this.know(earliest, now);
  }

  /** So many bands stand in so much height. */
  layOut(bands: number, height: number): void {
    this.bands = bands;
    this.height = height;
    this.scrollTo(this.top);
  }

  /** Pixels from one band to the next. Bands share the height as long as they can be told apart. */
  get band(): number {
    if (this.chosenBand !== null) {
      return this.chosenBand;
    }
    const fits = this.bands === 0 ? BAND_MOST : this.height / this.bands;
    return fits >= 4 ? Math.min(30, Math.floor(fits * 4) / 4) : Math.max(BAND_LEAST, Math.floor(fits));
  }

  /** Whether there is more than fits. */
  get overflows(): boolean {
    return this.band * this.bands > this.height;
  }

  scrollTo(top: number): void {
    this.top = Math.max(0, Math.min(top, this.band * this.bands - this.height));
  }

  /** Make bands higher or lower; what stands at `y` stays there. */
  zoomBands(factor: number, y: number): void {
    const old = this.band;
    const place = (this.top + y) / old;
    this.chosenBand = Math.max(BAND_LEAST, Math.min(BAND_MOST, factor > 1 ? Math.max(old + 1, old * factor) : Math.min(old - 1, old * factor)));
    this.scrollTo(place * this.chosenBand - y);
  }

  /** Show factor times less; what stands at `share` of the width stays there. While live that is the end. */
  zoom(factor: number, share: number): void {
    this.grows = false;
    const most = Math.max(FIRST, (this.now - this.earliest) * 1.1);
    const span = Math.max(LEAST, Math.min(most, this.span / factor));
    const at = this.live ? this.to : this.from + this.span * share;
    this.from = at - span * (this.live ? 1 : share);
    this.to = this.from + span;
    this.clamp();
  }

  /** Move by so many seconds; to the end and beyond: live again. */
  pan(seconds: number): void {
    if (seconds !== 0) {
      const { span } = this;
      this.live = seconds > 0 && this.to + seconds > this.now + span * 0.01;
      this.from += seconds;
      this.to += seconds;
      this.clamp();
      this.know(this.earliest, this.now);
    }
  }

  show(from: number, to: number): void {
    this.live = false;
    this.grows = false;
    const least = Math.max(0, LEAST - (to - from)) / 2;
    this.from = from - least;
    this.to = to + least;
    this.clamp();
  }

  /** All that is kept. */
  showAll(): void {
    const span = Math.max(1, this.now - this.earliest);
    this.grows = false;
    this.live = true;
    this.from = this.earliest - span * 0.01;
    this.to = this.now + span * 0.01;
  }

  follow(): void {
    this.live = true;
    this.from = this.now - Math.min(this.span, FIRST);
    this.to = this.now;
    this.know(this.earliest, this.now);
  }

  private clamp(): void {
    const { span } = this;
    const first = Math.min(this.earliest, this.now - FIRST) - span * 0.5;
    const last = this.now + span * 0.5;
    if (this.from < first) {
      this.from = first;
      this.to = first + span;
    }
    if (this.to > last) {
      this.to = last;
      this.from = last - span;
    }
  }
}

/** A mark of a time axis. */
export interface Tick {
  at: number;
  label: string;
  /** Told apart from the others: a full minute among seconds, a full second among parts of it. */
  major: boolean;
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];

/** Marks at round times of the day, at most `most` of them. Labels below a second are told from the full second before: `+250 ms`. */
export function ticks(base: number, from: number, to: number, most: number): Tick[] {
  const rough = (to - from) / Math.max(1, most);
  let step = STEPS.find(each => each >= rough) ?? 86400;
  if (rough < 0.5) {
    const power = 10 ** Math.floor(Math.log10(rough));
    step = [1, 2, 5, 10].map(m => m * power).find(each => each >= rough * 0.999) ?? power * 10;
  }
  const zone = step >= 3600 ? new Date(base * 1000).getTimezoneOffset() * 60 : 0;
  const marks: Tick[] = [];
  // counted from a full second near, for 1.8e9 + 1e-6 has no more digits
  const anchor = step >= 1 ? -((base - zone) % step) : Math.floor(from + (base % 1)) - (base % 1);
  for (let n = Math.ceil((from - anchor) / step - 1e-6); anchor + n * step <= to; n++) {
    const at = anchor + n * step;
    if (step >= 1) {
      const moment = new Date(Math.round((base + at) * 1000)).toTimeString();
      marks.push({ at, label: step >= 60 ? moment.slice(0, 5) : moment.slice(0, 8), major: step < 60 && moment.slice(6, 8) === '00' });
    } else {
      const after = Math.round((n * step) / step) * step;
      const whole = Math.floor(after + step / 1e3);
      const part = after - whole;
      const major = part < step / 2;
      const moment = new Date(Math.round(base + anchor + whole) * 1000).toTimeString().slice(0, 8);
      marks.push({ at, label: major ? moment : `+${fraction(part, step)}`, major });
    }
  }
  return marks;
}

function fraction(seconds: number, step: number): string {
  const [unit, size] = step < 1e-3 ? ['µs', 1e-6] : ['ms', 1e-3];
  const value = seconds / size;
  return `${Number(value.toFixed(step / size < 0.999 ? 1 : 0))} ${unit}`;
}
