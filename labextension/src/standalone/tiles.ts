/**
 * The panes on the page, tiled: each with a head by which it is moved, enlarged and closed, and borders between them that can be dragged, or moved with
 * the arrow keys. What stands where is a `Layout`; this draws it, keeping panes that stay.
 */
import type { Feed } from '../feed/feed';
import type { Pane, PaneKind } from '../panes/pane';
import { CLOSE, ENLARGE, REDUCE, svg } from './icons';
import { add, moveBelow, moveRight, panesOf, place, remove, type Layout, type Side } from './layout';
import { recall, remember } from './store';

/** What is dragged: the name of a pane, from a head or from the list. */
export const DRAGGED = 'application/x-jupyterfut-pane';

/** Below this width there is one column, and the page scrolls. */
const NARROW = 720;

interface Tile {
  readonly node: HTMLElement;
  readonly stage: HTMLElement;
  readonly enlarge: HTMLButtonElement;
  pane: Pane;
}

export class Tiles {
  readonly node = document.createElement('main');
  private readonly tiles = new Map<string, Tile>();
  private readonly target = document.createElement('div');
  private readonly observer = new ResizeObserver(() => this.measure());
  private shown: Layout = [];
  private large = '';
  private isNarrow = false;

  /** `changed` is called whenever the layout is another one. */
  constructor(
    private readonly feed: Feed,
    private readonly cluster: string,
    private readonly kinds: readonly PaneKind[],
    private readonly changed: (layout: Layout) => void,
  ) {
    this.node.className = 'jf-dash-tiles';
    this.target.className = 'jf-dash-drop';
    this.target.hidden = true;
    this.node.addEventListener('dragover', event => this.dragOver(event));
    this.node.addEventListener('dragleave', event => {
      if (!this.node.contains(event.relatedTarget as Node | null)) {
        this.target.hidden = true;
      }
    });
    this.node.addEventListener('drop', event => this.dropped(event));
    this.observer.observe(this.node);
    document.addEventListener('visibilitychange', () => this.look());
  }

  get layout(): Layout {
    return this.shown;
  }

  /** Draw this layout. */
  show(layout: Layout): void {
    const names = panesOf(layout);
    this.shown = layout;
    if (!names.includes(this.large)) {
      this.large = '';
    }
    for (const [name, tile] of [...this.tiles]) {
      if (!names.includes(name)) {
        this.tiles.delete(name);
        this.observer.unobserve(tile.stage);
        tile.pane.dispose();
        tile.node.remove();
      }
    }
    for (const name of names) {
      if (!this.tiles.has(name)) {
        this.tiles.set(name, this.create(name));
      }
    }
    this.arrange();
    this.changed(layout);
  }

  /** Show a pane if it is not there, and look at it. */
  open(name: string, memory?: Record<string, unknown>): void {
    const tile = this.tiles.get(name);
    if (memory) {
      remember(`memory:${name}`, { ...recall(`memory:${name}`, {}), ...memory });
      if (tile) {
        tile.pane.dispose();
        tile.pane = this.make(name);
        tile.stage.append(tile.pane.node);
      }
    }
    if (!tile) {
      this.show(add(this.shown, name, this.node.clientWidth / Math.max(1, this.node.clientHeight)));
    } else if (this.large !== '' && this.large !== name) {
      this.enlarge('');
    }
    this.measure();
    const node = this.tiles.get(name)?.node;
    node?.scrollIntoView({ block: 'nearest' });
    node?.focus({ preventScroll: true });
  }

  close(name: string): void {
    this.show(remove(this.shown, name));
  }

  retheme(): void {
    for (const { pane } of this.tiles.values()) {
      pane.retheme();
    }
  }

  /** The way to the data is another one. */
  feedChanged(): void {
    for (const { pane } of this.tiles.values()) {
      pane.feedChanged(this.feed.state);
    }
  }

