/**
 * A fast layout of one connected graph in layers, from left to right: what dagre does, for graphs on which dagre would hold the page for seconds
 * (`layout.ts` says which). The steps are the classic ones: each node stands one layer after the last of its inputs; sources move up to what needs
 * them; layers are put in the order of the means of their neighbours, back and forth, and the order with the fewest crossings is kept; then nodes are
 * drawn towards their neighbours as far as the order lets them. Everything is arrays of numbers: 400 nodes with 2,000 edges take some milliseconds.
 */

export interface Placed {
  /** The middle of each node. */
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly width: number;
  readonly height: number;
  /** For edges that do not run straight: the points in between, x and y in turn. */
  readonly bends: readonly (readonly number[])[];
}

export const GAP_X = 44;
export const GAP_Y = 7;
const SWEEPS = 12;
const PULLS = 10;

/** `edges` are pairs of places in `widths`, and have no cycles. */
export function layered(widths: readonly number[], height: number, edges: readonly (readonly [number, number])[]): Placed {
  const n = widths.length;
  const inputs: number[][] = Array.from({ length: n }, () => []);
  const outputs: number[][] = Array.from({ length: n }, () => []);
  for (const [from, to] of edges) {
    outputs[from].push(to);
    inputs[to].push(from);
  }
  const rank = ranks(inputs, outputs);
  const layers: number[][] = [];
  for (let v = 0; v < n; v++) {
    (layers[rank[v]] ??= []).push(v);
  }
  const ordered = order(layers, rank, inputs, outputs, edges);
  const y = heights(ordered, inputs, outputs, height + GAP_Y);
  const x = new Float64Array(n);
  let left = 0;
  for (const layer of ordered) {
    const widest = layer.reduce((most, v) => Math.max(most, widths[v]), 0);
    for (const v of layer) {
      x[v] = left + widest / 2;
    }
    left += widest + GAP_X;
  }
  let lowest = Infinity;
  let highest = -Infinity;
  for (const v of y) {
    lowest = Math.min(lowest, v);
    highest = Math.max(highest, v);
  }
  for (let v = 0; v < n; v++) {
    y[v] += height / 2 - lowest;
  }
  return { x, y, width: left - GAP_X, height: highest - lowest + height, bends: edges.map(() => []) };
}

/** The layer of each node: after all its inputs; nodes without inputs stand right before the first that needs them. */
export function ranks(inputs: readonly (readonly number[])[], outputs: readonly (readonly number[])[]): Int32Array {
  const rank = new Int32Array(inputs.length);
  const missing = Int32Array.from(inputs, of => of.length);
  const ready: number[] = [];
  missing.forEach((k, v) => {
    if (k === 0) {
      ready.push(v);
    }
  });
  for (let i = 0; i < ready.length; i++) {
    for (const to of outputs[ready[i]]) {
      rank[to] = Math.max(rank[to], rank[ready[i]] + 1);
      if (--missing[to] === 0) {
        ready.push(to);
      }
    }
  }
  inputs.forEach((of, v) => {
    if (of.length === 0 && outputs[v].length > 0) {
      rank[v] = outputs[v].reduce((least, to) => Math.min(least, rank[to]), Infinity) - 1;
    }
  });
  return rank;
}

function order(
  layers: number[][],
  rank: Int32Array,
  inputs: readonly (readonly number[])[],
  outputs: readonly (readonly number[])[],
  edges: readonly (readonly [number, number])[],
): number[][] {
  const place = new Float64Array(rank.length);
  const number = (all: readonly (readonly number[])[]): void => {
    for (const layer of all) {
      layer.forEach((v, i) => {
        place[v] = layer.length > 1 ? i / (layer.length - 1) : 0.5; // long edges compare layers of different sizes
      });
    }
  };
  // begin depth first, so that trees have no crossings
  const seen = new Uint8Array(rank.length);
  const first: number[][] = layers.map(() => []);
  const visit = (root: number): void => {
    const stack = [root];
    while (stack.length) {
      const v = stack.pop() as number;
      if (!seen[v]) {
        seen[v] = 1;
        first[rank[v]].push(v);
        stack.push(...outputs[v].filter(to => !seen[to]), ...[...inputs[v]].reverse().filter(from => !seen[from]));
      }
    }
  };
  for (let r = layers.length - 1; r >= 0; r--) {
    layers[r].forEach(visit);
  }
  let now = first;
  number(now);
  let best = now;
  let least = crossings(now, rank, edges);
  for (let sweep = 0; sweep < SWEEPS && least > 0; sweep++) {
    const forth = sweep % 2 === 0;
    now = now.map(layer => [...layer]);
    const mean = new Float64Array(rank.length);
    for (let step = 1; step < now.length; step++) {
      const layer = now[forth ? step : now.length - 1 - step];
      for (const v of layer) {
        const near = forth ? inputs[v] : outputs[v];
        mean[v] = near.length ? near.reduce((sum, u) => sum + place[u], 0) / near.length : place[v];
      }
      layer.sort((a, b) => mean[a] - mean[b] || place[a] - place[b]);
      number([layer]);
    }
    const found = crossings(now, rank, edges);
    if (found < least) {
      least = found;
      best = now;
    }
  }
  return best;
}

