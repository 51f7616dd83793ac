/** The pane "progress": how far the calls of each function are, what is in the way, and how long it will take. */
import type { Group, Progress } from '../protocol/snapshots';
import { el, say } from './dom';
import { Pace, share, size, unfinished } from './pace';
import type { Pane, PaneContext, PaneKind } from './pane';
import type { Column, Part } from './table';
import { TablePane } from './table-pane';
import { clock, count, percent, seconds, short } from './text';
import { colourOf, type Theme } from './theme';
import { button } from './toolbar';

/** The parts of a group's bar, in the order of a task's life backwards: finished, failed, assigned to a worker, ready to run. What waits for its inputs is left blank. */
export function groupParts(group: Group): Part[] {
  const all = Math.max(1, size(group));
  const erred = Math.min(group.done, group.tasks.erred);
  return [
    [(group.done - erred) / all, 'jf-part-done'],
    [erred / all, 'jf-part-failed'],
    [group.tasks.processing / all, 'jf-part-assigned'],
    [group.tasks.queued / all, 'jf-part-queued'],
  ];
}

export function groupState(group: Group): string {
  const { processing, queued, waiting, erred } = group.tasks;
  if (group.ended_at !== null) {
    return erred > 0 ? `${count(erred)} failed` : 'done';
  }
  const parts = [
    erred > 0 ? `${short(erred)} failed` : '',
    processing > 0 ? `${short(processing)} assigned` : '',
    queued > 0 ? `${short(queued)} queued` : '',
    processing === 0 && queued === 0 && waiting > 0 ? `${short(waiting)} waiting` : '',
  ];
  return parts.filter(Boolean).slice(0, 2).join(', ') || 'about to begin';
}

interface Now {
  at: number;
  pace: Pace<number>;
  theme(): Theme;
}

function took(group: Group, now: Now): number {
  return Math.max(0, (group.ended_at ?? now.at) - group.started_at);
}

function left(group: Group, now: Now): number | null {
  return group.ended_at !== null ? 0 : now.pace.left(group.id, unfinished(group.tasks));
}

/** A time to come, with fewer digits than one that was. */
export function about(s: number): string {
  return s < 10 ? seconds(Math.max(1, Math.round(s))).replace('.00', '') : s < 60 ? `${Math.round(s)} s` : seconds(s);
}

function columns(now: Now): readonly Column<Group>[] {
  return [
    {
      name: 'name',
      title: 'Function',
      width: 130,
      grow: 1.2,
      by: group => group.name,
      fill: (cell, group) => {
        cell.dotted(group.name, 'jf-coloured', `${group.name}, from ${group.origin}`);
        cell.colour(colourOf(group.name, now.theme().dark));
      },
    },
    {
      name: 'done',
      title: 'Done',
      tip: 'Finished tasks, failed ones in red; then what runs, and paler what is ready to run',
      width: 200,
      text: 104,
      grow: 3,
      number: true,
      by: share,
      fill: (cell, group) => cell.bar(groupParts(group), `${short(group.done)} / ${short(size(group))}`, '', percent(share(group))),
    },
    {
      name: 'share',
      title: '',
      width: 64,
      number: true,
      spare: 4,
      fill: (cell, group) => cell.text(percent(Math.floor(share(group) * 100) / 100), group.ended_at === null ? '' : 'jf-soft'),
    },
    {
      name: 'state',
      title: 'State',
      width: 176,
      spare: 3,
      by: group => unfinished(group.tasks),
      fill: (cell, group) => cell.text(groupState(group), group.tasks.erred > 0 ? 'jf-bad' : group.ended_at === null ? '' : 'jf-soft'),
    },
    {
      name: 'rate',
      title: 'Rate',
      tip: 'Finished a second, over the last ten seconds',
      width: 72,
      number: true,
      spare: 2,
      by: group => now.pace.rate(group.id) ?? 0,
      fill: (cell, group) => {
        const rate = group.ended_at === null ? now.pace.rate(group.id) : null;
        cell.text(rate === null ? '–' : `${short(rate)}/s`, rate ? '' : 'jf-faint');
      },
    },
    {
      name: 'left',
      title: 'Left',
      tip: 'How long it will take at the rate of late',
      width: 86,
      number: true,
      by: group => left(group, now) ?? Infinity,
      fill: (cell, group) => {
        const s = left(group, now);
        cell.text(s === null || s === 0 ? '–' : about(s), s ? '' : 'jf-faint');
      },
    },
    {
      name: 'took',
      title: 'Took',
      tip: 'From its first task to its last, or until now',
      width: 92,
      number: true,
      spare: 1,
      by: group => took(group, now),
      fill: (cell, group) => cell.text(seconds(Math.max(0.1, took(group, now))), 'jf-soft'),
    },
  ];
}

/** One bar for all groups together. */
export class TotalBar {
  readonly node: HTMLElement;
  private readonly parts: HTMLElement[];
  private readonly words: Record<'done' | 'failed' | 'assigned' | 'queued' | 'waiting', HTMLElement>;
  private readonly bar: HTMLElement;

