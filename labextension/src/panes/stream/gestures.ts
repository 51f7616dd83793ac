/**
 * How the pointer, the wheel and the keys move through the task stream. Drag: move. Shift and drag: choose a stretch. Wheel: zoom, where nothing has to
 * scroll; with Ctrl always, with Shift: move. Drag in the minimap: go there. On a touch screen one finger moves, two zoom.
 */
import { AXIS, MINIMAP, type Hit, type Scene } from './scene';

export interface GestureHost {
  readonly scene: Scene;
  /** The part in sight is another one. */
  moved(): void;
  /** What the pointer is at; null: nothing. */
  pointed(hit: Hit | null, x: number, y: number): void;
  /** A click on something. */
  chosen(hit: Hit | null): void;
  /** A stretch that is being chosen; null: not any more. */
  ranged(range: [number, number] | null): void;
  /** Keyboard: go to a hit, and say it. */
  went(hit: Hit): void;
  summarise(): void;
}

const CLICK = 4;

export class Gestures {
  /** Where the keyboard is. */
  private place: { band: number; time: number } | null = null;
  private drag: { kind: 'pan' | 'range' | 'minimap'; x: number; y: number; from: number; moved: boolean } | null = null;
  private readonly touches = new Map<number, { x: number; y: number }>();

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly host: GestureHost,
  ) {
    canvas.addEventListener('pointerdown', event => this.down(event));
    canvas.addEventListener('pointermove', event => this.move(event));
    canvas.addEventListener('pointerup', event => this.up(event));
    canvas.addEventListener('pointercancel', event => this.cancel(event));
    canvas.addEventListener('pointerleave', () => {
      if (!this.drag) {
        host.pointed(null, 0, 0);
      }
    });
    canvas.addEventListener('wheel', event => this.wheel(event), { passive: false });
    canvas.addEventListener('dblclick', event => this.twice(event));
    canvas.addEventListener('keydown', event => this.key(event));
  }

  private point(event: MouseEvent): { x: number; y: number } {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  private inMinimap(y: number): boolean {
    return y > this.host.scene.places.height + AXIS && y <= this.host.scene.places.height + AXIS + MINIMAP;
  }

  private down(event: PointerEvent): void {
    if (event.button !== 0) {
      return;
    }
    const { x, y } = this.point(event);
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    if (event.pointerType === 'touch') {
      this.touches.set(event.pointerId, { x, y });
    }
    const kind = this.inMinimap(y) ? 'minimap' : event.shiftKey ? 'range' : 'pan';
    this.drag = { kind, x, y, from: this.host.scene.timeAt(x), moved: false };
    if (kind === 'minimap') {
      this.scrub(x);
    }
  }

  private scrub(x: number): void {
    const { view } = this.host.scene;
    view.pan(this.host.scene.minimapTime(x) - (view.from + view.to) / 2);
    this.host.moved();
  }

  private move(event: PointerEvent): void {
    const { x, y } = this.point(event);
    const { scene } = this.host;
    const { drag } = this;
    if (this.touches.size === 2 && this.touches.has(event.pointerId)) {
      this.pinch(event.pointerId, x, y);
      return;
    }
    if (!drag) {
      this.canvas.style.cursor = this.inMinimap(y) ? 'ew-resize' : event.shiftKey ? 'crosshair' : 'default';
      this.host.pointed(this.inMinimap(y) ? null : scene.hit(x, y), x, y);
      return;
    }
    if (!drag.moved && Math.abs(x - drag.x) < CLICK && Math.abs(y - drag.y) < CLICK) {
      return;
    }
    drag.moved = true;
    this.host.pointed(null, 0, 0);
    if (drag.kind === 'minimap') {
      this.scrub(x);
    } else if (drag.kind === 'range') {
      this.host.ranged([drag.from, scene.timeAt(x)]);
    } else {
      this.canvas.style.cursor = 'grabbing';
      scene.view.pan(((drag.x - x) / scene.places.plot) * scene.view.span);
      scene.view.scrollTo(scene.view.top + drag.y - y);
      drag.x = x;
      drag.y = y;
      this.host.moved();
    }
  }

  private pinch(id: number, x: number, y: number): void {
    const { scene } = this.host;
    const other = [...this.touches].find(([each]) => each !== id)?.[1];
    const old = this.touches.get(id);
    if (other && old) {
      const before = Math.max(10, Math.abs(old.x - other.x));
      const after = Math.max(10, Math.abs(x - other.x));
      scene.view.zoom(after / before, (other.x - scene.places.gutter) / scene.places.plot);
      this.touches.set(id, { x, y });
      this.drag = null;
      this.host.moved();
    }
  }

  private up(event: PointerEvent): void {
    this.touches.delete(event.pointerId);
    const { drag } = this;
    this.drag = null;
    this.canvas.style.cursor = 'default';
    if (!drag) {
      return;
    }
    const { x, y } = this.point(event);
    if (drag.kind === 'range') {
      const to = this.host.scene.timeAt(x);
      this.host.ranged(null);
      if (drag.moved) {
        this.host.scene.view.show(Math.min(drag.from, to), Math.max(drag.from, to));
        this.host.moved();
      }
    } else if (drag.kind === 'pan' && !drag.moved) {
      const hit = this.host.scene.hit(x, y);
      this.place = hit ? { band: hit.band, time: hit.row?.start ?? hit.time } : null;
      this.host.chosen(hit);
    }
  }

  private cancel(event: PointerEvent): void {
    this.touches.delete(event.pointerId);
    this.drag = null;
    this.host.ranged(null);
  }

  /** A double click: this task in the middle, or, beside a task, nearer. */
  private twice(event: MouseEvent): void {
    const { x, y } = this.point(event);
    const { scene } = this.host;
    const hit = scene.hit(x, y);
    if (hit?.row) {
      const { start, stop } = hit.row;
      scene.view.show(start - (stop - start) * 1.5, stop + (stop - start) * 1.5);
      this.host.moved();
    } else if (hit) {
      scene.view.live = false;
      scene.view.zoom(4, (x - scene.places.gutter) / scene.places.plot);
      this.host.moved();
    }
  }

  private wheel(event: WheelEvent): void {
    const { scene } = this.host;
    const { view } = scene;
    const { x, y } = this.point(event);
    const lines = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 200 : 1;
    const dx = (event.shiftKey ? event.deltaX || event.deltaY : event.deltaX) * lines;
    const dy = event.shiftKey ? 0 : event.deltaY * lines;
    if (event.altKey) {
      view.zoomBands(Math.exp(-dy / 300), y);
    } else if (event.ctrlKey || event.metaKey) {
      view.zoom(Math.exp(-dy / 180), this.share(x));
    } else if (Math.abs(dx) > Math.abs(dy)) {
      view.pan((dx / scene.places.plot) * view.span);
    } else if (view.overflows) {
      const before = view.top;
      view.scrollTo(view.top + dy);
      if (view.top === before && this.pageScrolls()) {
        return;
      }
    } else if (document.activeElement === this.canvas || !this.pageScrolls()) {
      view.zoom(Math.exp(-dy / 260), this.share(x));
    } else {
      return;
    }
    event.preventDefault();
    this.host.moved();
    this.host.pointed(scene.hit(x, y), x, y);
  }

  private share(x: number): number {
    const { gutter, plot } = this.host.scene.places;
    return Math.max(0, Math.min(1, (x - gutter) / plot));
  }

  /** Whether something around us wants the wheel: a notebook, a long page. */
  private pageScrolls(): boolean {
    for (let node = this.canvas.parentElement; node; node = node.parentElement) {
      if (node.scrollHeight > node.clientHeight + 1 && /auto|scroll/.test(getComputedStyle(node).overflowY)) {
        return true;
      }
    }
    const page = document.scrollingElement;
    return page !== null && page.scrollHeight > page.clientHeight + 1;
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey) {
      return;
    }
    const { view } = this.host.scene;
    const { key } = event;
    const middle = this.place && this.place.time > view.from && this.place.time < view.to ? (this.place.time - view.from) / view.span : 0.5;
    if (key === '+' || key === '=') {
      view.zoom(1.6, middle);
    } else if (key === '-' || key === '_') {
      view.zoom(1 / 1.6, middle);
    } else if (key === 'ArrowLeft' || key === 'ArrowRight') {
      const forward = key === 'ArrowRight';
      if (event.shiftKey) {
        this.step(forward);
      } else {
        view.pan(view.span * (forward ? 0.12 : -0.12));
      }
    } else if (key === 'ArrowUp' || key === 'ArrowDown') {
      if (event.altKey) {
        view.zoomBands(key === 'ArrowUp' ? 1.2 : 1 / 1.2, 0);
      } else {
        this.change(key === 'ArrowUp' ? -1 : 1);
      }
    } else if (key === 'PageUp' || key === 'PageDown') {
      view.scrollTo(view.top + (key === 'PageUp' ? -0.8 : 0.8) * this.host.scene.places.height);
    } else if (key === 'Home') {
      view.showAll();
    } else if (key === 'End') {
      view.follow();
    } else if (key === 'Enter' && this.place) {
      this.host.chosen(this.host.scene.look(this.place.band, this.place.time));
    } else if (key === 's' || key === 'S') {
      this.host.summarise();
    } else if (key === 'Escape') {
      this.place = null;
      this.host.chosen(null);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    this.host.moved();
  }

  /** Shift and an arrow: the next task of the row, or the one before. */
  private step(forward: boolean): void {
    const { scene } = this.host;
    if (scene.bands.list.length === 0) {
      return;
    }
    const { band, time } = this.start();
    const row = scene.neighbour(band, time, forward);
    if (row) {
      this.place = { band, time: row.start };
      if (row.start < scene.view.from || row.stop > scene.view.to) {
        scene.view.pan(row.start - (scene.view.from + scene.view.to) / 2);
      }
      this.host.went({ band, time: row.start, row, open: null, many: null });
    }
  }

  private change(by: number): void {
    const { scene } = this.host;
    if (scene.bands.list.length === 0) {
      return;
    }
    const from = this.place ? this.place.band + by : Math.floor(scene.view.top / scene.view.band);
    const band = Math.max(0, Math.min(scene.bands.list.length - 1, from));
    const { time } = this.start();
    this.place = { band, time };
    const top = band * scene.view.band;
    if (top < scene.view.top) {
      scene.view.scrollTo(top);
    } else if (top + scene.view.band > scene.view.top + scene.places.height) {
      scene.view.scrollTo(top + scene.view.band - scene.places.height);
    }
    this.host.went(scene.look(band, time));
  }

  /** Where the keyboard is, or the middle of what is in sight. */
  private start(): { band: number; time: number } {
    const { view } = this.host.scene;
    const inSight = this.place && this.place.time >= view.from - view.span && this.place.time <= view.to + view.span;
    return this.place && inSight
      ? this.place
      : {
          band: Math.min(this.place?.band ?? Math.floor(view.top / view.band), this.host.scene.bands.list.length - 1),
          time: (view.from + view.to) / 2,
        };
  }
}
