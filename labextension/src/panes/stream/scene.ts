/**
 * The picture of the task stream on two canvases: the bars below, pixel by pixel; names, axis, minimap and what the pointer is at above, so that
 * pointing redraws the upper one only. It knows the data and the part in sight; the pane knows the user.
 */
import type { TaskStream } from '../../protocol/snapshots';
import { fit } from '../dom';
import { colourOf, mix, rgb, type Theme } from '../theme';
import { Bands, type Band } from './bands';
import { Columns } from './columns';
import { Minimap } from './minimap';
import { blend, paintCalls, paintMoves, pixel, type Ink } from './painter';
import { StreamStore, type OpenRow, type Row } from './store';
import type { Sink } from './track';
import { ticks, Viewport } from './viewport';

export const AXIS = 22;
export const MINIMAP = 34;
/** Pixels that are painted at most; a screen with more gets coarser ones. */
const PIXELS = 4_500_000;
const LABELS = 600;
/** Pixels that many rows may be wide together without being looked at one by one. */
const NODE = 2;
/** Milliseconds that a picture may take while something moves; beyond, its columns are wider until it is at rest. */
const HURRY = 14;

/** What stands at a point: one row, many that are too close together, or a call that has not ended. */
export interface Hit {
  band: number;
  time: number;
  row: Row | null;
  open: OpenRow | null;
  /** When there is more than one row: their calls, and the share of the time of each name, the largest first. */
  many: { rows: number; calls: number; erred: number; seconds: number; names: [name: number, busy: number][] } | null;
}

interface Label {
  x: number;
  y: number;
  width: number;
  text: string;
}

/** Where things stand, in CSS pixels. */
export interface Places {
  gutter: number;
  plot: number;
  height: number;
}

/** What decides how a column of the image looks, and where it stands. */
interface Painted {
  ink: Ink;
  version: number;
  height: number;
  plot: number;
  band: number;
  top: number;
  span: number;
  coarse: number;
  first: number;
}

export class Scene {
  readonly store = new StreamStore();
  readonly bands = new Bands(this.store);
  readonly view = new Viewport();
  readonly minimap = new Minimap();
  places: Places = { gutter: 0, plot: 1, height: 1 };
  /** Milliseconds that the last picture took. */
  took = 0;
  private readonly columns = new Columns(this.store);
  private readonly moves = new Columns(this.store);
  private image: ImageData | null = null;
  private pixels = new Uint32Array(0);
  /** Pixels that a column is wide, and what it would be if something moved. */
  private coarse = 1;
  private hurried = 1;
  /** What stands in the image; null: nothing of use. */
  private painted: Painted | null = null;
  /** From when on there is something that the image does not show. */
  private unpainted = -Infinity;
  private partly = false;
  private ink: Ink | null = null;
  private inkOf: Theme | null = null;
  private labels: Label[] = [];
  private readonly minimapPicture = document.createElement('canvas');
  private minimapState = '';

  constructor(
    private readonly bars: HTMLCanvasElement,
    private readonly over: HTMLCanvasElement,
  ) {}

  take(message: TaskStream): void {
    const { store, minimap } = this;
    let id = store.end;
    const before = store.open;
    if (store.take(message)) {
      minimap.begin(store.earliest);
      this.bands.rebuild();
      this.ink = null; // names have other places
      this.view.begin(store.earliest, store.now);
      id = store.first;
    } else {
      this.bands.update();
    }
    for (id = Math.max(id, store.first); id < store.end; id++) {
      this.unpainted = Math.min(this.unpainted, store.start(id));
      minimap.add(store.start(id), store.stop(id), (store.nameAndKind(id) & 3) === 0 ? store.busy(id) : 0, store.erred(id));
    }
    const opened = (row: OpenRow): string => `${row.lane} ${row.key} ${row.start}`;
    const [old, now] = [new Set(before.map(opened)), new Set(store.open.map(opened))];
    for (const row of [...before, ...store.open]) {
      if (!old.has(opened(row)) || !now.has(opened(row))) {
        this.unpainted = Math.min(this.unpainted, row.start);
      }
    }
    this.view.know(store.earliest, store.now);
  }

