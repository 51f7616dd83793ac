/**
 * The pane "graph": the tasks that are held and what they are made of, from inputs on the left to results on the right. Of many tasks each group is
 * one node. The wheel zooms, dragging moves; pointing at a node shows all that it is made of and all that is made of it.
 *
 * With the keyboard the arrows walk along the edges, Enter opens the drawer, plus, minus and 0 zoom. Each node that is reached is said aloud (a live
 * region), since a picture says nothing to those who do not see it.
 */
import type { Graph, GraphNode } from '../../protocol/snapshots';
import type { Fact } from '../facts';
import type { Pane as PaneType, PaneContext, PaneKind } from '../pane';
import type { Theme } from '../theme';
import type { Layout } from './layout';
import { Detail } from '../detail';
import { el, fit, freshId, say } from '../dom';
import { Facts } from '../facts';
import { Pane } from '../pane';
import { finder } from '../rows';
import { openTask } from '../task-detail';
import { count } from '../text';
import { readTheme } from '../theme';
import { button, searchField, toolbar } from '../toolbar';
import { Layouts, NODE_HEIGHT } from './layout';
import { Links } from './links';
import { FONT_SIZE, nodeText, paint, STATE_WORDS, STATES } from './painter';
import { View } from './view';

const WIDEST = 190;
const GLIDE_MS = 260;
/** A layout may take so large a share of the time: of one that took 10 ms, the next comes after 100. */
const LAYOUT_SHARE = 0.1;
const LAYOUT_REST_MS = 250;

class GraphPane extends Pane {
  private readonly facts = new Facts();
  private readonly canvas = el('canvas');
  private readonly place: HTMLElement;
  private readonly spoken = el('div', 'jf-sr', { 'aria-live': 'polite' });
  private readonly nothing = el('div', 'jf-table-empty', { role: 'status' }, 'No tasks are held.');
  private readonly detail: Detail;
  private readonly layouts = new Layouts();
  private readonly view = new View();
  private known: Theme | null = null;
  private graph: Graph | null = null;
  private links = new Links({ nodes: [], edges: [] });
  private layout: Layout | null = null;
  private structure = '';
  private aspect = 0;
  private laidAt = -Infinity;
  private took = 0;
  private later = 0;
  private x: Float64Array = new Float64Array(0);
  private y: Float64Array = new Float64Array(0);
  private from: Map<string, readonly [number, number]> | null = null;
  private glideAt = 0;
  private pointed = -1;
  private marked = '';
  private search = '';
  private seen: [number, number] = [0, 0];

  constructor(context: PaneContext) {
    super(context, 'graph');
    const help = freshId('help');
    this.place = el(
      'div',
      'jf-graph-place',
      {
        tabindex: 0,
        role: 'application',
        'aria-roledescription': 'task graph',
        'aria-label': 'Task graph',
        'aria-describedby': help,
        'data-lm-suppress-shortcuts': 'true',
      },
      this.canvas,
      this.nothing,
      el('div', 'jf-sr', { id: help }, 'Arrow keys walk from task to task along inputs and outputs. Enter opens details. Plus, minus and 0 zoom.'),
      this.spoken,
    );
    this.detail = new Detail('Details', () => {
      this.mark('');
      this.place.focus({ preventScroll: true });
    });
    const zoomed = (factor: number): void => this.zoom(factor, this.seen[0] / 2, this.seen[1] / 2);
    const small = (text: string, hint: string, press: () => void): HTMLElement => {
      const made = button(text, hint, press);
      made.setAttribute('aria-label', hint);
      return made;
    };
    this.node.classList.add('jf-column');
    this.node.append(
      toolbar(
        'Task graph',
        this.facts.node,
        small('−', 'Smaller', () => zoomed(1 / 1.4)),
        small('+', 'Larger', () => zoomed(1.4)),
        small('All', 'Show all of it', () => this.showAll()),
        searchField('Find tasks', '', text => {
          this.search = text;
          this.stale();
        }),
      ),
      this.place,
      this.detail.node,
    );
    this.listen();
    this.watch('graph', data => {
      this.graph = data;
      this.stale();
    });
  }

