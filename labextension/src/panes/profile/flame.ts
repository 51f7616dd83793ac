/**
 * The model of a flame graph: frames with their places, from 0 to 1 across and one row down for each call; the root is on top. d3-hierarchy's partition
 * computes the places. A profile grows while one looks at it, so frames are known by their paths (the names from the root on), and what is zoomed into
 * or marked stays so in the next snapshot.
 */
import { hierarchy, partition } from 'd3-hierarchy';
import type { HierarchyRectangularNode } from 'd3-hierarchy';
import type { FlameNode } from '../../protocol/snapshots';

export interface Frame {
  readonly name: string;
  readonly file: string;
  readonly line: number;
  /** Samples in it and below. */
  readonly count: number;
  /** Samples in it alone. */
  readonly own: number;
  readonly depth: number;
  /** From 0 to 1, of all samples. */
  readonly x0: number;
  readonly x1: number;
  readonly parent: Frame | null;
  readonly children: readonly Frame[];
  /** Names from the root to here. */
  readonly path: string;
}

const SEPARATOR = '\u0000';

/** What a frame is called among its siblings: name, file and line, since one caller may call two functions of one name. */
function step(node: FlameNode): string {
  return `${node.name}\u0001${node.file}\u0001${node.line}`;
}

/** All frames of a profile; the first is the root. Siblings in the order of their names, so that they keep their places while they grow. */
export function frames(root: FlameNode): Frame[] {
  const inside = (node: FlameNode): number => node.children.reduce((sum, child) => sum + child.count, 0);
  const tree = hierarchy<FlameNode>(root, node => node.children)
    .each(node => {
      // a node's value is what partition makes its width of
      (node as { value?: number }).value = node.data.count;
    })
    .sort((a, b) => (a.data.name < b.data.name ? -1 : a.data.name > b.data.name ? 1 : a.data.line - b.data.line));
  const placed = partition<FlameNode>().size([1, 1])(tree);
  const all: Frame[] = [];
  const make = (node: HierarchyRectangularNode<FlameNode>, parent: Frame | null): Frame => {
    const { data } = node;
    const children: Frame[] = [];
    const frame: Frame = {
      name: data.name || 'all',
      file: data.file,
      line: data.line,
      count: data.count,
      own: Math.max(0, data.count - inside(data)),
      depth: node.depth,
      x0: node.x0,
      x1: node.x1,
      parent,
      children,
      path: parent ? parent.path + SEPARATOR + step(data) : step(data),
    };
    all.push(frame);
    for (const child of node.children ?? []) {
      children.push(make(child, frame));
    }
    return frame;
  };
  make(placed, null);
  return all;
}

/** One function, wherever it was called. */
export interface FunctionRow {
  readonly name: string;
  readonly file: string;
  readonly line: number;
  /** Samples in it alone. */
  readonly own: number;
  /** Samples in it and below, those of recursive calls counted once. */
  readonly total: number;
}

/** The functions of a profile with their own times and totals. */
export function functionRows(all: readonly Frame[]): FunctionRow[] {
  const found = new Map<string, { name: string; file: string; line: number; own: number; total: number }>();
  const keyOf = (frame: Frame): string => `${frame.name}\u0001${frame.file}`;
  for (const frame of all) {
    if (frame.parent === null) {
      continue; // the root is no function
    }
    const key = keyOf(frame);
    let row = found.get(key);
    if (!row) {
      row = { name: frame.name, file: frame.file, line: frame.line, own: 0, total: 0 };
      found.set(key, row);
    }
    row.own += frame.own;
    let above = frame.parent;
    while (above && keyOf(above) !== key) {
      above = above.parent as Frame;
    }
    if (!above) {
      row.total += frame.count;
    }
  }
  return [...found.values()];
}

/** Frames that a search finds, and the share of all samples that are in them or below. */
export function matches(all: readonly Frame[], found: (text: string) => boolean): { frames: Set<Frame>; share: number } {
  const hits = new Set<Frame>();
  let samples = 0;
  const covered = new Set<Frame>();
  for (const frame of all) {
    const below = frame.parent !== null && covered.has(frame.parent);
    if (frame.parent !== null && found(`${frame.name} ${frame.file}`)) {
      hits.add(frame);
      if (!below) {
        samples += frame.count;
      }
      covered.add(frame);
    } else if (below) {
      covered.add(frame);
    }
  }
  return { frames: hits, share: all.length && all[0].count ? samples / all[0].count : 0 };
}

/** The frame with this path, or the nearest above it that there still is. */
export function frameAt(all: readonly Frame[], path: string): Frame {
  let frame = all[0];
  for (;;) {
    const next = frame.children.find(child => path === child.path || path.startsWith(child.path + SEPARATOR));
    if (!next) {
      return frame;
    }
    frame = next;
  }
}

/** Where a frame's code is from: the user's own, a package, or Python itself. */
export function originOf(file: string): string {
  const parts = file.split(/[\\/]/);
  const site = Math.max(parts.lastIndexOf('site-packages'), parts.lastIndexOf('dist-packages'));
  if (site >= 0) {
    return (parts[site + 1] ?? '').replace(/\.py$/, '');
  }
  if (file.startsWith('<frozen') || parts.some(part => /^python3(\.\d+)?t?$/.test(part))) {
    return 'python';
  }
  return '';
}

/** Where an arrow key leads from a frame: up to its caller, down to what took longest in it, left and right to its neighbours. */
export function walk(frame: Frame, key: string): Frame {
  const around = frame.parent?.children ?? [frame];
  const at = around.indexOf(frame);
  switch (key) {
    case 'ArrowUp':
      return frame.parent ?? frame;
    case 'ArrowDown':
      return frame.children.reduce<Frame | null>((most, child) => (!most || child.count > most.count ? child : most), null) ?? frame;
    case 'ArrowLeft':
      return around[at - 1] ?? frame;
    case 'ArrowRight':
      return around[at + 1] ?? frame;
    default:
      return frame;
  }
}
