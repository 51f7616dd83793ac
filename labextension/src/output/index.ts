/**
 * A notebook output: panes of one cluster, as a module for anywidget. One feed a model, however many views of it are on the page (an output, and a new
 * view of it beside); none while nobody looks. Colours are those of the page, or, where it has no variables of JupyterLab's, one of its two themes.
 */
import { CommFeed, type CommModel } from '../feed/comm';
import { PANES } from '../panes';
import type { Pane, PaneKind } from '../panes/pane';
import { luminance } from '../panes/theme';
import './output.css';

interface Model extends CommModel {
  get(name: 'panes'): string[];
  get(name: 'height'): number;
  get(name: 'memory'): Record<string, Record<string, unknown>>;
  set(name: string, value: unknown): void;
  save_changes(): void;
}

/** Pixels, where nobody has said how many: a table needs less than a picture. */
const HEIGHT = 340;
const HEIGHTS: Readonly<Record<string, number>> = { progress: 240, workers: 240, memory: 240, network: 240, cells: 240, events: 260, timings: 280 };

const feeds = new WeakMap<Model, { feed: CommFeed; views: number }>();

/** The model's feed, with one view more. */
function enter(model: Model): CommFeed {
  const known = feeds.get(model) ?? { feed: new CommFeed(model), views: 0 };
  known.views++;
  feeds.set(model, known);
  return known.feed;
}

function leave(model: Model): void {
  const known = feeds.get(model);
  if (known && --known.views === 0) {
    feeds.delete(model);
    known.feed.dispose();
  }
}

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const feed = enter(model);
  const root = document.createElement('div');
  root.className = 'jf-output';
  const note = document.createElement('div');
  note.className = 'jf-output-note';
  note.setAttribute('role', 'status');
  root.append(note);
  el.append(root);

  const panes: Pane[] = [];
  const stages = new Map<Element, Pane>();
  let isInSight = true;
  const look = (): void => {
    for (const pane of panes) {
      if (isInSight && !document.hidden) {
        pane.show();
      } else {
        pane.hide();
      }
    }
  };
  const sizes = new ResizeObserver(entries => {
    for (const { target } of entries) {
      stages.get(target)?.resize(target.clientWidth, target.clientHeight);
    }
  });
  const sight = new IntersectionObserver(
    entries => {
      isInSight = entries[entries.length - 1].isIntersecting;
      look();
    },
    { rootMargin: '200px' },
  );

  const create = (kind: PaneKind, cluster: string, isAlone: boolean): void => {
    const stage = document.createElement('div');
    stage.className = 'jf-output-stage';
    stage.style.height = `${model.get('height') || (HEIGHTS[kind.name] ?? HEIGHT)}px`;
    if (!isAlone) {
      const title = document.createElement('h4');
      title.textContent = kind.title;
      root.append(title);
    }
    root.append(stage);
    const pane = kind.create({
      feed,
      cluster,
      memory: model.get('memory')[kind.name] ?? {},
      remember: values => {
        const memory = model.get('memory');
        model.set('memory', { ...memory, [kind.name]: { ...memory[kind.name], ...values } });
        model.save_changes();
      },
    });
    stage.append(pane.node);
    stages.set(stage, pane);
    panes.push(pane);
    sizes.observe(stage);
    pane.resize(stage.clientWidth, stage.clientHeight);
  };

  const say = (text: string): void => {
    note.textContent = text;
    note.hidden = text === '';
  };
  const unknown = model.get('panes').filter(name => !PANES.some(kind => kind.name === name));
  const trouble = unknown.length > 0 ? `There is no pane ${unknown.join(', ')}; there are ${PANES.map(kind => kind.name).join(', ')}.` : '';
  let clusterText = '';
  const tell = (): void => {
    const { state, text } = feed.state;
    say(trouble || (state === 'open' ? clusterText : text || 'Connecting …'));
    root.classList.toggle('jf-mod-stale', state !== 'open');
    for (const pane of panes) {
      pane.feedChanged(feed.state);
    }
  };
  const links = [
    feed.onState(tell),
    feed.onClusters(([info]) => {
      if (!info) {
        return;
      }
      if (panes.length === 0) {
        const kinds = model.get('panes').flatMap(name => PANES.filter(kind => kind.name === name));
        for (const kind of kinds) {
          create(kind, info.id, kinds.length === 1);
        }
        sight.observe(root);
        links.push(feed.onTrouble(info.id, text => ((clusterText = text), tell())));
      }
      clusterText = info.text;
      tell();
    }),
  ];
  tell();

  const paint = (): void => {
    const style = getComputedStyle(document.body);
    const isBare = style.getPropertyValue('--jp-layout-color1').trim() === '';
    root.classList.toggle('jf-colours', isBare);
    root.classList.toggle('jf-dark', isBare && isDark(style.backgroundColor));
    for (const pane of panes) {
      pane.retheme();
    }
  };
  paint();
  const themes = new MutationObserver(() => setTimeout(paint, 100)); // JupyterLab loads the style sheet of a theme after it has said which
  themes.observe(document.body, {
    attributes: true,
    attributeFilter: ['class', 'style', 'data-jp-theme-name', 'data-jp-theme-light', 'data-vscode-theme-kind'],
  });
  const system = matchMedia('(prefers-color-scheme: dark)');
  system.addEventListener('change', paint);
  document.addEventListener('visibilitychange', look);

  return () => {
    document.removeEventListener('visibilitychange', look);
    system.removeEventListener('change', paint);
    themes.disconnect();
    sight.disconnect();
    sizes.disconnect();
    for (const link of links) {
      link.dispose();
    }
    for (const pane of panes) {
      pane.dispose();
    }
    leave(model);
    root.remove();
  };
}

/** Whether a page of this background is a dark one; one without a background is as the system is. */
function isDark(background: string): boolean {
  const clear = background === '' || background === 'transparent' || /,\s*0\)$/.test(background);
  return clear ? matchMedia('(prefers-color-scheme: dark)').matches : luminance(background) < 0.4;
}

export default { render };