  private listen(): void {
    let drag: { x: number; y: number; moved: boolean } | null = null;
    this.canvas.addEventListener('pointerdown', event => {
      if (event.button === 0) {
        drag = { x: event.offsetX, y: event.offsetY, moved: false };
        this.canvas.setPointerCapture(event.pointerId);
      }
    });
    this.canvas.addEventListener('pointermove', event => {
      if (drag) {
        const dx = event.offsetX - drag.x;
        const dy = event.offsetY - drag.y;
        if (drag.moved || Math.abs(dx) + Math.abs(dy) > 3) {
          drag = { x: event.offsetX, y: event.offsetY, moved: true };
          this.canvas.style.cursor = 'grabbing';
          this.view.pan(dx, dy);
          this.stale();
        }
      } else {
        this.point(this.nodeAt(event.offsetX, event.offsetY));
      }
    });
    this.canvas.addEventListener('pointerup', event => {
      if (drag && !drag.moved) {
        const at = this.nodeAt(event.offsetX, event.offsetY);
        this.mark(this.graph?.nodes[at]?.id ?? '');
        this.openMarked();
      }
      drag = null;
      this.canvas.style.cursor = this.pointed >= 0 ? 'pointer' : '';
    });
    this.canvas.addEventListener('pointercancel', () => {
      drag = null;
    });
    this.canvas.addEventListener('pointerleave', () => this.point(-1));
    this.canvas.addEventListener('dblclick', event => {
      if (this.nodeAt(event.offsetX, event.offsetY) < 0) {
        this.showAll();
      }
    });
    this.canvas.addEventListener(
      'wheel',
      event => {
        event.preventDefault();
        if (event.shiftKey) {
          this.view.pan(-event.deltaY, 0);
          this.stale();
        } else {
          this.zoom(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0016) * (event.ctrlKey ? 4 : 1)), event.offsetX, event.offsetY);
        }
      },
      { passive: false },
    );
    this.place.addEventListener('keydown', event => this.key(event));
    this.place.addEventListener('focus', () => this.stale());
    this.place.addEventListener('blur', () => this.stale());
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.graph || !this.layout) {
      return;
    }
    if (event.key.startsWith('Arrow')) {
      const at = this.markedPlace();
      const next = at < 0 ? this.firstNode() : this.links.step(at, event.key, this.layout);
      if (next >= 0) {
        this.mark(this.graph.nodes[next].id);
        this.view.reveal(this.layout.x[next], this.layout.y[next]);
        say(this.spoken, describeNode(this.graph, this.links, next));
        if (this.detail.isOpen) {
          this.openMarked();
        }
      }
    } else if (event.key === 'Enter') {
      this.openMarked();
    } else if (event.key === 'Escape' && this.marked) {
      this.mark('');
      this.detail.close();
    } else if (event.key === '+' || event.key === '=' || event.key === '-') {
      this.zoom(event.key === '-' ? 1 / 1.25 : 1.25, this.seen[0] / 2, this.seen[1] / 2);
    } else if (event.key === '0') {
      this.showAll();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  private firstNode(): number {
    const layout = this.layout;
    return layout ? layout.x.reduce((best, _, v) => (best < 0 || layout.x[v] + layout.y[v] < layout.x[best] + layout.y[best] ? v : best), -1) : -1;
  }

  private markedPlace(): number {
    return this.marked ? (this.graph?.nodes.findIndex(node => node.id === this.marked) ?? -1) : -1;
  }

  private mark(id: string): void {
    this.marked = id;
    if (!id) {
      this.detail.close();
    }
    this.stale();
  }

  private openMarked(): void {
    const at = this.markedPlace();
    if (!this.graph || at < 0) {
      return;
    }
    const node = this.graph.nodes[at];
    const facts: [string, string][] = [
      ['made of', namesOf(this.graph, this.links.inputs[at])],
      ['used by', namesOf(this.graph, this.links.outputs[at])],
    ];
    if (this.graph.grouped) {
      this.detail.open(node.label);
      this.detail.set([
        ['tasks', count(node.count)],
        ['done', count(node.done)],
        ['failed', count(node.erred)],
        ['most are', STATE_WORDS[node.state] ?? node.state],
        ...facts,
      ]);
    } else {
      openTask(this.detail, this.context.feed, this.context.cluster, node.id, [['state', STATE_WORDS[node.state] ?? node.state], ...facts]);
    }
    this.stale();
  }

  private point(node: number): void {
    if (node !== this.pointed) {
      this.pointed = node;
      this.canvas.style.cursor = node >= 0 ? 'pointer' : '';
      this.place.title = node >= 0 && this.graph ? describeNode(this.graph, this.links, node) : '';
      this.stale();
    }
  }

  private nodeAt(x: number, y: number): number {
    const [px, py] = this.view.at(x, y);
    const widths = this.layout?.widths ?? [];
    for (let i = this.x.length - 1; i >= 0; i--) {
      if (Math.abs(px - this.x[i]) <= widths[i] / 2 && Math.abs(py - this.y[i]) <= NODE_HEIGHT / 2) {
        return i;
      }
    }
    return -1;
  }

  private zoom(factor: number, x: number, y: number): void {
    this.view.zoom(factor, x, y);
    this.stale();
  }

  private showAll(): void {
    this.view.fit();
    this.stale();
  }

  override retheme(): void {
    this.known = null;
    super.retheme();
  }

  override hide(): void {
    super.hide();
    window.clearTimeout(this.later);
    this.later = 0;
  }

  protected draw(): void {
    this.known ??= readTheme(this.node);
    const graph = this.graph;
    this.nothing.hidden = graph === null || graph.nodes.length > 0;
    if (!graph) {
      return;
    }
    const width = this.place.clientWidth;
    const height = this.place.clientHeight;
    this.seen = [width, height];
    const shown = this.settle(graph, width, height);
    const context = fit(this.canvas, width, height);
    if (shown === null || this.layout === null) {
      return;
    }
    this.glide(shown);
    this.view.set(this.layout, { width, height });
    const found = finder(this.search);
    const focus = this.pointed >= 0 ? this.pointed : this.markedPlace();
    paint(context, shown, this.layout, this.x, this.y, this.view, { width, height }, this.known, {
      family: focus >= 0 ? this.links.family(focus) : null,
      pointed: this.pointed,
      marked: this.markedPlace(),
      found: this.search ? new Set(shown.nodes.flatMap((node, i) => (found(`${node.label} ${node.id}`) ? [i] : []))) : null,
    });
    this.facts.set(graphFacts(shown));
    this.place.setAttribute('aria-label', `Task graph: ${count(shown.nodes.length)} ${shown.grouped ? 'groups' : 'tasks'}`);
  }

  private laid: Graph | null = null;

  /** Lay it out anew if it is built otherwise than before and enough time has gone by. The graph that can be drawn. */
  private settle(graph: Graph, width: number, height: number): Graph | null {
    if (this.later && this.laid) {
      return this.laid;
    }
    const structure = `${graph.grouped};${graph.nodes.map(node => node.id).join()};${graph.edges.join()}`;
    const aspect = Math.max(0.4, Math.min(4, width / Math.max(1, height)));
    const reshaped = Math.abs(Math.log(aspect / (this.aspect || aspect))) > 0.35;
    if (structure === this.structure && !reshaped && this.layout) {
      this.laid = graph;
      return graph;
    }
    const now = performance.now();
    const due = this.laidAt + Math.max(LAYOUT_REST_MS, this.took / LAYOUT_SHARE);
    if (now < due && this.laid) {
      this.later = window.setTimeout(() => {
        this.later = 0;
        this.stale();
      }, due - now);
      return this.laid;
    }
    const measuring = this.canvas.getContext('2d');
    if (!measuring || !this.known) {
      return null;
    }
    measuring.font = `${FONT_SIZE}px ${this.known.font}`;
    const widths = graph.nodes.map(node => Math.ceil(Math.min(WIDEST, Math.max(44, measuring.measureText(widestText(node)).width + 18)) / 4) * 4);
    const old = this.laid && this.layout ? new Map(this.laid.nodes.map((node, i) => [node.id, [this.x[i], this.y[i]] as const])) : null;
    this.layout = this.layouts.of(graph, widths, aspect);
    this.links = new Links(graph);
    this.structure = structure;
    this.aspect = aspect;
    this.laid = graph;
    this.pointed = -1;
    this.laidAt = performance.now();
    this.took = this.laidAt - now;
    this.from = old && !matchMedia('(prefers-reduced-motion: reduce)').matches ? old : null;
    this.glideAt = this.laidAt;
    return graph;
  }

  /** Nodes that were somewhere else glide to where they belong. */
  private glide(graph: Graph): void {
    const layout = this.layout as Layout;
    const share = this.from ? Math.min(1, (performance.now() - this.glideAt) / GLIDE_MS) : 1;
    if (share >= 1 || !this.from) {
      this.from = null;
      this.x = layout.x;
      this.y = layout.y;
      return;
    }
    const eased = 1 - (1 - share) ** 3;
    const from = this.from;
    this.x = layout.x.map((to, i) => {
      const old = from.get(graph.nodes[i].id);
      return old ? old[0] + (to - old[0]) * eased : to;
    });
    this.y = layout.y.map((to, i) => {
      const old = from.get(graph.nodes[i].id);
      return old ? old[1] + (to - old[1]) * eased : to;
    });
    this.stale();
  }
}

