/**
 * All workers at a glance: one column each, in the order of the table below, a thousand of them side by side. The part that the table shows is marked;
 * a click brings a worker into the table. Columns stand on a line, what is `down` hangs below it. Where there are more workers than pixels, a pixel
 * shows the largest of its workers.
 */
import { el, fit } from './dom';
import { mix } from './theme';
import type { Theme } from './theme';

export interface Layer<R> {
  /** Height, of 1 (the scale's end). Layers of one side are stacked. */
  of(row: R): number;
  /** How opaque it is, of 1: layers are shades of one colour. */
  readonly shade: number;
  /** A row in need: `jf-warn` or `jf-bad`, else ''. */
  alarm?(row: R): string;
}

export interface SkylineOptions<R> {
  /** What it is, for screen readers. */
  readonly label: string;
  readonly up: readonly Layer<R>[];
  readonly down?: readonly Layer<R>[];
  /** What the tooltip says of a column. */
  describe(row: R): string;
  chosen(row: R): void;
}

/** No column is wider, in pixels. */
const WIDEST = 25;

/** One column in pixels. */
export interface Span {
  readonly x: number;
  readonly width: number;
  readonly from: number;
  readonly to: number;
}

/** Where the columns of so many rows stand: not too wide, with a gap while there is room for one. */
export function spans(rows: number, width: number): Span[] {
  if (rows === 0 || width <= 0) {
    return [];
  }
  const step = Math.min(WIDEST, width / rows);
  if (step >= 2) {
    const gap = step >= 4 ? 1 : step >= 3 ? 0.5 : 0;
    return Array.from({ length: rows }, (_, i) => ({ x: i * step, width: step - gap, from: i, to: i + 1 }));
  }
  const columns = Math.min(rows, Math.floor(width));
  return Array.from({ length: columns }, (_, i) => ({
    x: (i * width) / columns,
    width: width / columns + 0.3,
    from: Math.floor((i * rows) / columns),
    to: Math.max(Math.floor((i * rows) / columns) + 1, Math.floor(((i + 1) * rows) / columns)),
  }));
}

export class Skyline<R> {
  readonly node: HTMLElement;
  private readonly canvas = el('canvas');
  private rows: readonly R[] = [];
  private width = 0;
  private pointed = -1;

  constructor(private readonly options: SkylineOptions<R>) {
    this.node = el('div', 'jf-skyline', { role: 'img', 'aria-label': options.label }, this.canvas);
    this.canvas.addEventListener('pointermove', event => this.point(event.offsetX));
    this.canvas.addEventListener('pointerleave', () => this.point(-1));
    this.canvas.addEventListener('click', event => {
      const row = this.at(event.offsetX);
      if (row !== undefined) {
        options.chosen(row);
      }
    });
  }

  private at(x: number): R | undefined {
    const step = this.rows.length ? Math.min(WIDEST, this.width / this.rows.length) : 0;
    return x >= 0 && step > 0 ? this.rows[Math.floor(x / step)] : undefined;
  }

  private point(x: number): void {
    const row = this.at(x);
    const place = row === undefined ? -1 : this.rows.indexOf(row);
    if (place !== this.pointed) {
      this.pointed = place;
      this.node.title = row === undefined ? '' : this.options.describe(row);
      this.canvas.style.cursor = row === undefined ? '' : 'pointer';
    }
  }

  /** Draw these rows; the table shows those from the first of `range` to before its second. */
  draw(rows: readonly R[], range: readonly [number, number], theme: Theme, width: number, height: number): void {
    this.rows = rows;
    this.width = width;
    const { up, down } = this.options;
    const context = fit(this.canvas, width, height);
    const base = down ? Math.round(height / 2) : height - 1;
    const sides: [readonly Layer<R>[], number][] = [[up, -1]];
    if (down) {
      sides.push([down, 1]);
    }
    const columns = spans(rows.length, width);
    const step = rows.length ? Math.min(WIDEST, width / rows.length) : 0;
    if (range[1] - range[0] < rows.length) {
      context.fillStyle = mix(theme.text, 0.07);
      context.fillRect(range[0] * step, 0, Math.max(2, (range[1] - range[0]) * step), height);
    }
    for (const [layers, side] of sides) {
      const room = side < 0 ? base - 2 : height - base - 2;
      const reached = new Float64Array(columns.length);
      for (const layer of layers) {
        const tones: Record<string, Path2D> = { '': new Path2D(), 'jf-warn': new Path2D(), 'jf-bad': new Path2D() };
        columns.forEach((column, i) => {
          let most = 0;
          let tone = '';
          for (let place = column.from; place < column.to; place++) {
            most = Math.max(most, layer.of(rows[place]));
            tone = layer.alarm?.(rows[place]) || tone;
          }
          const length = Math.min(room - reached[i], most * room);
          if (length > 0.1) {
            tones[tone].rect(column.x, side < 0 ? base - reached[i] - length : base + 1 + reached[i], column.width, length);
            reached[i] += length;
          }
        });
        for (const [tone, path] of Object.entries(tones)) {
          context.fillStyle = mix(tone === 'jf-bad' ? theme.bad : tone === 'jf-warn' ? theme.warn : theme.accent, layer.shade);
          context.fill(path);
        }
      }
    }
    context.fillStyle = theme.line;
    context.fillRect(0, base, width, 1);
  }
}
