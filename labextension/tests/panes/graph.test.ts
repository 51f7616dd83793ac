/** The task graph: parts, places, ways through it. Places are checked by what must hold of any layout. */
import { describe, expect, it } from 'vitest';
import type { Graph } from '../../src/protocol/snapshots';
import { describeNode, graphFacts } from '../../src/panes/graph/graph';
import { crossings, layered, place, ranks } from '../../src/panes/graph/layered';
import type { Layout } from '../../src/panes/graph/layout';
import { DAGRE_LIMIT, Layouts, NODE_HEIGHT, pack, parts } from '../../src/panes/graph/layout';
import { Links } from '../../src/panes/graph/links';
import { shortened } from '../../src/panes/graph/painter';
import { View } from '../../src/panes/graph/view';
import { random } from '../harness/synthetic';

type Edges = [number, number][];

const graph = (n: number, edges: Edges): Graph => ({
  at: 0,
  grouped: false,
  nodes: Array.from({ length: n }, (_, i) => ({ id: `t-${i}`, label: `t${i}`, count: 1, state: 'memory', done: 1, erred: 0 })),
  edges,
  tasks: n,
  looked_at: n,
});

function randomEdges(n: number, m: number, seed: number): Edges {
  const next = random(seed);
  return Array.from({ length: m }, () => {
    const to = 1 + Math.floor(next() * (n - 1));
    return [Math.floor(next() * to), to];
  });
}

function mustHold(made: Layout, edges: Edges): void {
  const { x, y, widths } = made;
  const wrong: string[] = [];
  for (const [from, to] of edges) {
    if (x[from] + widths[from] / 2 >= x[to] - widths[to] / 2) {
      wrong.push(`the edge from ${from} to ${to} does not go to the right`);
    }
  }
  for (let a = 0; a < x.length; a++) {
    const left = x[a] - widths[a] / 2;
    const top = y[a] - NODE_HEIGHT / 2;
    if (left < -1e-6 || top < -1e-6 || left + widths[a] > made.width + 1e-6 || top + NODE_HEIGHT > made.height + 1e-6) {
      wrong.push(`${a} stands outside`);
    }
    for (let b = a + 1; b < x.length; b++) {
      if (Math.abs(x[a] - x[b]) < (widths[a] + widths[b]) / 2 - 1e-6 && Math.abs(y[a] - y[b]) < NODE_HEIGHT - 1e-6) {
        wrong.push(`${a} and ${b} overlap`);
      }
    }
  }
  expect(wrong).toEqual([]);
}

describe('a layout', () => {
  it.each([
    ['nothing', 0, []],
    ['tasks that are connected with nothing', 50, []],
    ['chains', 30, Array.from({ length: 20 }, (_, i) => [i, i + 10] as [number, number])],
    ['a small part and a large one', 300, [[0, 1], ...randomEdges(280, 500, 1).map(([a, b]) => [a + 10, b + 10] as [number, number])]],
  ] as [string, number, Edges][])('of %s goes from left to right, and nothing overlaps', (_, n, edges) => {
    const g = graph(n, edges);
    mustHold(
      new Layouts().of(
        g,
        g.nodes.map((_, i) => 44 + (i % 5) * 20),
        1.6,
      ),
      edges,
    );
  });

  it('bends edges of small parts around what is in their way', () => {
    const edges: Edges = [
      [0, 1],
      [1, 2],
      [0, 2],
    ];
    const made = new Layouts().of(graph(3, edges), [60, 60, 60], 1.6);
    expect(made.bends[2].length).toBeGreaterThanOrEqual(2);
    expect(made.bends[0]).toEqual([]);
  });

  it('leaves parts that are as they were where they are in themselves', () => {
    const layouts = new Layouts();
    const edges: Edges = [
      [0, 1],
      [0, 2],
      [3, 4],
    ];
    const first = layouts.of(graph(5, edges), [50, 50, 50, 50, 50], 1.6);
    const second = layouts.of(graph(6, [...edges, [4, 5]]), [50, 50, 50, 50, 50, 50], 1.6);
    expect(second.y[1] - second.y[2]).toBe(first.y[1] - first.y[2]);
  });

  it('takes no more than moments for as much as is ever told', () => {
    const edges = randomEdges(400, 2000, 3);
    const g = graph(400, edges);
    expect(400 + 2000).toBeGreaterThan(DAGRE_LIMIT);
    mustHold(
      new Layouts().of(
        g,
        g.nodes.map(() => 80),
        1.6,
      ),
      edges,
    );
  });
});

describe('parts', () => {
  it('are what is connected', () => {
    const found = parts(6, [
      [0, 3],
      [3, 5],
      [1, 2],
    ]);
    expect(found.map(part => part.nodes)).toEqual([[0, 3, 5], [1, 2], [4]]);
    expect(found.map(part => part.edges)).toEqual([[0, 1], [2], []]);
  });

  it('are packed without overlaps', () => {
    const sizes = Array.from({ length: 40 }, (_, i) => [20 + ((i * 37) % 90), 10 + ((i * 53) % 60)] as [number, number]);
    const packed = pack(sizes, 1.6);
    sizes.forEach(([w, h], a) => {
      const [x, y] = packed.places[a];
      expect(x + w).toBeLessThanOrEqual(packed.width);
      expect(y + h).toBeLessThanOrEqual(packed.height);
      sizes.slice(a + 1).forEach(([w2, h2], k) => {
        const [x2, y2] = packed.places[a + 1 + k];
        expect(x + w <= x2 || x2 + w2 <= x || y + h <= y2 || y2 + h2 <= y).toBe(true);
      });
    });
  });
});

