/**
 * From columns to pixels. Each band is a strip; in each column of it the names that ran are stacked, each as high as its share of the column's time,
 * so that a strip of thousands of calls is a chart of what kept the thread busy. Strips too low for that show the busiest name, paler with the idle
 * time. Pixels are written one by one into an image: no calls into the browser, whatever there is to draw.
 */
import type { Columns } from './columns';
import { TRANSFER } from './store';
import { NAMES } from './track';

/** Pixels as an ImageData holds them in memory: red in the lowest byte. */
export type Pixel = number;

export interface Ink {
  background: Pixel;
  /** A band where nothing runs. */
  idle: Pixel;
  /** Names that are not told apart. */
  others: Pixel;
  failed: Pixel;
  transfer: Pixel;
  disk: Pixel;
  /** By the name's place. */
  names: Pixel[];
}

export function pixel([r, g, b]: readonly [number, number, number]): Pixel {
  return ((255 << 24) | (Math.round(b) << 16) | (Math.round(g) << 8) | Math.round(r)) >>> 0;
}

/** So much of `over` (0 to 1) upon `under`. */
export function blend(under: Pixel, over: Pixel, share: number): Pixel {
  const s = share >= 1 ? 256 : (share * 256) | 0;
  const low = under & 0xff00ff;
  const middle = (under >>> 8) & 0xff;
  const lows = (low + ((((over & 0xff00ff) - low) * s) >> 8)) & 0xff00ff;
  const middles = (middle + ((((over >>> 8) & 0xff) - middle) * s) / 256) & 0xff;
  return (0xff000000 | lows | (middles << 8)) >>> 0;
}

/** Below this height (pixels) a strip shows shades instead of heights. */
const HEIGHTS = 5;
/** The least shade of something that ran for next to no time. */
const LEAST = 0.3;

/** Paint a band's calls: rows `y` to `y + height` of an image that is `stride` pixels wide, from the column `first` on. `threads` share the band. */
export function paintCalls(
  image: Uint32Array,
  stride: number,
  first: number,
  y: number,
  height: number,
  columns: Columns,
  threads: number,
  ink: Ink,
): void {
  const { width, names, amounts, total, erred, fine, edge } = columns;
  for (let row = y; row < y + height; row++) {
    image.fill(ink.idle, row * stride + first, row * stride + first + width);
  }
  const heights = height >= HEIGHTS;
  const foot = (y + height - 1) * stride + first;
  const head = y * stride + first;
  for (let x = columns.low; x <= columns.high; x++) {
    const sum = total[x];
    if (sum <= 0) {
      continue;
    }
    const share = sum < threads ? sum / threads : 1;
    const at = x * NAMES;
    const second = names[at + 1] >= 0;
    if (heights && (second || fine[x] === 1 || threads > 1)) {
      // stacked from the foot up, in the order of the names, so that neighbours match
      const filled = fine[x] === 1 || threads > 1 ? (share * height + 0.5) | 0 || 1 : height;
      const scale = filled / (sum > 1e-9 ? sum : 1);
      let place = foot + x;
      if (second) {
        let before = -1;
        let below = 0.5;
        for (let n = 0; n < NAMES; n++) {
          let next = -1;
          for (let i = at; i < at + NAMES; i++) {
            if (names[i] > before && (next < 0 || names[i] < names[next])) {
              next = i;
            }
          }
          if (next < 0) {
            break;
          }
          before = names[next];
          below += amounts[next] * scale;
          const colour = ink.names[before >> 2];
          const top = foot + x - ((below < filled ? below : filled) | 0) * stride;
          for (; place > top; place -= stride) {
            image[place] = colour;
          }
        }
      } else {
        const colour = ink.names[names[at] >> 2];
        const top = foot + x - ((amounts[at] * scale + 0.5) | 0) * stride;
        for (; place > top; place -= stride) {
          image[place] = colour;
        }
      }
      for (const top = foot + x - filled * stride; place > top; place -= stride) {
        image[place] = ink.others;
      }
    } else {
      let most = at;
      for (let i = at + 1; i < at + NAMES && names[i] >= 0; i++) {
        most = amounts[i] > amounts[most] ? i : most;
      }
      const failed = erred[x] !== 0 && !heights;
      const shade = (heights ? share : LEAST + (1 - LEAST) * share) * (edge[x] === 1 ? 0.6 : 1);
      const colour = failed && threads === 1 ? ink.failed : blend(ink.idle, ink.names[names[most] >> 2], shade);
      for (let place = head + x; place <= foot + x; place += stride) {
        image[place] = colour;
      }
    }
    if (erred[x] !== 0 && heights) {
      const cap = erred[x] === 2 && threads === 1 ? height : Math.max(2, Math.round(height / 5));
      for (let row = 0; row < cap; row++) {
        image[head + row * stride + x] = ink.failed;
      }
    }
  }
}

/** Paint what was moved along the foot of a band; a low one has no foot. */
export function paintMoves(image: Uint32Array, stride: number, first: number, y: number, height: number, columns: Columns, ink: Ink): void {
  if (height < HEIGHTS) {
    return;
  }
  const foot = Math.round(height * 0.3);
  for (let x = columns.low; x <= columns.high; x++) {
    if (columns.total[x] > 0) {
      const share = Math.min(1, columns.total[x]);
      const colour = (columns.names[x * NAMES] & 3) === TRANSFER ? ink.transfer : ink.disk;
      for (let row = y + height - foot; row < y + height; row++) {
        const under = image[row * stride + first + x];
        image[row * stride + first + x] = blend(under, colour, 0.35 + 0.65 * share);
      }
    }
  }
}
