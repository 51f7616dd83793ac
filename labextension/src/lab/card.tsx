/**
 * One cluster in the sidebar: a name and a line; the one at hand also shows its load, its tasks and what changes its size. All numbers stand in a
 * fixed place, so that nothing jumps while they change.
 */
import { ellipsesIcon, notebookIcon, stopIcon, type LabIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { bytes, count, percent, short } from '../panes/text';
import type { ClusterInfo, Summary } from '../protocol/snapshots';
import { notebooksOf, originOf, toneOf, unfinished } from './clusters';
import { insertIcon, layoutIcon, pinIcon } from './icons';
import { dragBegins } from './press';
import { SizeControl } from './size';

/** What a card may cause. */
export interface CardActions {
  choose(id: string): void;
  insert(id: string): void;
  layout(id: string): void;
  stop(id: string): void;
  scale(id: string, workers: number): Promise<unknown>;
  adapt(id: string, bounds: { minimum: number; maximum: number | null } | null): Promise<unknown>;
  drag(cluster: ClusterInfo, x: number, y: number): void;
}

interface CardProps {
  cluster: ClusterInfo;
  isCurrent: boolean;
  isUsedHere: boolean;
  isPinned: boolean;
  canInsert: boolean;
  actions: CardActions;
}

export function Card({ cluster, isCurrent, isUsedHere, isPinned, canInsert, actions }: CardProps): React.ReactElement {
  const { id, name, summary } = cluster;
  const tone = toneOf(cluster);
  return (
    <li
      className={`jf-cluster${isCurrent ? ' jf-mod-current' : ''}`}
      data-cluster={id}
      onPointerDown={event => {
        if (!(event.target as Element).closest('button:not(.jf-cluster-name), input, label')) {
          dragBegins(event, (x, y) => actions.drag(cluster, x, y));
        }
      }}
    >
      <div className="jf-cluster-head">
        <button
          type="button"
          className="jf-cluster-name"
          aria-current={isCurrent}
          title={`${name}: ${originOf(cluster)}\n${cluster.address}`}
          onClick={() => actions.choose(id)}
        >
          <span className="jf-lab-dot" data-tone={tone} />
          <span className="jf-cluster-title">{name}</span>
        </button>
        {isPinned && <Sign icon={pinIcon} text="New notebooks begin with a client of this cluster" />}
        {isUsedHere && <Sign icon={notebookIcon} text="The notebook at hand uses this cluster" accent />}
        <MoreButton />
      </div>
      <p className="jf-cluster-line">
        {cluster.state === 'running' || cluster.state === '' ? sizeLine(cluster) : <span className={`jf-text-${tone}`}>{stateLine(cluster)}</span>}
      </p>
      {!isCurrent && summary && unfinished(summary.tasks) > 0 && <Strip summary={summary} />}
      {isCurrent && summary && (
        <div className="jf-cluster-more">
          <Meter label="CPU" value={summary.cpu} limit={summary.threads} text={`${summary.cpu.toFixed(1)} / ${count(summary.threads)}`} />
          <Meter
            label="Memory"
            value={summary.memory}
            limit={summary.memory_limit}
            text={summary.memory_limit > 0 ? `${bytes(summary.memory)} / ${bytes(summary.memory_limit)}` : bytes(summary.memory)}
            note={summary.spilled > 0 ? `${bytes(summary.spilled)} of results are on disk` : ''}
          />
          <Strip summary={summary} />
          <Tasks summary={summary} />
          {summary.can_scale && cluster.state === 'running' && (
            <SizeControl
              key={id}
              workers={summary.workers}
              adaptive={summary.adaptive}
              scale={workers => actions.scale(id, workers)}
              adapt={bounds => actions.adapt(id, bounds)}
            />
          )}
        </div>
      )}
      {isCurrent && (
        <div className="jf-cluster-actions">
          <Action
            icon={insertIcon}
            label="Insert"
            text="Insert code that connects the notebook at hand, and run it"
            off={!canInsert}
            act={() => actions.insert(id)}
          />
          <Action icon={layoutIcon} label="Dashboard" text="Open the default layout of panes" act={() => actions.layout(id)} />
          <Action
            icon={stopIcon}
            label={stopWord(cluster)}
            text={cluster.owner === 'remote' ? 'List it no more; it goes on' : 'Stop the cluster'}
            off={cluster.state === 'stopping'}
            act={() => actions.stop(id)}
          />
        </div>
      )}
    </li>
  );
}

/** `4 workers · 8 threads · study.ipynb` */
function sizeLine(cluster: ClusterInfo): string {
  const { summary } = cluster;
  const users = notebooksOf(cluster);
  const parts = summary
    ? [
        `${count(summary.workers)} ${summary.workers === 1 ? 'worker' : 'workers'}`,
        `${count(summary.threads)} ${summary.threads === 1 ? 'thread' : 'threads'}`,
      ]
    : ['connecting …'];
  if (users.length > 0) {
    parts.push(users.length > 1 ? `${users[0]} and ${users.length - 1} more` : users[0]);
  } else if (cluster.owner === 'remote' || cluster.owner === 'detached') {
    parts.push(cluster.owner);
  }
  return parts.join(' · ');
}

function stateLine(cluster: ClusterInfo): string {
  const words: Record<string, string> = {
    starting: 'Starting …',
    stopping: 'Stopping …',
    lost: 'The connection is lost',
    silent: 'It does not answer',
    incompatible: 'It speaks another version',
  };
  return cluster.text || (words[cluster.state] ?? cluster.state);
}

/** How tasks are spread over the states. */
const STATES = [
  ['erred', 'erred', 'failed'],
  ['memory', 'memory', 'results in memory'],
  ['processing', 'processing', 'assigned or running'],
  ['queued', 'waiting', 'queued'],
  ['waiting', 'waiting', 'waiting for others'],
] as const;

function Strip({ summary }: { summary: Summary }): React.ReactElement {
  const { tasks } = summary;
  const total = STATES.reduce((sum, [state]) => sum + tasks[state], 0);
  const text = STATES.filter(([state]) => tasks[state] > 0)
    .map(([state, , words]) => `${count(tasks[state])} ${words}`)
    .join(', ');
  return (
    <div className="jf-cluster-strip" role="img" aria-label={text || 'no tasks'} title={text || 'No tasks'}>
      {total > 0 &&
        STATES.map(([state, tone]) => tasks[state] > 0 && <span key={state} data-tone={tone} style={{ flexGrow: tasks[state] / total }} />)}
    </div>
  );
}

function Tasks({ summary }: { summary: Summary }): React.ReactElement {
  const { tasks, done, rate } = summary;
  return (
    <div className="jf-cluster-tasks">
      <span>
        <b>{short(done)}</b> done
      </span>
      <span>
        <b>{short(unfinished(tasks))}</b> to do
      </span>
      {tasks.erred > 0 && (
        <span className="jf-text-bad">
          <b>{short(tasks.erred)}</b> failed
        </span>
      )}
      <span className="jf-cluster-rate">{rate >= 0.05 ? `${short(rate)}/s` : ''}</span>
    </div>
  );
}

interface MeterProps {
  label: string;
  value: number;
  /** 0: there is none */
  limit: number;
  text: string;
  note?: string;
}

function Meter({ label, value, limit, text, note = '' }: MeterProps): React.ReactElement {
  const share = limit > 0 ? Math.min(1, value / limit) : 0;
  const shown = limit > 0 ? `${percent(value / limit)}, ${text}` : text;
  return (
    <div className="jf-meter" title={note || undefined}>
      <span className="jf-meter-label">{label}</span>
      <span
        className="jf-meter-track"
        role="meter"
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={1}
        aria-valuenow={share}
        aria-valuetext={shown}
      >
        <span style={{ width: `${share * 100}%` }} data-tone={label === 'Memory' && share > 0.8 ? 'bad' : undefined} />
      </span>
      <span className="jf-meter-text">{text}</span>
    </div>
  );
}

function Sign({ icon, text, accent = false }: { icon: LabIcon; text: string; accent?: boolean }): React.ReactElement {
  return (
    <span className={`jf-sign${accent ? ' jf-mod-accent' : ''}`} role="img" aria-label={text} title={text}>
      <icon.react tag="span" width="14px" height="14px" />
    </span>
  );
}

interface ActionProps {
  icon: LabIcon;
  label: string;
  text: string;
  off?: boolean;
  act(): void;
}

function Action({ icon, label, text, off = false, act }: ActionProps): React.ReactElement {
  return (
    <button type="button" className="jf-text-button" title={text} disabled={off} onClick={act}>
      <icon.react tag="span" width="14px" height="14px" />
      {label}
    </button>
  );
}

/** What ending it is called. */
export function stopWord(cluster: ClusterInfo): string {
  return cluster.owner === 'remote' ? 'Disconnect' : cluster.address === '' && cluster.state === 'lost' ? 'Dismiss' : 'Stop';
}

/** Opens the context menu, for those who have no right button. */
function MoreButton(): React.ReactElement {
  return (
    <button
      type="button"
      className="jf-icon-button"
      aria-label="More actions"
      aria-haspopup="menu"
      title="More actions"
      onClick={event => {
        const { left, bottom } = event.currentTarget.getBoundingClientRect();
        event.currentTarget.dispatchEvent(new MouseEvent('contextmenu', { bubbles: true, cancelable: true, clientX: left, clientY: bottom }));
      }}
    >
      <ellipsesIcon.react tag="span" width="16px" height="16px" />
    </button>
  );
}
