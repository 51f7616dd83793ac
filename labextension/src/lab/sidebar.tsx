/** The sidebar: the clusters there are, and below them the panes of the dashboard. */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import { CommandToolbarButton, ReactWidget, SidePanel, Toolbar, UseSignal, searchIcon } from '@jupyterlab/ui-components';
import { MimeData } from '@lumino/coreutils';
import { Drag } from '@lumino/dragdrop';
import { Signal } from '@lumino/signaling';
import { PanelWithToolbar } from '@jupyterlab/ui-components';
import * as React from 'react';
import type { ClusterInfo } from '../protocol/snapshots';
import { Card, type CardActions } from './card';
import { clientCode } from './clusters';
import { futIcon, paneIcon } from './icons';
import { dragBegins } from './press';
import { matching } from './search';
import { Command, type ICore, type ITabs } from './tokens';

const CELLS = 'application/vnd.jupyter.cells';
const FACTORY = 'application/vnd.lumino.widget-factory';

export function createSidebar(app: JupyterFrontEnd, core: ICore, tabs: ITabs): SidePanel {
  const sidebar = new SidePanel();
  sidebar.id = 'jupyterfut-sidebar';
  sidebar.addClass('jf-sidebar');
  sidebar.title.icon = futIcon;
  sidebar.title.caption = 'Clusters';
  const { commands } = app;
  sidebar.addWidget(section('Clusters', [Command.start, Command.connect], app, new ClusterList(app, core)));
  sidebar.addWidget(section('Dashboard', [Command.layout], app, new PaneList(commands, core, tabs)));
  return sidebar;
}

function section(title: string, buttons: string[], app: JupyterFrontEnd, content: ReactWidget): PanelWithToolbar {
  const toolbar = new Toolbar();
  for (const id of buttons) {
    toolbar.addItem(id, new CommandToolbarButton({ commands: app.commands, id, label: '' }));
  }
  const panel = new PanelWithToolbar({ toolbar });
  panel.title.label = title;
  panel.addClass('jf-section');
  panel.addWidget(content);
  return panel;
}

class ClusterList extends ReactWidget {
  private readonly dragged: Drag[] = [];

  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly core: ICore,
  ) {
    super();
    this.addClass('jf-cluster-list');
    core.settings.changed.connect(this.update, this);
    core.notebooks?.changed.connect(this.update, this);
  }

  override dispose(): void {
    Signal.disconnectReceiver(this);
    super.dispose();
  }

  private readonly actions: CardActions = {
    choose: id => this.core.clusters.choose(id),
    insert: cluster => void this.app.commands.execute(Command.inject, { cluster }),
    layout: cluster => {
      this.core.clusters.choose(cluster);
      void this.app.commands.execute(Command.layout, { cluster });
    },
    stop: cluster => void this.app.commands.execute(Command.stop, { cluster }),
    scale: (id, workers) => this.core.rest.scale(id, workers),
    adapt: (id, bounds) => this.core.rest.adapt(id, bounds),
    drag: (cluster, x, y) => this.drag(cluster, x, y),
  };

  /** Into a notebook: a cell with the code that connects to the cluster, not run. Into an editor: the code. */
  private drag(cluster: ClusterInfo, x: number, y: number): void {
    const source = clientCode(cluster, this.core.clusters.list, this.core.settings.get('clientCode'));
    const mimeData = new MimeData();
    mimeData.setData(CELLS, [{ cell_type: 'code', source, metadata: {}, outputs: [], execution_count: null }]);
    mimeData.setData('text/plain', source);
    startDrag(this.dragged, mimeData, cluster.name, this.node, x, y);
  }

  protected override render(): React.ReactElement {
    const { clusters, notebooks, settings } = this.core;
    return (
      <UseSignal signal={clusters.changed}>
        {() => {
          const { state, text } = clusters.feedState;
          const current = clusters.current;
          return (
            <>
              {state !== 'open' && (
                <p className="jf-list-note" role="status">
                  {text || (state === 'connecting' ? 'Connecting to the server …' : 'The connection to the server has ended.')}
                </p>
              )}
              {state === 'open' && clusters.isReady && clusters.list.length === 0 && (
                <div className="jf-list-empty">
                  <futIcon.react tag="span" width="32px" height="32px" />
                  <p>No cluster is running.</p>
                  <button type="button" className="jf-lab-button jf-mod-accept" onClick={() => void this.app.commands.execute(Command.start)}>
                    Start a cluster…
                  </button>
                  <p className="jf-list-hint">
                    Those that a notebook starts with <code>Client()</code> are listed here, too.
                  </p>
                </div>
              )}
              <ul className="jf-clusters" aria-label="Clusters">
                {clusters.list.map(cluster => (
                  <Card
                    key={cluster.id}
                    cluster={cluster}
                    isCurrent={cluster === current}
                    isUsedHere={clusters.isUsedHere(cluster)}
                    isPinned={settings.get('autoAttach') !== '' && settings.get('autoAttach') === cluster.name}
                    canInsert={notebooks?.canInject ?? false}
                    actions={this.actions}
                  />
                ))}
              </ul>
            </>
          );
        }}
      </UseSignal>
    );
  }
}

