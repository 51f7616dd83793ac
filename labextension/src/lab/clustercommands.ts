/** The commands about clusters: from buttons, menus, the palette, and those of other extensions. Each asks before it takes something away. */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Clipboard, Dialog, MainAreaWidget, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { addIcon, copyIcon, linkIcon, refreshIcon, stopIcon } from '@jupyterlab/ui-components';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { count } from '../panes/text';
import type { ClusterInfo } from '../protocol/snapshots';
import { stopWord } from './card';
import { clientCode, notebooksOf, unfinished } from './clusters';
import { askConnection } from './connectdialog';
import { futIcon, insertIcon, layoutIcon, pinIcon } from './icons';
import { LogView } from './logs';
import type { ClusterWish } from './rest';
import { askCluster } from './startdialog';
import { Command, type ICore, type ITabs } from './tokens';

type Args = ReadonlyPartialJSONObject;

export function addClusterCommands(app: JupyterFrontEnd, core: ICore, tabs: ITabs): void {
  const { commands, shell } = app;
  const { clusters, rest, settings, notebooks } = core;

  /** The cluster that is meant: by an argument, by the card under the mouse, or the one at hand. */
  const meant = (args: Args): ClusterInfo | null => {
    if (typeof args.cluster === 'string') {
      return clusters.byId(args.cluster) ?? null;
    }
    const card = args.clicked === true ? app.contextMenuHitTest(node => node.dataset.cluster !== undefined) : undefined;
    return card ? (clusters.byId(card.dataset.cluster ?? '') ?? null) : clusters.current;
  };
  const nameOf = (args: Args): string => meant(args)?.name ?? '';
  const isThere = (args: Args): boolean => meant(args) !== null;
  const canChange = (args: Args): boolean => {
    const cluster = meant(args);
    return cluster !== null && cluster.owner !== 'remote' && cluster.state !== 'stopping';
  };

  commands.addCommand(Command.start, {
    label: args => (args.palette ? 'Start a Cluster…' : 'Start Cluster…'),
    caption: 'Start a cluster on this machine, or over SSH',
    icon: args => (args.palette ? undefined : addIcon),
    execute: async args => {
      const wish = typeof args.type === 'string' ? (args as ClusterWish) : await askCluster(core);
      return wish ? begin(core, wish) : null;
    },
  });

  commands.addCommand(Command.connect, {
    label: 'Connect to a Scheduler…',
    caption: 'List a scheduler on another machine, given by its address and token',
    icon: args => (args.palette ? undefined : linkIcon),
    execute: () => askConnection(core),
  });

  commands.addCommand(Command.stop, {
    label: args => {
      const cluster = meant(args);
      const word = cluster ? stopWord(cluster) : 'Stop';
      return word === 'Stop' ? 'Stop Cluster…' : word;
    },
    caption: args => `Stop the cluster ${nameOf(args)}`,
    icon: args => (args.palette ? undefined : stopIcon),
    isEnabled: isThere,
    execute: async args => {
      const cluster = meant(args);
      if (!cluster) {
        return;
      }
      const remote = cluster.owner === 'remote';
      if (stopWord(cluster) === 'Stop' && args.sure !== true && !(await confirmStop(cluster))) {
        return;
      }
      await shown(`${cluster.name} was not stopped`, () => (remote ? rest.disconnect(cluster.id) : rest.stop(cluster.id)));
    },
  });

  commands.addCommand(Command.restart, {
    label: 'Restart Workers…',
    caption: args => `Replace all workers of ${nameOf(args)} by fresh ones; every future is cancelled`,
    icon: args => (args.palette ? undefined : refreshIcon),
    isEnabled: args => canChange(args),
    execute: async args => {
      const cluster = meant(args);
      if (!cluster) {
        return;
      }
      const { button } = await showDialog({
        title: `Restart the workers of ${cluster.name}?`,
        body: `All ${count(cluster.summary?.workers ?? 0)} workers are replaced by fresh ones. Every future is cancelled, and what they hold is lost.`,
        buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: 'Restart' })],
      });
      if (button.accept) {
        await shown(`The workers of ${cluster.name} were not restarted`, () => rest.restart(cluster.id));
      }
    },
  });

  commands.addCommand(Command.scale, {
    label: 'Scale Cluster',
    isVisible: () => false, // the sidebar has a place for it; this is for other extensions
    execute: async args => {
      const cluster = meant(args);
      if (cluster && typeof args.workers === 'number') {
        await rest.scale(cluster.id, args.workers);
      }
    },
  });

  commands.addCommand(Command.logs, {
    label: 'Show Logs',
    caption: args => `What the scheduler and the workers of ${nameOf(args)} have logged`,
    isEnabled: isThere,
    execute: args => {
      const cluster = meant(args);
      if (!cluster) {
        return;
      }
      const id = `jupyterfut-logs-${cluster.id}`;
      const widget = new MainAreaWidget({ content: new LogView(() => rest.logs(cluster.id)) });
      widget.id = `${id}-${Date.now()}`;
      widget.title.label = `Logs – ${cluster.name}`;
      widget.title.icon = futIcon;
      widget.title.closable = true;
      widget.content.fill(widget.toolbar);
      void shell.add(widget, tabs.area, { activate: true });
      shell.activateById(widget.id);
    },
  });

  const codeFor = (cluster: ClusterInfo): string => clientCode(cluster, clusters.list, settings.get('clientCode'));

  commands.addCommand(Command.inject, {
    label: 'Insert Client Code',
    caption: args => `Connect the notebook at hand to ${nameOf(args)}`,
    icon: args => (args.palette ? undefined : insertIcon),
    isEnabled: args => isThere(args) && (notebooks?.canInject ?? false),
    execute: async args => {
      const cluster = meant(args);
      if (cluster && notebooks) {
        await shown('The code was not inserted', () => notebooks.inject(codeFor(cluster), settings.get('runInserted')));
      }
    },
  });

  commands.addCommand(Command.copy, {
    label: 'Copy Client Code',
    caption: args => `Copy the code that connects to ${nameOf(args)}`,
    icon: args => (args.palette ? undefined : copyIcon),
    isEnabled: isThere,
    execute: args => {
      const cluster = meant(args);
      if (cluster) {
        Clipboard.copyToSystem(codeFor(cluster));
      }
    },
  });

  commands.addCommand(Command.autoAttach, {
    label: 'Connect New Notebooks',
    caption: args => `New notebooks begin with a client of ${nameOf(args)}`,
    icon: args => (args.palette ? undefined : pinIcon),
    isEnabled: args => isThere(args) && meant(args)?.owner !== 'remote',
    isToggleable: true,
    isToggled: args => nameOf(args) !== '' && settings.get('autoAttach') === nameOf(args),
    execute: async args => {
      const name = nameOf(args);
      if (name !== '') {
        await settings.set('autoAttach', settings.get('autoAttach') === name ? '' : name);
        commands.notifyCommandChanged(Command.autoAttach);
      }
    },
  });

  commands.addCommand(Command.goToCell, {
    label: 'Go to Cell',
    isVisible: () => false,
    execute: async args => {
      if (notebooks) {
        await shown('The cell was not found', () => notebooks.goTo(String(args.session ?? ''), String(args.cellId ?? '')));
      }
    },
  });

  commands.addCommand(Command.layout, {
    label: 'Open Dashboard Layout',
    caption: 'Open the panes of the default layout beside what is at hand',
    icon: args => (args.palette ? undefined : layoutIcon),
    execute: args => {
      const cluster = meant(args);
      if (cluster) {
        clusters.choose(cluster.id);
      }
      return shown('Not all panes were opened', async () =>
        tabs.arrange(settings.get('layout'), settings.get('followNotebook') ? '' : (cluster?.id ?? '')),
      );
    },
  });

  const refresh = (): void => commands.notifyCommandChanged();
  clusters.changed.connect(changes(clusters.list.length, refresh, () => `${clusters.current?.id}${clusters.list.length}`));
  notebooks?.changed.connect(refresh);
}

