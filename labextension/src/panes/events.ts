/** The pane "events": what was worth a line, the newest at the foot. It follows the end until one scrolls up; a button leads back. */
import type { Entry, Filter, Kind, Level } from './event-log';
import type { Pane as PaneType, PaneContext, PaneKind } from './pane';
import { Detail } from './detail';
import { el, say } from './dom';
import { EventLog, KINDS, LEVELS } from './event-log';
import { Facts } from './facts';
import { Pane } from './pane';
import { openTask } from './task-detail';
import { Table } from './table';
import { clock, count } from './text';
import { button, Menu, searchField, switches, toolbar } from './toolbar';

const KIND_NAMES: Record<Kind, string> = { worker: 'Workers', client: 'Clients', task: 'Tasks', log: 'Logs', event: 'Events' };
const LEVEL_NAMES: Record<Level, string> = { debug: 'Everything', info: 'Info and above', warning: 'Warnings and errors', error: 'Errors only' };

function toneOf(row: Entry): string {
  return row.level === 'warning' ? 'jf-event-warning' : row.level === 'error' || row.level === 'critical' ? 'jf-event-error' : '';
}

/** `14:03:22.187` */
export function preciseClock(at: number): string {
  return `${clock(at)}.${String(Math.floor((at - Math.floor(at)) * 1000)).padStart(3, '0')}`;
}

class EventsPane extends Pane {
  private readonly log = new EventLog();
  private readonly table: Table<Entry>;
  private readonly facts = new Facts();
  private readonly detail: Detail;
  private readonly latest: HTMLButtonElement;
  private filter: Filter;
  private unseen = 0;

  constructor(context: PaneContext) {
    super(context, 'events');
    const { level, kinds, search } = context.memory;
    this.filter = {
      level: LEVELS.find(each => each === level) ?? 'info',
      kinds: new Set(Array.isArray(kinds) ? KINDS.filter(kind => kinds.includes(kind)) : KINDS),
      search: typeof search === 'string' ? search : '',
    };
    this.log.set(this.filter);
    this.table = new Table<Entry>({
      label: 'Events, the newest last',
      columns: [
        {
          name: 'at',
          title: 'Time',
          width: 104,
          fill: (cell, row) => cell.text(preciseClock(row.at), 'jf-soft', new Date(row.at * 1000).toLocaleString()),
        },
        {
          name: 'kind',
          title: 'Kind',
          width: 76,
          spare: 2,
          fill: (cell, row) => cell.text(row.kind, 'jf-soft'),
        },
        { name: 'source', title: 'Source', width: 120, grow: 0.6, spare: 1, fill: (cell, row) => cell.text(row.source, '', row.source) },
        {
          name: 'text',
          title: 'What happened',
          width: 160,
          grow: 4,
          fill: (cell, row) => cell.text(firstLine(row.text), '', row.level === 'debug' || row.level === 'info' ? '' : row.level),
        },
      ],
      empty: 'Nothing has happened that these filters let through.',
      rowHeight: 22,
      keyOf: row => String(row.serial),
      toneOf,
      stale: () => this.stale(),
      marked: row => this.marked(row),
      opened: row => {
        if (row.key) {
          this.story(row.key);
        }
      },
    });
    this.table.tail = true;
    this.detail = new Detail('Details', () => {
      this.table.mark(null);
      this.table.focus();
    });
    const levels = new Menu('The least level that is shown', value => this.change({ level: value as Level }));
    levels.set(
      LEVELS.map(each => [each, LEVEL_NAMES[each]] as const),
      this.filter.level,
    );
    this.latest = button('', 'Go to the newest and stay there', () => this.table.toEnd());
    this.latest.classList.add('jf-latest');
    const place = el('div', 'jf-events-place', {}, this.table.node, this.latest);
    this.node.classList.add('jf-column');
    this.node.append(
      toolbar(
        'Which events',
        switches(
          'Kinds',
          KINDS.map(kind => [kind, KIND_NAMES[kind]] as const),
          this.filter.kinds,
          on => this.change({ kinds: on }),
        ),
        levels.node,
        this.facts.node,
        searchField('Find events', this.filter.search, text => this.change({ search: text })),
      ),
      place,
      this.detail.node,
    );
    this.table.show(this.log.shown);
    this.watch('events', data => {
      const before = this.log.shown.length;
      const left = this.log.take(data);
      if (left > 0) {
        this.table.dropped(left);
      }
      this.unseen = this.table.tail || left < 0 ? 0 : this.unseen + Math.max(0, this.log.shown.length - before + left);
      this.table.show(this.log.shown);
      this.stale();
    });
  }

  private change(change: Partial<Filter>): void {
    this.filter = { ...this.filter, ...change };
    this.context.remember({ level: this.filter.level, kinds: [...this.filter.kinds], search: this.filter.search });
    this.log.set(this.filter);
    this.table.show(this.log.shown);
    this.stale();
  }

  private marked(row: Entry | null): void {
    if (row === null) {
      this.detail.close();
      return;
    }
    this.table.tail = false; // what one reads must not run away
    this.detail.open(firstLine(row.text), ...(row.key ? [button('Story', 'What has happened to this task (Enter)', () => this.story(row.key))] : []));
    this.detail.set([
      ['time', `${new Date(row.at * 1000).toLocaleDateString()} ${preciseClock(row.at)}`],
      ['kind', row.kind],
      ['level', row.level],
      ['source', row.source || '–'],
      ['task', row.key || 'none'],
    ]);
    this.detail.text(row.text);
  }

  private story(key: string): void {
    openTask(this.detail, this.context.feed, this.context.cluster, key);
  }

  protected draw(): void {
    const { log } = this;
    this.facts.set([
      [count(log.shown.length), log.shown.length < log.total ? `of ${count(log.total)}` : 'events'],
      ...(log.errors ? ([[count(log.errors), log.errors === 1 ? 'error' : 'errors', 'jf-bad']] as const) : []),
      ...(log.lost ? ([[count(log.lost), 'not kept']] as const) : []),
    ]);
    this.table.draw();
    if (this.table.tail) {
      this.unseen = 0;
    }
    this.latest.hidden = this.table.tail || log.shown.length === 0;
    say(this.latest, this.unseen ? `${count(this.unseen)} new ↓` : 'Newest ↓');
  }
}

function firstLine(text: string): string {
  const end = text.indexOf('\n');
  return end < 0 ? text : `${text.slice(0, end)} …`;
}

export const EVENTS: PaneKind = {
  name: 'events',
  title: 'Events',
  caption: 'Workers that come and go, tasks that fail, log lines of scheduler and workers',
  icon: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16"><g class="jp-icon3 jp-icon-selectable" fill="#616161"><circle cx="2.8" cy="4" r="1.2"/><circle cx="2.8" cy="8" r="1.2"/><circle cx="2.8" cy="12" r="1.2"/><path d="M5.5 3.4h9v1.2h-9zM5.5 7.4h9v1.2h-9zM5.5 11.4h6v1.2h-6z"/></g></svg>`,
  words: ['events', 'logs', 'errors', 'warnings', 'failures', 'workers', 'messages'],
  create: (context: PaneContext): PaneType => new EventsPane(context),
};