  private create(name: string): Tile {
    const kind = this.kindOf(name);
    const node = document.createElement('section');
    node.className = 'jf-dash-tile';
    node.tabIndex = -1;
    node.setAttribute('aria-label', kind.title);
    const head = document.createElement('header');
    head.className = 'jf-dash-tile-head';
    head.draggable = true;
    head.title = kind.caption;
    head.addEventListener('dragstart', event => {
      event.dataTransfer?.setData(DRAGGED, name);
      node.classList.add('jf-mod-dragged');
    });
    head.addEventListener('dragend', () => node.classList.remove('jf-mod-dragged'));
    head.addEventListener('dblclick', () => this.enlarge(this.large === name ? '' : name));
    const title = document.createElement('h2');
    title.textContent = kind.title;
    const enlarge = button('jf-dash-icon-button', ENLARGE, `Enlarge ${kind.title}`);
    enlarge.addEventListener('click', () => this.enlarge(this.large === name ? '' : name));
    const close = button('jf-dash-icon-button', CLOSE, `Close ${kind.title}`);
    close.addEventListener('click', () => this.close(name));
    head.append(svg(kind.icon), title, enlarge, close);
    const stage = document.createElement('div');
    stage.className = 'jf-dash-tile-stage';
    const pane = this.make(name);
    stage.append(pane.node);
    node.append(head, stage);
    this.observer.observe(stage);
    return { node, stage, enlarge, pane };
  }

  private make(name: string): Pane {
    return this.kindOf(name).create({
      feed: this.feed,
      cluster: this.cluster,
      memory: recall(`memory:${name}`, {}),
      remember: values => remember(`memory:${name}`, { ...recall(`memory:${name}`, {}), ...values }),
      openPane: (other, memory) => this.open(other, memory),
    });
  }

  private kindOf(name: string): PaneKind {
    return this.kinds.find(kind => kind.name === name)!; // layouts hold known names only
  }

  // --- where they stand

  private arrange(): void {
    const rows = this.large === '' ? this.shown : [{ cells: [{ pane: this.large, share: 1 }], share: 1 }];
    const isNarrow = this.isNarrow && this.large === '';
    this.node.classList.toggle('jf-mod-narrow', isNarrow);
    const parts: HTMLElement[] = [];
    rows.forEach((row, i) => {
      const line = document.createElement('div');
      line.className = 'jf-dash-tile-row';
      line.style.flexGrow = String(row.share);
      row.cells.forEach((cell, k) => {
        const { node, enlarge } = this.tiles.get(cell.pane)!;
        node.style.flexGrow = String(cell.share);
        enlarge.replaceChildren(svg(this.large === '' ? ENLARGE : REDUCE));
        enlarge.setAttribute('aria-pressed', String(this.large !== ''));
        line.append(node);
        if (k + 1 < row.cells.length) {
          line.append(this.border('vertical', i, k));
        }
      });
      parts.push(line);
      if (i + 1 < rows.length) {
        parts.push(this.border('horizontal', i, 0));
      }
    });
    if (rows.length === 0) {
      const empty = document.createElement('p');
      empty.className = 'jf-dash-empty';
      empty.textContent = 'Choose a pane on the left, or press / and type.';
      parts.push(empty);
    }
    const focus = document.activeElement;
    this.node.replaceChildren(...parts, this.target);
    if (focus instanceof HTMLElement && this.node.contains(focus)) {
      focus.focus({ preventScroll: true }); // moving a node takes the focus away
    }
    this.look();
    this.measure();
  }

  private enlarge(name: string): void {
    this.large = name;
    this.arrange();
  }

  /** Panes that are in sight are shown. */
  private look(): void {
    for (const { node, pane } of this.tiles.values()) {
      if (node.isConnected && !document.hidden) {
        pane.show();
      } else {
        pane.hide();
      }
    }
  }

  private measure(): void {
    const isNarrow = this.node.clientWidth > 0 && this.node.clientWidth < NARROW;
    if (isNarrow !== this.isNarrow) {
      this.isNarrow = isNarrow;
      this.arrange();
      return;
    }
    for (const { node, stage, pane } of this.tiles.values()) {
      if (node.isConnected) {
        pane.resize(stage.clientWidth, stage.clientHeight);
      }
    }
  }

  // --- borders