  /** Nothing was told for so many seconds: time goes by all the same. */
  elapse(seconds: number): void {
    this.store.now += seconds;
    this.view.know(this.store.earliest, this.store.now);
  }

  /** The colour of a name, as all panes have it. */
  colour(name: number, theme: Theme): string {
    const kind = this.store.totals[name].kind;
    return kind === 0 ? colourOf(this.store.names[name], theme.dark) : kind === 1 ? theme.soft : theme.warn;
  }

  private mixInk(theme: Theme): Ink {
    if (this.ink === null || this.inkOf !== theme) {
      const background = pixel(rgb(theme.background));
      const text = pixel(rgb(theme.text));
      this.inkOf = theme;
      this.ink = {
        background,
        idle: blend(background, text, theme.dark ? 0.06 : 0.035),
        others: blend(background, text, 0.35),
        failed: pixel(rgb(theme.bad)),
        transfer: blend(background, text, theme.dark ? 0.85 : 0.62),
        disk: pixel(rgb(theme.warn)),
        names: [],
      };
    }
    const { names } = this.ink;
    for (let i = names.length; i < this.store.names.length; i++) {
      names.push(pixel(rgb(colourOf(this.store.names[i], theme.dark))));
    }
    return this.ink;
  }

  /** Draw all. While something `moves`, with wider columns where the machine cannot keep up; true if it is worth drawing again at rest. */
  draw(width: number, height: number, theme: Theme, moves: boolean): boolean {
    const began = performance.now();
    const { view, bands } = this;
    const labelled = width >= 360;
    const gutter = labelled ? this.gutterWidth(theme) : 0;
    this.places = { gutter, plot: Math.max(1, width - gutter), height: Math.max(1, height - AXIS - MINIMAP) };
    view.layOut(bands.list.length, this.places.height);
    this.paint(theme, moves);
    this.took = performance.now() - began;
    if (moves && !this.partly) {
      this.hurried = this.took > HURRY ? Math.min(4, this.hurried + 1) : this.took < HURRY / 3 ? Math.max(1, this.hurried - 1) : this.hurried;
    }
    return this.coarse > 1;
  }

  private gutterWidth(theme: Theme): number {
    const context = this.over.getContext('2d');
    let longest = '';
    for (const { worker } of this.bands.list) {
      longest = worker.length > longest.length ? worker : longest;
    }
    if (context) {
      context.font = `11px ${theme.font}`;
    }
    return Math.round(Math.min(180, Math.max(44, (context?.measureText(longest).width ?? 0) + 38)));
  }

