/**
 * Where the nodes of a task graph stand. The graph falls into connected parts; each is laid out alone, by dagre (or, when it is large, by `layered.ts`),
 * once for all parts that are built alike, and remembered while it does not change: in a graph that grows, most of it is as it was. Then the parts are
 * set side by side, the tasks that are connected with nothing in a grid, to fill a picture of the pane's proportions.
 *
 * dagre takes 0.5 s of CPU for a tree of 400 nodes and 10 s for 400 nodes with 2,000 edges (docs/design/decisions/graphs-in-panes.md), hence the limit.
 */
import { Graph as Dagre, layout as dagre } from '@dagrejs/dagre';
import type { Graph } from '../../protocol/snapshots';
import type { Placed } from './layered';
import { GAP_X, GAP_Y, layered } from './layered';

export const NODE_HEIGHT = 22;
const PART_GAP = 18;
/** dagre draws parts of at most so many nodes and edges together. */
export const DAGRE_LIMIT = 120;

export interface Layout {
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly widths: readonly number[];
  /** In the order of the graph's edges: points between the ends, x and y in turn. */
  readonly bends: readonly (readonly number[])[];
  readonly width: number;
  readonly height: number;
}

interface Part {
  nodes: number[];
  edges: number[];
}

/** The connected parts, each with its nodes and edges in their order. */
export function parts(nodes: number, edges: readonly (readonly [number, number])[]): Part[] {
  const parent = Int32Array.from({ length: nodes }, (_, i) => i);
  const find = (v: number): number => {
    while (parent[v] !== v) {
      parent[v] = parent[parent[v]];
      v = parent[v];
    }
    return v;
  };
  for (const [a, b] of edges) {
    parent[find(a)] = find(b);
  }
  const found = new Map<number, Part>();
  for (let v = 0; v < nodes; v++) {
    const root = find(v);
    const part = found.get(root);
    if (part) {
      part.nodes.push(v);
    } else {
      found.set(root, { nodes: [v], edges: [] });
    }
  }
  edges.forEach(([a], i) => found.get(find(a))?.edges.push(i));
  return [...found.values()];
}

/** Keeps the layouts of parts for graphs that come again with little that is new. */
export class Layouts {
  private kept = new Map<string, Placed>();

  /** Lay out a graph whose nodes are so wide. `aspect`: width over height of the picture that is to be filled. */
  of(graph: Pick<Graph, 'nodes' | 'edges'>, widths: readonly number[], aspect: number): Layout {
    const n = graph.nodes.length;
    const x = new Float64Array(n);
    const y = new Float64Array(n);
    const bends: (readonly number[])[] = graph.edges.map(() => []);
    const kept = new Map<string, Placed>();
    const boxes: { part: Part; placed: Placed }[] = [];
    const single: number[] = [];
    for (const part of parts(n, graph.edges)) {
      if (part.nodes.length === 1) {
        single.push(part.nodes[0]);
        continue;
      }
      const inner = new Map(part.nodes.map((v, i) => [v, i]));
      const edges = part.edges.map(e => [inner.get(graph.edges[e][0]) ?? 0, inner.get(graph.edges[e][1]) ?? 0] as [number, number]);
      const sizes = part.nodes.map(v => widths[v]);
      const key = `${sizes.join()};${edges.join()}`;
      const placed = kept.get(key) ?? this.kept.get(key) ?? lay(sizes, edges);
      kept.set(key, placed);
      boxes.push({ part, placed });
    }
    this.kept = kept;
    if (single.length) {
      boxes.push({
        part: { nodes: single, edges: [] },
        placed: grid(
          single.map(v => widths[v]),
          aspect,
        ),
      });
    }
    const packed = pack(
      boxes.map(box => [box.placed.width, box.placed.height]),
      aspect,
    );
    boxes.forEach(({ part, placed }, i) => {
      const [left, top] = packed.places[i];
      part.nodes.forEach((v, k) => {
        x[v] = left + placed.x[k];
        y[v] = top + placed.y[k];
      });
      part.edges.forEach((e, k) => {
        bends[e] = placed.bends[k].map((value, axis) => value + (axis % 2 ? top : left));
      });
    });
    return { x, y, widths, bends, width: packed.width, height: packed.height };
  }
}

function lay(widths: readonly number[], edges: readonly (readonly [number, number])[]): Placed {
  return widths.length + edges.length <= DAGRE_LIMIT ? byDagre(widths, edges) : layered(widths, NODE_HEIGHT, edges);
}

function byDagre(widths: readonly number[], edges: readonly (readonly [number, number])[]): Placed {
  const graph = new Dagre();
  graph.setGraph({ rankdir: 'LR', nodesep: GAP_Y, ranksep: GAP_X, edgesep: 4 });
  graph.setDefaultEdgeLabel(() => ({}));
  widths.forEach((width, v) => graph.setNode(String(v), { width, height: NODE_HEIGHT }));
  for (const [from, to] of edges) {
    graph.setEdge(String(from), String(to));
  }
  dagre(graph);
  const size = graph.graph();
  const at = (v: number): { x: number; y: number } => graph.node(String(v)) as { x: number; y: number };
  return {
    x: Float64Array.from(widths, (_, v) => at(v).x),
    y: Float64Array.from(widths, (_, v) => at(v).y),
    width: size.width ?? 0,
    height: size.height ?? 0,
    bends: edges.map(([from, to]) => {
      const points = (graph.edge(String(from), String(to)) as { points?: { x: number; y: number }[] }).points ?? [];
      return points.length > 3 ? points.slice(1, -1).flatMap(point => [point.x, point.y]) : []; // three: from, middle, to
    }),
  };
}

/** Nodes that are connected with nothing, in rows. */
function grid(widths: readonly number[], aspect: number): Placed {
  const cell = widths.reduce((most, width) => Math.max(most, width), 0) + 10;
  const line = NODE_HEIGHT + GAP_Y;
  const columns = Math.max(1, Math.min(widths.length, Math.round(Math.sqrt((widths.length * aspect * line) / cell))));
  return {
    x: Float64Array.from(widths, (width, i) => (i % columns) * cell + width / 2),
    y: Float64Array.from(widths, (_, i) => Math.floor(i / columns) * line + NODE_HEIGHT / 2),
    width: columns * cell - 10,
    height: Math.ceil(widths.length / columns) * line - GAP_Y,
    bends: [],
  };
}

/** Boxes on shelves, the tallest first, so wide that all together have the proportions that are wanted. */
export function pack(
  sizes: readonly (readonly [width: number, height: number])[],
  aspect: number,
): { places: [number, number][]; width: number; height: number } {
  const places: [number, number][] = sizes.map(() => [0, 0]);
  const order = sizes.map((_, i) => i).sort((a, b) => sizes[b][1] - sizes[a][1] || a - b);
  const area = sizes.reduce((sum, [w, h]) => sum + (w + PART_GAP) * (h + PART_GAP), 0);
  const widest = sizes.reduce((most, [w]) => Math.max(most, w), 0);
  const room = Math.max(widest, Math.sqrt(area * aspect));
  let x = 0;
  let y = 0;
  let shelf = 0;
  let width = 0;
  for (const i of order) {
    const [w, h] = sizes[i];
    if (x > 0 && x + w > room) {
      x = 0;
      y += shelf + PART_GAP;
      shelf = 0;
    }
    places[i] = [x, y];
    x += w + PART_GAP;
    width = Math.max(width, x - PART_GAP);
    shelf = Math.max(shelf, h);
  }
  return { places, width, height: y + shelf };
}