  constructor() {
    this.parts = ['done', 'failed', 'assigned', 'queued'].map(name => el('i', `jf-part-${name}`));
    this.bar = el('div', 'jf-total-bar', { role: 'progressbar', 'aria-label': 'All tasks', 'aria-valuemin': 0, 'aria-valuemax': 100 }, ...this.parts);
    const key = (name: string): HTMLElement => el('b', `jf-total-${name}`);
    this.words = { done: key('done'), failed: key('failed'), assigned: key('assigned'), queued: key('queued'), waiting: key('waiting') };
    const words = Object.entries(this.words).map(([name, node]) =>
      el('span', `jf-total-word jf-total-word-${name}`, {}, el('i', `jf-part-${name}`), node, ` ${name}`),
    );
    this.node = el('div', 'jf-total', {}, this.bar, el('div', 'jf-total-words', {}, ...words));
  }

  set(progress: Pick<Progress, 'groups' | 'others' | 'total'>): void {
    // of the groups that are told, so that what ran yesterday does not hide what runs now
    const groups = progress.others ? [...progress.groups, progress.others] : progress.groups;
    const done = groups.reduce((sum, group) => sum + group.done, 0);
    const { waiting, queued, processing } = progress.total;
    const erred = Math.min(done, progress.total.erred);
    const all = Math.max(1, done + waiting + queued + processing);
    [done - erred, erred, processing, queued].forEach((n, i) => {
      this.parts[i].style.width = `${((100 * n) / all).toFixed(2)}%`;
    });
    this.bar.setAttribute('aria-valuenow', String(Math.floor((100 * done) / all)));
    for (const [name, n] of Object.entries({ done: done - erred, failed: erred, assigned: processing, queued, waiting }) as [
      keyof TotalBar['words'],
      number,
    ][]) {
      say(this.words[name], count(n));
      (this.words[name].parentElement as HTMLElement).hidden = name === 'failed' && n === 0;
    }
  }
}

class ProgressPane extends TablePane<Group> {
  private readonly now: Now;
  private readonly total = new TotalBar();

  constructor(context: PaneContext) {
    const now: Now = { at: 0, pace: new Pace<number>(), theme: () => this.theme };
    super(context, 'progress', {
      label: 'Progress by function',
      columns: columns(now),
      order: null,
      search: 'Find functions',
      empty: 'No tasks yet.',
      rowHeight: 28,
      keyOf: group => String(group.id),
      textOf: group => `${group.name} ${group.origin} ${groupState(group)}`,
    });
    this.above.append(this.total.node);
    this.now = now;
    this.watch('progress', data => this.takeProgress(data));
  }

  private takeProgress(data: Progress): void {
    const rows = data.others ? [...data.groups, data.others] : data.groups;
    this.now.at = data.at;
    this.now.pace.take(
      data.at,
      rows.map(group => [group.id, group.done] as const),
    );
    const working = data.groups.filter(group => group.ended_at === null);
    const slowest = working.reduce<number | null>((most, group) => {
      const s = left(group, this.now);
      return s === null ? most : Math.max(most ?? 0, s);
    }, null);
    this.facts.set([
      [count(working.length), 'at work'],
      [short(data.done), 'tasks done'],
      ...(slowest !== null && slowest > 0 ? ([[`≈ ${about(slowest)}`, 'left']] as const) : []),
      ...(data.total.erred > 0 ? ([[count(data.total.erred), 'failed', 'jf-bad']] as const) : []),
    ]);
    this.total.set(data);
    this.take(rows);
  }

  protected override opened(group: Group): void {
    this.context.openPane?.('profile', { name: group.name });
  }

  protected override marked(group: Group | null): void {
    if (group === null) {
      this.detail.close();
      return;
    }
    const open = this.context.openPane?.bind(this.context);
    const actions = open
      ? [
          ...(group.tasks.erred > 0 ? [button('Failures', 'The events of this function', () => open('events', { search: group.name }))] : []),
          button('Profile', 'Where its calls spend their time', () => open('profile', { name: group.name })),
          button('Timings', 'How long its calls take', () => open('timings', { search: group.name })),
        ]
      : [];
    this.detail.open(group.name, ...actions);
  }

  protected override draw(): void {
    super.draw();
    const group = this.table.marked;
    if (group && this.detail.isOpen) {
      const { tasks } = group;
      const rate = this.now.pace.rate(group.id);
      this.detail.set([
        ['done', `${count(group.done)} of ${count(size(group))}`],
        ['assigned', count(tasks.processing)],
        ['queued', count(tasks.queued)],
        ['waiting', count(tasks.waiting)],
        ['held', `${count(tasks.memory)} results`],
        ['failed', count(tasks.erred)],
        ['rate', rate === null || group.ended_at !== null ? '–' : `${short(rate)}/s`],
        ['began', clock(group.started_at)],
        ['ended', group.ended_at === null ? 'not yet' : clock(group.ended_at)],
        ['from', group.origin || '–'],
      ]);
    }
  }
}

export const PROGRESS: PaneKind = {
  name: 'progress',
  title: 'Progress',
  caption: 'How far the calls of each function are, and how long they will take',
  icon: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16"><g class="jp-icon3 jp-icon-selectable" fill="#616161"><rect x="1" y="2" width="14" height="3" rx="1" fill-opacity=".3"/><rect x="1" y="2" width="11" height="3" rx="1"/><rect x="1" y="6.5" width="14" height="3" rx="1" fill-opacity=".3"/><rect x="1" y="6.5" width="6" height="3" rx="1"/><rect x="1" y="11" width="14" height="3" rx="1" fill-opacity=".3"/><rect x="1" y="11" width="3" height="3" rx="1"/></g></svg>`,
  words: ['progress', 'bar', 'tasks', 'functions', 'groups', 'eta', 'done', 'remaining'],
  create: (context: PaneContext): Pane => new ProgressPane(context),
};
