/** The picture of a flame graph: a canvas that draws what is in sight, zooms into a frame, and says which frame is where. */
import type { Theme } from '../theme';
import type { Frame } from './flame';
import { el, fit } from '../dom';
import { colourOf, mix, rgb } from '../theme';
import { shortened } from '../graph/painter';
import { originOf } from './flame';

export const ROW = 20;
const GLIDE_MS = 220;

export interface Scene {
  readonly frames: readonly Frame[];
  readonly zoomed: Frame;
  /** Frames that a search has found; null: there is none. */
  readonly found: ReadonlySet<Frame> | null;
  readonly pointed: Frame | null;
  readonly marked: Frame | null;
}

/**
 * The colour of a frame: code of the user's own stands out, a package has a quiet colour of its own, Python itself is grey. Neighbours differ a little,
 * by their names: `shade` is 0 to 3.
 */
export function frameColour(frame: Frame, theme: Theme, shade = 0): string {
  if (frame.parent === null) {
    return mix(theme.text, 0.1);
  }
  const origin = originOf(frame.file);
  if (origin === '') {
    return mix(theme.accent, 1 - 0.06 * shade);
  }
  if (origin === 'python') {
    return mix(theme.text, (theme.dark ? 0.26 : 0.18) - 0.02 * shade);
  }
  return mix(colourOf(origin, theme.dark), (theme.dark ? 0.66 : 0.62) - 0.06 * shade);
}

export class FlameChart {
  readonly node: HTMLElement;
  readonly canvas = el('canvas');
  private from: [number, number] = [0, 1];
  private to: [number, number] = [0, 1];
  private window: [number, number] = [0, 1];
  private beganAt = -Infinity;
  private drawn: { frame: Frame; x: number; y: number; width: number }[] = [];
  private colours = new Map<string, string>();
  private themeOf: Theme | null = null;

  constructor() {
    this.node = el('div', 'jf-flame-scroll', {}, this.canvas);
  }

  /** The frame at a point of the canvas. */
  at(x: number, y: number): Frame | null {
    return this.drawn.find(box => x >= box.x && x < box.x + box.width && y >= box.y && y < box.y + ROW)?.frame ?? null;
  }

  /** Bring a frame's row into sight. */
  reveal(frame: Frame): void {
    const top = frame.depth * ROW;
    if (top < this.node.scrollTop) {
      this.node.scrollTop = top;
    } else if (top + ROW > this.node.scrollTop + this.node.clientHeight) {
      this.node.scrollTop = top + ROW - this.node.clientHeight;
    }
  }

  /** Draw; true: it is moving, draw again. */
  draw(scene: Scene, theme: Theme, width: number, still: boolean): boolean {
    if (this.themeOf !== theme) {
      this.themeOf = theme;
      this.colours.clear();
    }
    const { zoomed } = scene;
    const now = performance.now();
    if (zoomed.x0 !== this.to[0] || zoomed.x1 !== this.to[1]) {
      const near = Math.abs(zoomed.x0 - this.to[0]) + Math.abs(zoomed.x1 - this.to[1]) < 0.02; // it has only grown
      this.from = this.window;
      this.to = [zoomed.x0, zoomed.x1];
      this.beganAt = still || near ? -Infinity : now;
    }
    const share = Math.min(1, (now - this.beganAt) / GLIDE_MS);
    const eased = 1 - (1 - share) ** 3;
    this.window = [this.from[0] + (this.to[0] - this.from[0]) * eased, this.from[1] + (this.to[1] - this.from[1]) * eased];
    const deepest = scene.frames.reduce((most, frame) => Math.max(most, frame.depth), 0);
    const height = (deepest + 1) * ROW;
    const context = fit(this.canvas, width, height);
    context.font = `11px ${theme.font}`;
    context.textBaseline = 'middle';
    const measure = (text: string): number => context.measureText(text).width;
    const [w0, w1] = this.window;
    const scale = width / Math.max(1e-12, w1 - w0);
    this.drawn = [];
    for (const frame of scene.frames) {
      const x0 = Math.max(0, (frame.x0 - w0) * scale);
      const x1 = Math.min(width, (frame.x1 - w0) * scale);
      if (x1 - x0 < 0.5 || x1 <= 0 || x0 >= width) {
        continue;
      }
      this.drawn.push({ frame, x: x0, y: frame.depth * ROW, width: x1 - x0 });
    }
    for (const { frame, x, y, width: long } of this.drawn) {
      const above = frame.depth < zoomed.depth;
      const unfound = scene.found !== null && !scene.found.has(frame);
      context.globalAlpha = unfound ? 0.25 : above ? 0.55 : 1;
      context.fillStyle = this.colour(frame, theme);
      context.fillRect(x, y, Math.max(0.6, long - (long > 3 ? 1 : 0)), ROW - 1);
      context.globalAlpha = unfound || above ? 0.6 : 1;
      if (frame === scene.pointed || frame === scene.marked) {
        context.strokeStyle = frame === scene.marked ? theme.text : mix(theme.text, 0.5);
        context.lineWidth = frame === scene.marked ? 2 : 1;
        context.strokeRect(x + 1, y + 1, Math.max(1, long - 3), ROW - 3);
      }
      if (long > 26) {
        context.fillStyle = this.ink(frame, theme);
        context.fillText(shortened(frame.name, long - 10, measure), x + 5, y + ROW / 2);
      }
    }
    context.globalAlpha = 1;
    return share < 1;
  }

  private colour(frame: Frame, theme: Theme): string {
    const shade = (frame.name.length * 7 + frame.name.charCodeAt(0) + frame.name.charCodeAt(frame.name.length - 1)) % 4;
    const key = frame.parent === null ? '' : `${originOf(frame.file)}|${shade}`;
    let colour = this.colours.get(key);
    if (colour === undefined) {
      colour = frameColour(frame, theme, shade);
      this.colours.set(key, colour);
    }
    return colour;
  }

  private ink(frame: Frame, theme: Theme): string {
    return frame.parent !== null && originOf(frame.file) === '' && luminous(theme.accent) ? '#ffffff' : theme.text;
  }
}

function luminous(colour: string): boolean {
  const [r, g, b] = rgb(colour);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b < 170;
}