  private border(kind: 'vertical' | 'horizontal', row: number, cell: number): HTMLElement {
    const node = document.createElement('div');
    node.className = `jf-dash-border jf-mod-${kind}`;
    node.tabIndex = 0;
    node.setAttribute('role', 'separator');
    node.setAttribute('aria-orientation', kind);
    node.setAttribute('aria-label', kind === 'vertical' ? 'Width of the panes beside it' : 'Height of the panes beside it');
    const move = (by: number): void => {
      this.shown = kind === 'vertical' ? moveRight(this.shown, row, cell, by) : moveBelow(this.shown, row, by);
      this.resize();
    };
    node.addEventListener('pointerdown', event => {
      event.preventDefault();
      node.setPointerCapture(event.pointerId);
      const [before, after] = [node.previousElementSibling!.getBoundingClientRect(), node.nextElementSibling!.getBoundingClientRect()];
      const extent = kind === 'vertical' ? before.width + after.width : before.height + after.height;
      const begun = this.shown;
      const from = kind === 'vertical' ? event.clientX : event.clientY;
      const dragged = (to: PointerEvent): void => {
        this.shown = begun;
        move(((kind === 'vertical' ? to.clientX : to.clientY) - from) / extent);
      };
      node.addEventListener('pointermove', dragged);
      node.addEventListener(
        'lostpointercapture',
        () => {
          node.removeEventListener('pointermove', dragged);
          this.changed(this.shown);
        },
        { once: true },
      );
    });
    node.addEventListener('keydown', event => {
      const by = { ArrowLeft: -0.03, ArrowUp: -0.03, ArrowRight: 0.03, ArrowDown: 0.03 }[event.key];
      if (by !== undefined) {
        event.preventDefault();
        move(by);
        this.changed(this.shown);
      }
    });
    return node;
  }

  /** Only shares are different. */
  private resize(): void {
    const lines = this.node.querySelectorAll<HTMLElement>('.jf-dash-tile-row');
    this.shown.forEach((row, i) => {
      lines[i].style.flexGrow = String(row.share);
      for (const { pane, share } of row.cells) {
        this.tiles.get(pane)!.node.style.flexGrow = String(share);
      }
    });
  }

  // --- moving

  private dragOver(event: DragEvent): void {
    if (!event.dataTransfer?.types.includes(DRAGGED)) {
      return;
    }
    event.preventDefault();
    const at = this.at(event);
    this.target.hidden = false;
    const all = this.node.getBoundingClientRect();
    const box = at ? at.tile.getBoundingClientRect() : all;
    const half = { left: [0, 0, 0.5, 1], right: [0.5, 0, 0.5, 1], above: [0, 0, 1, 0.5], below: [0, 0.5, 1, 0.5] }[at?.side ?? 'left'];
    const [x, y, width, height] = at ? half : [0, 0, 1, 1];
    Object.assign(this.target.style, {
      left: `${box.left - all.left + x * box.width}px`,
      top: `${box.top - all.top + this.node.scrollTop + y * box.height}px`,
      width: `${width * box.width}px`,
      height: `${height * box.height}px`,
    });
  }

  private dropped(event: DragEvent): void {
    this.target.hidden = true;
    const name = event.dataTransfer?.getData(DRAGGED);
    if (!name || !this.kinds.some(kind => kind.name === name)) {
      return;
    }
    event.preventDefault();
    const at = this.at(event);
    if (!at) {
      this.open(name);
    } else if (at.name !== name) {
      this.large = '';
      this.show(place(this.shown, name, at.side, at.name));
    }
  }

  /** The tile under the pointer, and the side of it that is nearest. */
  private at(event: DragEvent): { tile: HTMLElement; name: string; side: Side } | null {
    const tile = (event.target as Element).closest<HTMLElement>('.jf-dash-tile');
    const name = tile && [...this.tiles].find(([, one]) => one.node === tile)?.[0];
    if (!tile || !name) {
      return null;
    }
    const box = tile.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width;
    const y = (event.clientY - box.top) / box.height;
    const sides: [Side, number][] = [
      ['left', x],
      ['right', 1 - x],
      ['above', y],
      ['below', 1 - y],
    ];
    return { tile, name, side: sides.reduce((best, one) => (one[1] < best[1] ? one : best))[0] };
  }
}

/** A button that is an icon. */
export function button(name: string, icon: string, label: string): HTMLButtonElement {
  const node = document.createElement('button');
  node.type = 'button';
  node.className = name;
  node.title = label;
  node.setAttribute('aria-label', label);
  node.append(svg(icon));
  return node;
}
