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

/** Paint a band's calls: rows `y` to `y + height` of an image that is `stride` pixels wide. `threads` share the band. */
export function paintCalls(image: Uint32Array, stride: number, y: number, height: number, columns: Columns, threads: number, ink: Ink): void {
  const { width, names, amounts, total, erred, fine, edge } = columns;
  for (let row = y; row < y + height; row++) {
    image.fill(ink.idle, row * stride, row * stride + width);
  }
  const heights = height >= HEIGHTS;
  const part: number[] = [0, 0, 0];
  const order: number[] = [0, 0, 0];
  for (let x = columns.low; x <= columns.high; x++) {
    const sum = total[x];
    if (sum <= 0) {
      continue;
    }
    const share = Math.min(1, sum / threads);
    const at = x * NAMES;
    let known = 0;
    while (known < NAMES && names[at + known] >= 0) {
      known++;
    }
    if (heights && (fine[x] === 1 || threads > 1 || known > 1)) {
      // stacked, in the order of the names, so that neighbours match
      let n = 0;
      for (let i = 0; i < known; i++) {
        let j = n++;
        for (; j > 0 && names[at + order[j - 1]] > names[at + i]; j--) {
          order[j] = order[j - 1];
        }
        order[j] = i;
      }
      const filled = fine[x] === 1 || threads > 1 ? Math.max(1, Math.round(share * height)) : height;
      let below = 0;
      let place = y + height;
      for (let i = 0; i < n; i++) {
        below += amounts[at + order[i]];
        part[i] = Math.round(Math.min(1, below / sum) * filled);
        const top = y + height - part[i];
        const colour = ink.names[names[at + order[i]] >> 2];
        for (place--; place >= top; place--) {
          image[place * stride + x] = colour;
        }
        place++;
      }
      for (place--; place >= y + height - filled; place--) {
        image[place * stride + x] = ink.others;
      }
    } else {
      let most = 0;
      for (let i = 1; i < known; i++) {
        if (amounts[at + i] > amounts[at + most]) {
          most = i;
        }
      }
      let colour = ink.names[names[at + most] >> 2];
      if (erred[x] !== 0 && !heights) {
        colour = ink.failed;
      }
      const shade = (heights ? share : LEAST + (1 - LEAST) * share) * (edge[x] === 1 ? 0.6 : 1);
      colour = blend(ink.idle, colour, shade);
      for (let row = y; row < y + height; row++) {
        image[row * stride + x] = colour;
      }
    }
    if (erred[x] !== 0 && heights) {
      const cap = erred[x] === 2 && threads === 1 ? height : Math.max(2, Math.round(height / 5));
      for (let row = y; row < y + cap; row++) {
        image[row * stride + x] = ink.failed;
      }
    }
  }
}

/** Paint what was moved along the foot of a band. */
export function paintMoves(image: Uint32Array, stride: number, y: number, height: number, columns: Columns, ink: Ink): void {
  const foot = Math.max(1, Math.round(height * 0.3));
  for (let x = columns.low; x <= columns.high; x++) {
    if (columns.total[x] > 0) {
      const share = Math.min(1, columns.total[x]);
      const colour = (columns.names[x * NAMES] & 3) === TRANSFER ? ink.transfer : ink.disk;
      for (let row = y + height - foot; row < y + height; row++) {
        const under = image[row * stride + x];
        image[row * stride + x] = blend(under, colour, 0.35 + 0.65 * share);
      }
    }
  }
}