/** A group's text grows while it works; its box does not. */
function widestText(node: GraphNode): string {
  return node.count > 1 ? nodeText({ ...node, done: node.count }) : node.label;
}

/** What a screen reader says of a node, and a tooltip. */
export function describeNode(graph: Graph, links: Links, at: number): string {
  const node = graph.nodes[at];
  const state =
    node.count > 1
      ? `${count(node.done)} of ${count(node.count)} done${node.erred ? `, ${count(node.erred)} failed` : ''}`
      : (STATE_WORDS[node.state] ?? node.state);
  const { [at]: inputs } = links.inputs;
  const { [at]: outputs } = links.outputs;
  const many = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;
  return `${node.label}: ${state}; ${many(inputs.length, 'input')}, ${many(outputs.length, 'output')}`;
}

function namesOf(graph: Graph, nodes: readonly number[]): string {
  const names = nodes.slice(0, 3).map(v => (graph.grouped ? graph.nodes[v].label : graph.nodes[v].id));
  return names.length === 0 ? 'nothing' : `${names.join(', ')}${nodes.length > 3 ? ` and ${count(nodes.length - 3)} more` : ''}`;
}

/** How many are in each state; and how much of all of it is seen. */
export function graphFacts(graph: Graph): Fact[] {
  const facts: Fact[] = [
    [count(graph.looked_at), graph.looked_at < graph.tasks ? `newest of ${count(graph.tasks)} tasks` : graph.tasks === 1 ? 'task' : 'tasks'],
  ];
  if (graph.grouped) {
    facts.push([count(graph.nodes.length), graph.nodes.length === 1 ? 'group' : 'groups']);
    return facts;
  }
  for (const state of STATES) {
    const n = graph.nodes.filter(node => node.state === state).length;
    if (n) {
      facts.push([count(n), STATE_WORDS[state], `jf-key-state jf-state-${state}`]);
    }
  }
  return facts;
}

export const GRAPH: PaneKind = {
  name: 'graph',
  title: 'Task graph',
  caption: 'The tasks that are held, and what they are made of',
  icon: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16"><g class="jp-icon3 jp-icon-selectable" fill="#616161"><path d="M4.2 4.6c3 0 2 3.1 4.6 3.1h2.6v.9H8.8c-3 0-2-3.1-4.6-3.1z" fill-opacity=".6"/><path d="M4.2 11.6c3 0 2-3.1 4.6-3.1h2.6v-.9H8.8c-3 0-2 3.1-4.6 3.1z" fill-opacity=".6"/><rect x="1" y="3" width="4" height="4" rx="1"/><rect x="1" y="9.2" width="4" height="4" rx="1"/><rect x="11" y="6.1" width="4" height="4" rx="1"/></g></svg>`,
  words: ['graph', 'dag', 'dependencies', 'inputs', 'tasks', 'why', 'story'],
  create: (context: PaneContext): PaneType => new GraphPane(context),
};