class PaneList extends ReactWidget {
  private readonly dragged: Drag[] = [];

  constructor(
    private readonly commands: JupyterFrontEnd['commands'],
    private readonly core: ICore,
    private readonly tabs: ITabs,
  ) {
    super();
    this.addClass('jf-pane-list');
    for (const signal of [tabs.tracker.widgetAdded, tabs.tracker.widgetUpdated, tabs.tracker.currentChanged]) {
      signal.connect(this.update, this);
    }
    tabs.tracker.widgetAdded.connect((_, tab) => tab.disposed.connect(() => this.update(), this));
  }

  override dispose(): void {
    Signal.disconnectReceiver(this);
    super.dispose();
  }

  /** For which cluster a pane is opened from here: it follows the notebook, or stays with the one at hand. */
  private get cluster(): string {
    return this.core.settings.get('followNotebook') ? '' : (this.core.clusters.current?.id ?? '');
  }

  protected override render(): React.ReactElement {
    return (
      <Panes
        kinds={this.tabs.kinds.map(kind => ({ kind, icon: paneIcon(kind.name, kind.icon), open: this.tabs.isOpen(kind.name) }))}
        open={pane => void this.commands.execute(Command.open, { pane, cluster: this.cluster })}
        drag={(kind, x, y) => {
          const mimeData = new MimeData();
          mimeData.setData(FACTORY, () => this.tabs.create(kind.name, { cluster: this.cluster }));
          startDrag(this.dragged, mimeData, kind.title, this.node, x, y);
        }}
      />
    );
  }
}

interface PanesProps {
  kinds: { kind: ITabs['kinds'][number]; icon: ReturnType<typeof paneIcon>; open: boolean }[];
  open(pane: string): void;
  drag(kind: ITabs['kinds'][number], x: number, y: number): void;
}

function Panes({ kinds, open, drag }: PanesProps): React.ReactElement {
  const [wanted, setWanted] = React.useState('');
  const list = React.useRef<HTMLUListElement>(null);
  const found = matching(kinds, wanted, entry => [entry.kind.title, ...entry.kind.words, entry.kind.caption]);
  const step = (from: Element | null, by: number): void => {
    const buttons = [...(list.current?.querySelectorAll('button') ?? [])];
    buttons[Math.min(buttons.length - 1, Math.max(0, from ? buttons.indexOf(from as HTMLButtonElement) + by : 0))]?.focus();
  };
  return (
    <>
      <label className="jf-search-box" data-lm-suppress-shortcuts="true">
        <searchIcon.react tag="span" width="14px" height="14px" />
        <input
          type="search"
          placeholder="Search panes"
          aria-label="Search panes"
          value={wanted}
          onChange={event => setWanted(event.target.value)}
          onKeyDown={event => {
            if (event.key === 'Enter' && found.length > 0) {
              open(found[0].kind.name);
            } else if (event.key === 'ArrowDown') {
              event.preventDefault();
              step(null, 0);
            } else if (event.key === 'Escape') {
              setWanted('');
            }
          }}
        />
      </label>
      <ul className="jf-panes" ref={list} aria-label="Panes">
        {found.map(({ kind, icon, open: isOpen }) => (
          <li key={kind.name}>
            <button
              type="button"
              data-pane={kind.name}
              data-lm-suppress-shortcuts="true"
              title={kind.caption}
              className={isOpen ? 'jf-mod-open' : ''}
              onClick={() => open(kind.name)}
              onKeyDown={event => {
                if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
                  event.preventDefault();
                  step(event.currentTarget, event.key === 'ArrowDown' ? 1 : -1);
                }
              }}
              onPointerDown={event => dragBegins(event, (x, y) => drag(kind, x, y))}
            >
              <icon.react tag="span" width="16px" height="16px" />
              <span className="jf-pane-title">{kind.title}</span>
              {isOpen && <span className="jf-pane-open" aria-label="open" />}
            </button>
          </li>
        ))}
      </ul>
      {found.length === 0 && <p className="jf-list-note">{wanted ? 'No pane has this word.' : 'There are no panes.'}</p>}
    </>
  );
}

/** Begin to drag something that is shown as a name under the mouse. `running` holds it while it lasts. */
function startDrag(running: Drag[], mimeData: MimeData, name: string, source: Node, x: number, y: number): void {
  const dragImage = document.createElement('div');
  dragImage.className = 'jf-drag';
  dragImage.textContent = name;
  const drag = new Drag({ mimeData, dragImage, proposedAction: 'copy', supportedActions: 'copy-move', source });
  running.push(drag);
  void drag.start(x, y).then(() => {
    running.splice(running.indexOf(drag), 1);
    drag.dispose();
  });
}
