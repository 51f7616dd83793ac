/** The last minutes of two rates, as areas above and below a line: a ring of samples, and its picture on a canvas. */
import type { Theme } from './theme';
import { el, fit } from './dom';
import { mix } from './theme';

/** The newest samples of two rates, at most so many seconds of them. */
export class History {
  readonly at: number[] = [];
  readonly up: number[] = [];
  readonly down: number[] = [];

  constructor(readonly span_s: number) {}

  /** Samples that are older than the newest, or not 50 ms newer, say nothing new. */
  add(at: number, up: number, down: number): void {
    const last = this.at[this.at.length - 1];
    if (last !== undefined && at < last + 0.05) {
      return;
    }
    this.at.push(at);
    this.up.push(up);
    this.down.push(down);
    let old = 0;
    while (this.at[old] < at - this.span_s) {
      old++;
    }
    if (old > 64) {
      for (const column of [this.at, this.up, this.down]) {
        column.splice(0, old);
      }
    }
  }

  /** The largest of those in sight. */
  get most(): number {
    const from = (this.at[this.at.length - 1] ?? 0) - this.span_s;
    let most = 0;
    for (let i = this.at.length - 1; i >= 0 && this.at[i] >= from; i--) {
      most = Math.max(most, this.up[i], this.down[i]);
    }
    return most;
  }
}

/** A pause of this many seconds is a gap in the picture: nobody looked. */
const GAP_S = 8;

export class HistoryChart {
  readonly node: HTMLElement;
  private readonly canvas = el('canvas');

  constructor(label: string) {
    this.node = el('div', 'jf-history', { role: 'img', 'aria-label': label }, this.canvas);
  }

  draw(history: History, end: number, ends: readonly [string, string], theme: Theme, width: number, height: number): void {
    const context = fit(this.canvas, width, height);
    const middle = Math.round(height / 2);
    const now = history.at[history.at.length - 1] ?? 0;
    const x = (at: number): number => width - ((now - at) / history.span_s) * width;
    context.strokeStyle = mix(theme.text, 0.08);
    context.lineWidth = 1;
    for (let back = 30; back < history.span_s; back += 30) {
      const place = Math.round(x(now - back)) + 0.5;
      context.beginPath();
      context.moveTo(place, 0);
      context.lineTo(place, height);
      context.stroke();
    }
    for (const [values, side, colour] of [
      [history.up, -1, theme.accent],
      [history.down, 1, mix(theme.accent, 0.45)],
    ] as const) {
      context.fillStyle = colour;
      let i = 0;
      while (i < values.length) {
        let stop = i;
        while (stop + 1 < values.length && history.at[stop + 1] - history.at[stop] < GAP_S) {
          stop++;
        }
        context.beginPath();
        context.moveTo(x(history.at[i]), middle);
        for (let k = i; k <= stop; k++) {
          context.lineTo(x(history.at[k]), middle + side * Math.min(1, values[k] / end) * (middle - 2));
        }
        context.lineTo(x(history.at[stop]), middle);
        context.closePath();
        context.fill();
        i = stop + 1;
      }
    }
    context.fillStyle = theme.line;
    context.fillRect(0, middle, width, 1);
    context.font = `11px ${theme.font}`;
    context.fillStyle = theme.soft;
    context.textBaseline = 'top';
    context.fillText(ends[0], 4, 3);
    context.textBaseline = 'bottom';
    context.fillText(ends[1], 4, height - 2);
  }
}
