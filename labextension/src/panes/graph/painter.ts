/** Draws a task graph on a canvas: nodes in the colours of their states, groups filled as far as they are done, edges as curves. */
import type { Graph, GraphNode } from '../../protocol/snapshots';
import type { Theme } from '../theme';
import type { Layout } from './layout';
import type { View } from './view';
import { mix } from '../theme';
import { NODE_HEIGHT } from './layout';

export const STATES = ['waiting', 'queued', 'processing', 'memory', 'erred', 'released'] as const;

/** The word that people see for a state. */
export const STATE_WORDS: Record<string, string> = {
  waiting: 'waiting',
  queued: 'queued',
  processing: 'running',
  memory: 'held',
  erred: 'failed',
  released: 'released',
};

interface Look {
  readonly fill: string;
  readonly edge: string;
  readonly text: string;
}

export interface Emphasis {
  /** Nodes that are shown as usual; the others fade. null: all. */
  readonly family: ReadonlySet<number> | null;
  readonly pointed: number;
  readonly marked: number;
  /** Nodes that a search has found; null: there is none. */
  readonly found: ReadonlySet<number> | null;
}

export function looks(theme: Theme): Record<string, Look> {
  return {
    waiting: { fill: theme.background, edge: mix(theme.text, 0.28), text: theme.soft },
    queued: { fill: mix(theme.accent, 0.1), edge: mix(theme.accent, 0.5), text: theme.text },
    processing: { fill: theme.accent, edge: theme.accent, text: '#ffffff' },
    memory: { fill: mix(theme.good, theme.dark ? 0.34 : 0.2), edge: mix(theme.good, 0.75), text: theme.text },
    erred: { fill: mix(theme.bad, theme.dark ? 0.4 : 0.2), edge: theme.bad, text: theme.text },
    released: { fill: mix(theme.text, 0.06), edge: mix(theme.text, 0.14), text: theme.soft },
  };
}

/** A label that fits into so many pixels. */
export function shortened(label: string, room: number, measure: (text: string) => number): string {
  if (measure(label) <= room) {
    return label;
  }
  let low = 0;
  let high = label.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (measure(`${label.slice(0, middle)}…`) <= room) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low ? `${label.slice(0, low)}…` : '';
}

/** What stands in a node: its label, and of a group how many of it are done. */
export function nodeText(node: GraphNode): string {
  return node.count > 1 ? `${node.label}  ${node.done.toLocaleString('en-US')} / ${node.count.toLocaleString('en-US')}` : node.label;
}

export const FONT_SIZE = 12;

export function paint(
  context: CanvasRenderingContext2D,
  graph: Graph,
  layout: Layout,
  x: Float64Array,
  y: Float64Array,
  view: View,
  screen: { width: number; height: number },
  theme: Theme,
  emphasis: Emphasis,
): void {
  const { family } = emphasis;
  context.save();
  context.translate(view.x, view.y);
  context.scale(view.scale, view.scale);
  const [left, top] = view.at(0, 0);
  const [right, bottom] = view.at(screen.width, screen.height);
  paintEdges(context, graph, layout, x, y, view.scale, theme, family);
  const styles = looks(theme);
  const legible = view.scale * FONT_SIZE >= 5.5;
  context.font = `${FONT_SIZE}px ${theme.font}`;
  context.textBaseline = 'middle';
  const measure = (text: string): number => context.measureText(text).width;
  graph.nodes.forEach((node, i) => {
    const width = layout.widths[i];
    const x0 = x[i] - width / 2;
    const y0 = y[i] - NODE_HEIGHT / 2;
    if (x0 > right || x0 + width < left || y0 > bottom || y0 + NODE_HEIGHT < top) {
      return;
    }
    const style = styles[node.state] ?? styles.waiting;
    const faded = (family !== null && !family.has(i)) || (emphasis.found !== null && !emphasis.found.has(i));
    context.globalAlpha = faded ? 0.25 : 1;
    context.beginPath();
    context.roundRect(x0, y0, width, NODE_HEIGHT, 4);
    context.fillStyle = theme.background; // edges do not shine through
    context.fill();
    if (node.count > 1) {
      paintGroup(context, node, x0, y0, width, styles);
    } else {
      context.fillStyle = style.fill;
      context.fill();
    }
    context.beginPath();
    context.roundRect(x0, y0, width, NODE_HEIGHT, 4);
    context.lineWidth = Math.max(1, 0.7 / view.scale);
    context.strokeStyle = node.count > 1 && node.erred ? styles.erred.edge : node.count > 1 ? mix(theme.text, 0.3) : style.edge;
    context.stroke();
    if (i === emphasis.pointed || i === emphasis.marked) {
      context.lineWidth = 2 / Math.min(1, view.scale);
      context.strokeStyle = i === emphasis.marked ? theme.accent : mix(theme.text, 0.6);
      context.beginPath();
      context.roundRect(x0 - 2, y0 - 2, width + 4, NODE_HEIGHT + 4, 6);
      context.stroke();
    }
    if (legible) {
      context.fillStyle = node.count > 1 ? theme.text : style.text;
      context.fillText(shortened(nodeText(node), width - 14, measure), x0 + 8, y[i] + 0.5);
    }
    context.globalAlpha = 1;
  });
  context.restore();
}

/** A group: as far as it is done, in the colour of what is held; its failures at the right end of that. */
function paintGroup(context: CanvasRenderingContext2D, node: GraphNode, x: number, y: number, width: number, styles: Record<string, Look>): void {
  const done = Math.min(1, node.done / node.count);
  const erred = Math.min(done, node.erred / node.count);
  context.save();
  context.clip();
  context.fillStyle = node.state === 'processing' || node.state === 'queued' ? styles.queued.fill : styles.waiting.fill;
  context.fillRect(x, y, width, NODE_HEIGHT);
  context.fillStyle = styles.memory.fill;
  context.fillRect(x, y, width * (done - erred), NODE_HEIGHT);
  context.fillStyle = styles.erred.edge;
  context.fillRect(x + width * (done - erred), y, erred ? Math.max(2, width * erred) : 0, NODE_HEIGHT);
  context.restore();
}

function paintEdges(
  context: CanvasRenderingContext2D,
  graph: Graph,
  layout: Layout,
  x: Float64Array,
  y: Float64Array,
  scale: number,
  theme: Theme,
  family: ReadonlySet<number> | null,
): void {
  const plain = new Path2D();
  const strong = new Path2D();
  graph.edges.forEach(([from, to], e) => {
    const path = family !== null && family.has(from) && family.has(to) ? strong : plain;
    let x0 = x[from] + layout.widths[from] / 2;
    let y0 = y[from];
    path.moveTo(x0, y0);
    const bends = layout.bends[e];
    for (let i = 0; i + 1 < bends.length; i += 2) {
      curve(path, x0, y0, bends[i], bends[i + 1]);
      x0 = bends[i];
      y0 = bends[i + 1];
    }
    curve(path, x0, y0, x[to] - layout.widths[to] / 2, y[to]);
  });
  context.lineWidth = Math.max(1, 0.8 / scale);
  context.strokeStyle = mix(theme.text, family ? 0.09 : graph.edges.length > 600 ? 0.18 : 0.28);
  context.stroke(plain);
  context.lineWidth = Math.max(1.5, 1.2 / scale);
  context.strokeStyle = theme.accent;
  context.stroke(strong);
}

function curve(path: Path2D, x0: number, y0: number, x1: number, y1: number): void {
  const middle = (x0 + x1) / 2;
  path.bezierCurveTo(middle, y0, middle, y1, x1, y1);
}
