/** The cluster at hand in the status bar: a dot, its name, and what it does. A click shows the sidebar. */
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import * as React from 'react';
import { count, short } from '../panes/text';
import type { ClusterInfo } from '../protocol/snapshots';
import { toneOf, unfinished, type Clusters } from './clusters';

export class StatusItem extends ReactWidget {
  constructor(
    private readonly clusters: Clusters,
    private readonly clicked: () => void,
  ) {
    super();
    this.addClass('jf-status');
    this.addClass('jp-mod-highlighted');
  }

  protected override render(): React.ReactElement {
    return (
      <UseSignal signal={this.clusters.changed}>
        {() => {
          const cluster = this.clusters.current;
          return cluster ? (
            <button type="button" title={tooltip(cluster)} onClick={this.clicked}>
              <span className="jf-lab-dot" data-tone={toneOf(cluster)} />
              <span>{cluster.name}</span>
              <span className="jf-status-work">{workLine(cluster)}</span>
            </button>
          ) : (
            <></>
          );
        }}
      </UseSignal>
    );
  }
}

/** `4 workers`, or `320 of 1.2k tasks` while there is work. */
export function workLine(cluster: ClusterInfo): string {
  const { summary } = cluster;
  if (cluster.state !== 'running' || !summary) {
    return cluster.state === 'running' ? '' : cluster.state;
  }
  const todo = unfinished(summary.tasks);
  const workers = `${count(summary.workers)} ${summary.workers === 1 ? 'worker' : 'workers'}`;
  return todo > 0 ? `${workers} · ${short(todo)} to do` : workers;
}

function tooltip(cluster: ClusterInfo): string {
  const { summary } = cluster;
  const lines = [`${cluster.name} at ${cluster.address}`];
  if (summary) {
    lines.push(`${count(summary.tasks.processing)} tasks at work, ${count(summary.tasks.memory)} results held, ${count(summary.done)} done`);
  }
  return lines.join('\n');
}