/** How often edges between neighbouring layers cross; longer edges are left out. */
export function crossings(layers: readonly (readonly number[])[], rank: Int32Array, edges: readonly (readonly [number, number])[]): number {
  const place = new Int32Array(rank.length);
  for (const layer of layers) {
    layer.forEach((v, i) => {
      place[v] = i;
    });
  }
  const between: [number, number][][] = layers.map(() => []);
  for (const [from, to] of edges) {
    if (rank[to] === rank[from] + 1) {
      between[rank[from]].push([place[from], place[to]]);
    }
  }
  let all = 0;
  between.forEach((pairs, r) => {
    if (pairs.length < 2) {
      return;
    }
    pairs.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    // a Fenwick tree over the right ends seen so far: each pair crosses those that began before it and end after it
    const size = layers[r + 1].length;
    const tree = new Int32Array(size + 1);
    pairs.forEach(([, to], seen) => {
      let before = 0;
      for (let i = to + 1; i > 0; i -= i & -i) {
        before += tree[i];
      }
      all += seen - before;
      for (let i = to + 1; i <= size; i += i & -i) {
        tree[i]++;
      }
    });
  });
  return all;
}

/** The middle of each node from above: drawn towards its neighbours, in order, with room between. */
function heights(
  layers: readonly (readonly number[])[],
  inputs: readonly (readonly number[])[],
  outputs: readonly (readonly number[])[],
  step: number,
): Float64Array {
  const y = new Float64Array(inputs.length);
  const tallest = layers.reduce((most, layer) => Math.max(most, layer.length), 0);
  for (const layer of layers) {
    const top = ((tallest - layer.length) / 2) * step;
    layer.forEach((v, i) => {
      y[v] = top + i * step;
    });
  }
  for (let pull = 0; pull < PULLS; pull++) {
    const forth = pull % 2 === 0;
    for (let i = 0; i < layers.length; i++) {
      const layer = layers[forth ? i : layers.length - 1 - i];
      const wish = layer.map(v => {
        const near = pull < PULLS - 2 ? (forth ? inputs[v] : outputs[v]) : [...inputs[v], ...outputs[v]];
        return near.length ? near.reduce((sum, u) => sum + y[u], 0) / near.length : y[v];
      });
      place(wish, step).forEach((at, k) => {
        y[layer[k]] = at;
      });
    }
  }
  return y;
}

/**
 * Places in order, at least `step` apart, as near to the wishes as the sum of squares can be: wishes that are too close form blocks, which stand at
 * the mean of what their members want (the pool-adjacent-violators method).
 */
export function place(wish: readonly number[], step: number): number[] {
  const blocks: { sum: number; n: number }[] = [];
  wish.forEach((w, i) => {
    let block = { sum: w - i * step, n: 1 };
    for (let last = blocks[blocks.length - 1]; last && last.sum / last.n > block.sum / block.n; last = blocks[blocks.length - 1]) {
      blocks.pop();
      block = { sum: last.sum + block.sum, n: last.n + block.n };
    }
    blocks.push(block);
  });
  const places: number[] = [];
  for (const block of blocks) {
    for (let k = 0; k < block.n; k++) {
      places.push(block.sum / block.n + places.length * step);
    }
  }
  return places;
}