  /**
   * Paint the bars. Times are cut into columns at multiples of a column's length, so that a picture that moves shows the same columns elsewhere: these
   * are shifted, and only those are painted that were not in sight, or of which something new is known.
   */
  private paint(theme: Theme, moves: boolean): void {
    const { view, bands, places } = this;
    const ink = this.mixInk(theme);
    const scale = Math.min(window.devicePixelRatio || 1, Math.sqrt(PIXELS / (places.plot * places.height)));
    const height = Math.max(1, Math.round(places.height * scale));
    const last = this.painted;
    const alike =
      last !== null &&
      last.ink === ink &&
      last.version === bands.version &&
      last.height === height &&
      last.plot === places.plot * scale &&
      last.band === view.band &&
      last.top === view.top &&
      Math.abs(last.span - view.span) < view.span * 1e-9 &&
      (moves || last.coarse === 1) &&
      this.labels.length === 0;
    this.coarse = alike ? last.coarse : moves ? this.hurried : 1;
    const across = scale / this.coarse;
    const width = Math.max(1, Math.round(places.plot * across));
    const context = this.bars.getContext('2d', { alpha: false });
    if (!context) {
      throw new Error('this browser has no canvas');
    }
    if (this.image?.width !== width || this.image.height !== height || this.bars.width !== width || this.bars.height !== height) {
      this.bars.width = width;
      this.bars.height = height;
      this.image = context.createImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    this.bars.style.left = `${places.gutter}px`;
    this.bars.style.width = `${places.plot}px`;
    this.bars.style.height = `${places.height}px`;
    const each = view.span / width;
    const first = Math.floor(view.from / each);
    const shift = alike ? first - last.first : width;
    this.partly = alike && Math.abs(shift) < width;
    if (this.partly) {
      if (shift !== 0) {
        for (let row = 0; row < height; row++) {
          this.pixels.copyWithin(row * width + Math.max(0, -shift), row * width + Math.max(0, shift), (row + 1) * width - Math.max(0, -shift));
        }
      }
      const known = Math.max(0, Math.min(width, Math.floor(this.unpainted / each) - first - 2 * NODE));
      this.paintColumns(Math.min(known, shift > 0 ? width - shift : width), width, first, each, height, scale, ink);
      this.paintColumns(0, Math.max(0, -shift), first, each, height, scale, ink);
    } else {
      this.labels = [];
      this.pixels.fill(ink.background);
      this.paintColumns(0, width, first, each, height, scale, ink);
    }
    context.putImageData(this.image, 0, 0);
    this.unpainted = this.store.now;
    const { version } = bands;
    const { span, band, top } = view;
    this.painted = { ink, version, height, plot: places.plot * scale, band, top, span, coarse: this.coarse, first };
  }

  /** Paint the columns `low` to `high`; column 0 is the stretch of time `first`, each is so many seconds. */
  private paintColumns(low: number, high: number, first: number, each: number, height: number, scale: number, ink: Ink): void {
    if (high <= low) {
      return;
    }
    const { view, bands, places, columns, moves, pixels } = this;
    const stride = this.bars.width;
    const from = (first + low) * each;
    const to = (first + high) * each;
    const open = this.openByBand();
    const { band } = view;
    const gap = band >= 14 ? 2 : band >= 6 ? 1 : 0;
    for (let i = Math.floor(view.top / band); i < bands.list.length; i++) {
      const above = i * band - view.top;
      if (above >= places.height) {
        break;
      }
      const top = Math.max(0, Math.round(above * scale));
      const bottom = Math.min(height, Math.round((above + band) * scale) - Math.round(gap * scale));
      if (bottom > top) {
        const its = bands.list[i];
        columns.begin(high - low, from, to);
        its.compute.visit(from, to, each * NODE, columns);
        for (const row of open.get(its) ?? []) {
          columns.open(row.name, row.start, this.store.now);
        }
        paintCalls(pixels, stride, low, top, bottom - top, columns, its.threads, ink);
        if (band >= 13 && its.threads === 1) {
          this.collectLabels(columns, low, above, band - gap, scale / this.coarse);
        }
        if (its.moves.length > 0) {
          moves.begin(high - low, from, to);
          its.moves.visit(from, to, each * NODE, moves);
          paintMoves(pixels, stride, low, top, bottom - top, moves, ink);
        }
      }
    }
  }

  private openByBand(): Map<Band, OpenRow[]> {
    const open = new Map<Band, OpenRow[]>();
    for (const row of this.store.open) {
      if (!this.bands.isHidden(row.name)) {
        const band = this.bands.ofLane(row.lane);
        const rows = open.get(band);
        if (rows) {
          rows.push(row);
        } else {
          open.set(band, [row]);
        }
      }
    }
    return open;
  }

  private collectLabels(columns: Columns, first: number, top: number, height: number, scale: number): void {
    const { gutter, plot } = this.places;
    for (const bar of columns.bars) {
      const left = Math.max(0, (first + bar.left) / scale);
      const right = Math.min(plot, (first + bar.right) / scale);
      if (right - left >= 34 && this.labels.length < LABELS) {
        const name = this.store.nameAndKind(bar.id) >> 2;
        const calls = this.store.count(bar.id);
        const text = calls > 1 ? `${this.store.names[name]} × ${calls}` : this.store.names[name];
        this.labels.push({ x: gutter + left, y: top + height / 2, width: right - left, text });
      }
    }
  }

  /** The upper canvas. `pointed` is what the pointer or the keyboard is at, `range` a stretch that is being chosen. */
  drawOver(width: number, height: number, theme: Theme, pointed: Hit | null, range: [number, number] | null): void {
    const { view, places, store } = this;
    const context = fit(this.over, width, height);
    const { gutter, plot } = places;
    context.font = `11px ${theme.font}`;
    context.textBaseline = 'middle';
    this.drawNames(context, theme, pointed?.band ?? -1);

    // grid and axis
    context.textAlign = 'center';
    for (const tick of ticks(store.base, view.from, view.to, plot / 92)) {
      const x = gutter + ((tick.at - view.from) / view.span) * plot;
      context.fillStyle = mix(theme.text, theme.dark ? 0.12 : 0.09);
      context.fillRect(Math.round(x), 0, 1, places.height);
      context.fillStyle = tick.major ? theme.text : theme.soft;
      if (x > gutter + 20 && x < width - 24) {
        context.fillText(tick.label, x, places.height + AXIS / 2 + 1);
      }
    }
    context.textAlign = 'left';
    context.fillStyle = theme.line;
    context.fillRect(gutter, places.height, plot, 1);
    this.drawLabels(context);
    this.drawPointed(context, theme, pointed);
    if (range) {
      const [a, b] = range[0] < range[1] ? range : [range[1], range[0]];
      const left = gutter + ((a - view.from) / view.span) * plot;
      const right = gutter + ((b - view.from) / view.span) * plot;
      context.fillStyle = mix(theme.accent, 0.16);
      context.fillRect(left, 0, right - left, places.height);
      context.fillStyle = theme.accent;
      context.fillRect(left, 0, 1, places.height);
      context.fillRect(right, 0, 1, places.height);
    }
    this.drawMinimap(context, height, theme);
  }

  private drawLabels(context: CanvasRenderingContext2D): void {
    context.fillStyle = 'rgb(0 0 0 / 0.82)';
    for (const label of this.labels) {
      const room = label.width - 9;
      let { text } = label;
      const wide = context.measureText(text).width;
      if (wide > room) {
        text = `${text.slice(0, Math.max(1, Math.floor((text.length * room) / wide) - 1))}…`;
      }
      context.fillText(text, label.x + 5, label.y + 0.5);
    }
  }

  private drawNames(context: CanvasRenderingContext2D, theme: Theme, marked: number): void {
    const { view, bands, places } = this;
    const { gutter } = places;
    if (gutter === 0) {
      return;
    }
    const { band } = view;
    context.save();
    context.beginPath();
    context.rect(0, 0, gutter, places.height);
    context.clip();
    let free = -Infinity;
    context.textAlign = 'left';
    for (let i = Math.max(0, Math.floor(view.top / band)); i < bands.list.length; i++) {
      const its = bands.list[i];
      const y = i * band - view.top;
      if (y >= places.height) {
        break;
      }
      if (i === marked) {
        context.fillStyle = mix(theme.accent, 0.14);
        context.fillRect(0, y, gutter, band);
      }
      if (its.first && i > 0 && band >= 4 && its.thread >= 0) {
        context.fillStyle = mix(theme.text, 0.1);
        context.fillRect(0, Math.round(y) - 0.5, gutter - 4, 1);
      }
      const middle = y + band / 2;
      if (its.first && middle - free >= 13) {
        context.fillStyle = i === marked ? theme.text : theme.soft;
        let text = its.worker;
        const room = gutter - 34;
        if (context.measureText(text).width > room) {
          while (text.length > 1 && context.measureText(`${text}…`).width > room) {
            text = text.slice(0, -1);
          }
          text += '…';
        }
        context.fillText(text, 8, Math.max(7, middle));
        free = middle;
      }
      if (its.thread >= 0 && band >= 11) {
        context.textAlign = 'right';
        context.fillStyle = theme.faint;
        context.fillText(String(its.thread), gutter - 6, middle);
        context.textAlign = 'left';
      }
    }
    context.restore();
  }

  private drawPointed(context: CanvasRenderingContext2D, theme: Theme, pointed: Hit | null): void {
    if (!pointed) {
      return;
    }
    const { view, places } = this;
    const { gutter, plot } = places;
    const x = (time: number): number => gutter + ((time - view.from) / view.span) * plot;
    const y = pointed.band * view.band - view.top;
    context.save();
    context.beginPath();
    context.rect(gutter, 0, plot, places.height);
    context.clip();
    const bar = pointed.row ?? (pointed.open ? { start: pointed.open.start, stop: this.store.now } : null);
    if (bar) {
      const left = x(bar.start);
      const right = Math.max(x(bar.stop), left + 2);
      context.strokeStyle = theme.background;
      context.lineWidth = 4;
      context.strokeRect(left, y, right - left, view.band - 1);
      context.strokeStyle = theme.text;
      context.lineWidth = 1.5;
      context.strokeRect(left, y, right - left, view.band - 1);
    } else {
      context.fillStyle = mix(theme.text, 0.55);
      context.fillRect(Math.round(x(pointed.time)), 0, 1, places.height);
    }
    context.restore();
  }

  private drawMinimap(context: CanvasRenderingContext2D, height: number, theme: Theme): void {
    const { store, view, bands, places } = this;
    const { gutter, plot } = places;
    const top = height - MINIMAP + 4;
    const tall = MINIMAP - 8;
    const [from, to] = this.whole();
    const x = (time: number): number => gutter + ((time - from) / (to - from)) * plot;
    const state = [plot, store.end, store.now, bands.version, theme.background, theme.accent, window.devicePixelRatio].join(' ');
    if (state !== this.minimapState) {
      this.minimapState = state;
      this.drawHistory(fit(this.minimapPicture, plot, tall), plot, tall, theme);
    }
    context.drawImage(this.minimapPicture, gutter, top, plot, tall);
    const left = Math.max(gutter, x(view.from));
    const right = Math.min(gutter + plot, x(view.to));
    context.fillStyle = mix(theme.background, 0.62);
    context.fillRect(gutter, top, Math.max(0, left - gutter), tall);
    context.fillRect(right, top, Math.max(0, gutter + plot - right), tall);
    context.strokeStyle = theme.accent;
    context.lineWidth = 1.5;
    const wide = Math.max(3, right - left);
    context.strokeRect(Math.min(left, gutter + plot - wide) + 0.75, top + 0.75, wide - 1.5, tall - 1.5);
    if (gutter > 60) {
      context.fillStyle = theme.faint;
      context.fillText('all', 8, top + tall / 2);
    }
  }

  /** The minimap without what is in sight; it changes with the data only. */
  private drawHistory(context: CanvasRenderingContext2D, width: number, height: number, theme: Theme): void {
    const { minimap, store, bands } = this;
    const [from, to] = this.whole();
    const x = (time: number): number => ((time - from) / (to - from)) * width;
    context.fillStyle = mix(theme.text, theme.dark ? 0.06 : 0.035);
    context.fillRect(0, 0, width, height);
    const threads = bands.list.reduce((sum, band) => sum + band.threads, 0);
    if (threads === 0) {
      return;
    }
    context.fillStyle = mix(theme.accent, 0.55);
    context.beginPath();
    context.moveTo(x(minimap.origin), height);
    for (let i = 0; i < minimap.used; i++) {
      const begin = minimap.origin + i * minimap.width;
      const end = Math.min(begin + minimap.width, Math.max(store.now, begin + 1e-3));
      const y = height - Math.min(1, minimap.busy[i] / (threads * (end - begin))) * (height - 1);
      context.lineTo(x(begin), y);
      context.lineTo(x(end), y);
    }
    context.lineTo(x(store.now), height);
    context.closePath();
    context.fill();
    context.fillStyle = theme.bad;
    for (let i = 0; i < minimap.used; i++) {
      if (minimap.erred[i] > 0) {
        context.fillRect(x(minimap.origin + i * minimap.width), 0, Math.max(1.5, (minimap.width / (to - from)) * width), 2);
      }
    }
  }

  /** The stretch that the minimap shows. */
  whole(): [number, number] {
    const { store } = this;
    const from = Math.min(store.earliest, store.now - 1);
    return [from, store.now];
  }

  /** The time at a place of the minimap. */
  minimapTime(x: number): number {
    const [from, to] = this.whole();
    return from + ((x - this.places.gutter) / this.places.plot) * (to - from);
  }

  timeAt(x: number): number {
    return this.view.from + ((x - this.places.gutter) / this.places.plot) * this.view.span;
  }

  bandAt(y: number): number {
    const place = Math.floor((y + this.view.top) / this.view.band);
    return y < this.places.height && place < this.bands.list.length ? place : -1;
  }

  /** What stands at a point of the plot; null beside it. */
  hit(x: number, y: number): Hit | null {
    const band = x >= this.places.gutter && y >= 0 ? this.bandAt(y) : -1;
    return band < 0 ? null : this.look(band, this.timeAt(x), this.inFoot(y, band));
  }

  private inFoot(y: number, band: number): boolean {
    return (y + this.view.top - band * this.view.band) / this.view.band > 0.68;
  }

  /** What stands in a band at a time; at its foot, what is moved comes first. */
  look(place: number, time: number, foot = false): Hit {
    const { store, view } = this;
    const band = this.bands.list[place];
    const reach = Math.max((view.span / this.places.plot) * 0.6, 1e-9);
    const hit: Hit = { band: place, time, row: null, open: null, many: null };
    for (const track of foot ? [band.moves, band.compute] : [band.compute, band.moves]) {
      const ids: number[] = [];
      track.visit(time - reach, time + reach, -1, collector(ids));
      if (ids.length > 0) {
        // the one that is at the time, if it is wide enough to be pointed at; the last of several lies above the others
        const at = ids.filter(id => store.start(id) <= time && store.stop(id) >= time && store.stop(id) - store.start(id) >= 2 * reach);
        if (at.length > 0 || ids.length === 1) {
          hit.row = store.row(at.length > 0 ? at[at.length - 1] : ids[0]);
        } else {
          hit.many = this.sum(ids);
        }
        return hit;
      }
    }
    hit.open =
      store.open.find(row => this.bands.ofLane(row.lane) === band && row.start <= time && time <= store.now && !this.bands.isHidden(row.name)) ??
      null;
    return hit;
  }

  private sum(ids: number[]): Hit['many'] {
    const { store } = this;
    const busy = new Map<number, number>();
    let calls = 0;
    let erred = 0;
    let begin = Infinity;
    let end = -Infinity;
    for (const id of ids) {
      const name = store.nameAndKind(id) >> 2;
      busy.set(name, (busy.get(name) ?? 0) + store.busy(id));
      calls += store.count(id);
      erred += store.erred(id);
      begin = Math.min(begin, store.start(id));
      end = Math.max(end, store.stop(id));
    }
    return { rows: ids.length, calls, erred, seconds: end - begin, names: [...busy].sort((a, b) => b[1] - a[1]) };
  }

  /** The row of a band that begins next after a time, or the last one that begins before it; null if there is none. */
  neighbour(place: number, time: number, forward: boolean): Row | null {
    const { store, view } = this;
    const track = this.bands.list[place].compute;
    const [first, last] = [store.earliest, store.now];
    for (let reach = view.span / 256; ; reach *= 4) {
      const ids: number[] = [];
      track.visit(forward ? time : time - reach, forward ? time + reach : time, -1, collector(ids));
      let best = -1;
      for (const id of ids) {
        const start = store.start(id);
        if (forward ? start > time && (best < 0 || start < store.start(best)) : start < time && (best < 0 || start > store.start(best))) {
          best = id;
        }
      }
      if (best >= 0) {
        return store.row(best);
      }
      if (forward ? time + reach > last : time - reach < first) {
        return null;
      }
    }
  }
}

function collector(ids: number[]): Sink {
  return {
    row: id => ids.push(id),
    node: () => {
      throw new Error('asked for rows, told of a node');
    },
  };
}