/** Calls `then` when what `look` gives is different from last time: menus are not drawn anew at each number. */
function changes(first: unknown, then: () => void, look: () => unknown): () => void {
  let last = first;
  return () => {
    const now = look();
    if (now !== last) {
      last = now;
      then();
    }
  };
}

/** Start a cluster; the list shows how far it is. What was wished for can be changed when it fails. */
async function begin(core: ICore, wish: ClusterWish): Promise<ClusterInfo | null> {
  for (;;) {
    try {
      const cluster = await core.rest.start(wish);
      core.clusters.choose(cluster.id);
      return cluster;
    } catch (error) {
      const again = await askCluster(core, wish, error instanceof Error ? error.message : String(error));
      if (!again) {
        return null;
      }
      wish = again;
    }
  }
}

async function confirmStop(cluster: ClusterInfo): Promise<boolean> {
  const tasks = cluster.summary?.tasks;
  const lost = [
    unfinished(tasks) > 0 ? `${count(unfinished(tasks))} unfinished tasks` : '',
    tasks && tasks.memory > 0 ? `${count(tasks.memory)} results in memory` : '',
  ].filter(part => part !== '');
  const users = notebooksOf(cluster);
  const body = [
    lost.length > 0 ? `It has ${lost.join(' and ')}, which are lost.` : 'It is idle.',
    users.length > 0 ? `Used by ${users.join(', ')}.` : '',
  ];
  const { button } = await showDialog({
    title: `Stop ${cluster.name}?`,
    body: body.join(' ').trim(),
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: 'Stop' })],
  });
  return button.accept;
}

/** Do it; what goes wrong is shown. */
async function shown(title: string, act: () => Promise<unknown>): Promise<void> {
  try {
    await act();
  } catch (error) {
    await showErrorMessage(title, error instanceof Error ? error.message : String(error));
  }
}
