/** What is known of one task, for the drawer of a pane: why it has not started, and its story so far. Asked for, not watched. */
import type { Feed } from '../feed/feed';
import type { Detail } from './detail';
import { el } from './dom';
import { clock, seconds } from './text';
import { button } from './toolbar';

/** One line of a story: when, which task, what happened, and more about it. */
export type StoryRow = readonly [at: number, key: string, what: string, detail: unknown];

/** Open the drawer for a task, with its story. */
export function openTask(detail: Detail, feed: Feed, cluster: string, key: string, facts: readonly (readonly [string, string])[] = []): void {
  const show = (): void => {
    void detail.answer(
      'Asking the scheduler …',
      () => Promise.all([feed.ask(cluster, 'why_pending', { key }), feed.ask(cluster, 'story', { keys: [key] })]),
      answer => {
        const [why, story] = answer as [string, StoryRow[]];
        detail.content(el('p', 'jf-soft', {}, whyText(why)), storyTable(story));
      },
    );
  };
  detail.open(key, button('Ask again', 'Its story so far', show));
  detail.set(facts);
  show();
}

/** A sentence of what the scheduler says of a task. */
export function whyText(why: string): string {
  const said: Record<string, string> = {
    memory: 'It is finished, and its result is held.',
    erred: 'It has failed.',
    released: 'Nobody wants its result at the moment.',
    'unknown to the scheduler': 'The scheduler does not know it any more.',
  };
  return said[why] ?? `It has not finished: ${why || 'nothing more is known'}.`;
}

/** What a line of a story says besides: a name or a number, or several with theirs. */
export function detailText(detail: unknown): string {
  if (detail === null || detail === undefined) {
    return '';
  }
  if (Array.isArray(detail)) {
    return detail.map(detailText).join(', ');
  }
  if (typeof detail === 'object') {
    return Object.entries(detail)
      .map(([name, value]) => `${name} ${detailText(value)}`)
      .join(', ');
  }
  return String(detail);
}

/** The story as a table: the first line with the time of day, the others with what has gone by since. */
function storyTable(story: readonly StoryRow[]): HTMLElement {
  if (story.length === 0) {
    return el('p', 'jf-soft', {}, 'Its story is not kept any more.');
  }
  const rows = story.map(([at, , what, more], i) =>
    el(
      'tr',
      '',
      {},
      el('td', 'jf-soft', {}, i === 0 ? clock(at) : `+ ${seconds(Math.max(0, at - story[0][0]))}`),
      el('td', '', {}, what.replace('->', '→')),
      el('td', 'jf-soft', {}, detailText(more)),
    ),
  );
  return el('table', 'jf-story', {}, el('tbody', '', {}, ...rows));
}
