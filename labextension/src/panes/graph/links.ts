/** What a node is made of and what is made of it, near and far: for highlights, and for walking through the graph with the arrow keys. */
import type { Graph } from '../../protocol/snapshots';
import type { Layout } from './layout';

export class Links {
  readonly inputs: number[][];
  readonly outputs: number[][];

  constructor(graph: Pick<Graph, 'nodes' | 'edges'>) {
    this.inputs = graph.nodes.map(() => []);
    this.outputs = graph.nodes.map(() => []);
    for (const [from, to] of graph.edges) {
      this.outputs[from].push(to);
      this.inputs[to].push(from);
    }
  }

  /** All it is made of, and all that is made of it, itself included. */
  family(node: number): Set<number> {
    const found = new Set([node]);
    for (const side of [this.inputs, this.outputs]) {
      const next = [node];
      const seen = new Set(next);
      for (let v = next.pop(); v !== undefined; v = next.pop()) {
        for (const u of side[v]) {
          if (!seen.has(u)) {
            seen.add(u);
            found.add(u);
            next.push(u);
          }
        }
      }
    }
    return found;
  }

  /**
   * Where an arrow key leads: left to the nearest input, right to the nearest output; up and down to the nearest node in that direction. Where there is
   * none, left and right go to the nearest node there. -1: the end.
   */
  step(node: number, key: string, layout: Layout): number {
    const { x, y } = layout;
    const nearest = (among: Iterable<number>, cost: (v: number) => number): number => {
      let best = -1;
      let least = Infinity;
      for (const v of among) {
        const c = cost(v);
        if (v !== node && c < least) {
          least = c;
          best = v;
        }
      }
      return best;
    };
    const side = key === 'ArrowLeft' ? -1 : key === 'ArrowRight' ? 1 : 0;
    if (side) {
      const near = nearest(side < 0 ? this.inputs[node] : this.outputs[node], v => Math.abs(y[v] - y[node]));
      return near >= 0
        ? near
        : nearest(x.keys(), v => (side * (x[v] - x[node]) > 1 ? Math.abs(x[v] - x[node]) + 3 * Math.abs(y[v] - y[node]) : Infinity));
    }
    const down = key === 'ArrowDown' ? 1 : -1;
    return nearest(y.keys(), v => (down * (y[v] - y[node]) > 1 ? Math.abs(y[v] - y[node]) + 3 * Math.abs(x[v] - x[node]) : Infinity));
  }
}