describe('layers', () => {
  it('come after all inputs, and sources stand next to what needs them', () => {
    const links = new Links(
      graph(5, [
        [0, 1],
        [1, 2],
        [3, 2],
        [2, 4],
      ]),
    );
    expect([...ranks(links.inputs, links.outputs)]).toEqual([0, 1, 2, 1, 3]);
  });

  it('have no crossings in a tree', () => {
    const edges: Edges = Array.from({ length: 62 }, (_, i) => [i + 1, i >> 1]);
    const made = layered(
      Array.from({ length: 63 }, () => 50),
      NODE_HEIGHT,
      edges,
    );
    const links = new Links(graph(63, edges));
    const rank = ranks(links.inputs, links.outputs);
    const layers: number[][] = [];
    rank.forEach((r, v) => (layers[r] ??= []).push(v));
    layers.forEach(layer => layer.sort((a, b) => made.y[a] - made.y[b]));
    expect(crossings(layers, rank, edges)).toBe(0);
    expect(
      crossings(
        [
          [0, 1],
          [2, 3],
        ],
        Int32Array.of(0, 0, 1, 1),
        [
          [0, 3],
          [1, 2],
        ],
      ),
    ).toBe(1);
  });

  it('give each what it wishes as far as there is room', () => {
    expect(place([0, 10, 20], 5)).toEqual([0, 10, 20]);
    expect(place([10, 10], 4)).toEqual([8, 12]);
    expect(place([5, 0, 100], 10)).toEqual([-2.5, 7.5, 100]);
  });
});

describe('links', () => {
  const edges: Edges = [
    [0, 1],
    [1, 2],
    [3, 2],
    [2, 4],
    [2, 5],
  ];
  const g = graph(7, edges);
  const links = new Links(g);

  it('know all that a task is made of and all that is made of it', () => {
    expect([...links.family(1)].sort()).toEqual([0, 1, 2, 4, 5]);
    expect([...links.family(6)]).toEqual([6]);
  });

  it('lead the arrow keys', () => {
    const made = new Layouts().of(
      g,
      g.nodes.map(() => 60),
      1.6,
    );
    expect(links.step(1, 'ArrowRight', made)).toBe(2);
    expect(links.step(1, 'ArrowLeft', made)).toBe(0);
    const [above, below] = made.y[4] < made.y[5] ? [4, 5] : [5, 4];
    expect(links.step(above, 'ArrowDown', made)).toBe(below);
    expect(links.step(below, 'ArrowUp', made)).toBe(above);
    const seen = new Set([6]);
    for (const key of ['ArrowUp', 'ArrowLeft', 'ArrowUp', 'ArrowRight', 'ArrowRight', 'ArrowDown']) {
      const next = links.step([...seen][seen.size - 1], key, made);
      if (next >= 0) {
        seen.add(next);
      }
    }
    expect(seen.size).toBeGreaterThan(1); // one can walk away from a task that is connected with nothing
  });

  it('are told in words', () => {
    expect(describeNode(g, links, 2)).toBe('t2: held; 2 inputs, 2 outputs');
    const grouped = { ...g, grouped: true, nodes: g.nodes.map(node => ({ ...node, count: 10, done: 4, erred: 1 })) };
    expect(describeNode(grouped, links, 0)).toBe('t0: 4 of 10 done, 1 failed; 0 inputs, 1 output');
    expect(graphFacts({ ...g, tasks: 5000 })[0]).toEqual(['7', 'newest of 5,000 tasks']);
  });
});

describe('the view', () => {
  it('keeps the point under the pointer when it zooms', () => {
    const view = new View();
    view.set({ width: 2000, height: 1000 }, { width: 500, height: 400 });
    const before = view.at(120, 80);
    view.zoom(2, 120, 80);
    const after = view.at(120, 80);
    expect(after[0]).toBeCloseTo(before[0], 6);
    expect(after[1]).toBeCloseTo(before[1], 6);
    expect(view.fitted).toBe(false);
  });

  it('follows a picture that grows as long as all of it is shown', () => {
    const view = new View();
    view.set({ width: 100, height: 100 }, { width: 500, height: 400 });
    const scale = view.scale;
    view.set({ width: 4000, height: 100 }, { width: 500, height: 400 });
    expect(view.scale).toBeLessThan(scale);
    view.zoom(1.5, 0, 0);
    const kept = view.scale;
    view.set({ width: 9000, height: 100 }, { width: 500, height: 400 });
    expect(view.scale).toBe(kept);
  });

  it('never loses the picture', () => {
    const view = new View();
    view.set({ width: 1000, height: 1000 }, { width: 500, height: 500 });
    view.pan(1e6, -1e6);
    expect(view.x).toBeLessThan(500);
    expect(view.y + 1000 * view.scale).toBeGreaterThan(0);
  });
});

describe('labels', () => {
  it('are cut where there is no room', () => {
    const measure = (text: string): number => text.length * 7;
    expect(shortened('merge', 35, measure)).toBe('merge');
    expect(shortened('merge_everything', 35, measure)).toBe('merg…');
    expect(shortened('merge', 3, measure)).toBe('');
  });
});
