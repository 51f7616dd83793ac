/**
 * A page that shows panes on a synthetic cluster. Its address says what: `index.html?pane=task-stream&rows=1000000&theme=dark`; several panes with
 * commas; the other words are the options of the cluster (workers, threads, rows, span, groups, rate, seed, still, empty) and `columns`.
 * Scripts find everything at `window.harness`.
 */
import { PANES } from '../../src/panes/index';
import type { Pane } from '../../src/panes/pane';
import './harness.css';
import { SyntheticFeed, type SyntheticOptions } from './synthetic';

declare global {
  interface Window {
    harness: { feed: SyntheticFeed; panes: Pane[]; opened: string[]; memory: Record<string, unknown>; theme(name: string): void };
  }
}

const words = new URLSearchParams(location.search);
const options: Record<string, number | boolean> = {};
for (const name of ['seed', 'workers', 'threads', 'rows', 'span', 'groups', 'rate', 'now']) {
  const value = words.get(name);
  if (value !== null) {
    options[name] = Number(value);
  }
}
for (const name of ['still', 'empty']) {
  if (words.has(name)) {
    options[name] = words.get(name) !== '0';
  }
}

document.documentElement.classList.toggle('dark', words.get('theme') === 'dark');
const feed = new SyntheticFeed({ now: Date.now() / 1000, ...(options as SyntheticOptions) });
const root = document.getElementById('panes') as HTMLElement;
const names = (words.get('pane') ?? PANES.map(kind => kind.name).join(',')).split(',');
root.style.setProperty('--columns', words.get('columns') ?? String(Math.ceil(Math.sqrt(names.length))));
const memory: Record<string, unknown> = JSON.parse(words.get('memory') ?? '{}') as Record<string, unknown>;
const panes: Pane[] = [];
const opened: string[] = [];

for (const name of names) {
  const kind = PANES.find(each => each.name === name);
  if (!kind) {
    throw new Error(`there is no pane ${name}; there are ${PANES.map(each => each.name).join(', ')}`);
  }
  const pane = kind.create({
    feed,
    cluster: feed.cluster.id,
    memory,
    remember: values => Object.assign(memory, values),
    goToCell: (session, cell) => opened.push(`${session}#${cell}`),
    openPane: (other, its) => opened.push(`${other} ${JSON.stringify(its ?? {})}`),
  });
  const place = document.createElement('div');
  place.className = 'harness-place';
  root.append(place);
  place.append(pane.node);
  new ResizeObserver(() => pane.resize(place.clientWidth, place.clientHeight)).observe(place);
  pane.resize(place.clientWidth, place.clientHeight);
  pane.show();
  panes.push(pane);
}

window.harness = {
  feed,
  panes,
  opened,
  memory,
  theme(name: string): void {
    document.documentElement.classList.toggle('dark', name === 'dark');
    for (const pane of panes) {
      pane.retheme();
    }
  },
};
