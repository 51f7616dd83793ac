/**
 * The dashboard's page, which a scheduler serves itself: one cluster, any of its panes, tiled. What stands where is in the address, so a link shows it
 * to somebody else, and in this browser, so it is there the next time.
 */
import { WebSocketFeed } from '../feed/websocket';
import { PANES } from '../panes';
import { fromText, panesOf, toText, type Layout } from './layout';
import { Page } from './page';
import { Schemes } from './scheme';
import './standalone.css';
import { recall, remember } from './store';
import { Tiles } from './tiles';

/** What a new reader sees, as far as there are such panes. */
const FIRST = 'overview+workers/task-stream!1.1';

const isKnown = (name: string): boolean => PANES.some(kind => kind.name === name);

const feed = new WebSocketFeed({ url: () => new URL('socket', location.href).href.replace(/^http/, 'ws') });
let tiles: Tiles | null = null;
const schemes: Schemes = new Schemes(() => {
  page.colours();
  tiles?.retheme();
});
const page: Page = new Page(PANES, schemes, {
  open: name => tiles?.open(name),
  close: name => tiles?.close(name),
});
document.body.append(page.node);
page.follow(feed);
feed.onState(() => tiles?.feedChanged());

/** The tiles begin when it is known whose they are. */
const begin = feed.onClusters(([info]) => {
  if (info && tiles === null) {
    queueMicrotask(() => begin.dispose());
    feed.onTrouble(info.id, text => page.troubled(text));
    tiles = new Tiles(feed, info.id, PANES, arranged);
    page.add(tiles.node);
    tiles.show(wished());
  }
});

/** The layout of the address, else that of the last time, else the first one. */
function wished(): Layout {
  for (const text of [decodeURIComponent(location.hash.slice(1)), recall('layout', ''), FIRST]) {
    const layout = fromText(text, isKnown);
    if (panesOf(layout).length > 0) {
      return layout;
    }
  }
  return [];
}

function arranged(layout: Layout): void {
  const text = toText(layout);
  remember('layout', text);
  if (decodeURIComponent(location.hash.slice(1)) !== text) {
    history.replaceState(null, '', `#${text}`);
  }
  page.arranged(layout);
}

addEventListener('hashchange', () => {
  const layout = fromText(decodeURIComponent(location.hash.slice(1)), isKnown);
  if (tiles && toText(layout) !== toText(tiles.layout)) {
    tiles.show(layout);
  }
});
