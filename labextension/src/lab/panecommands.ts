/** The commands about panes, and what the palette and the launcher list of them. */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import { paneIcon } from './icons';
import { Command, type ICore, type ITabs } from './tokens';

export function addPaneCommands(app: JupyterFrontEnd, core: ICore, tabs: ITabs): void {
  const { commands } = app;
  const kindOf = (args: { pane?: unknown }): ITabs['kinds'][number] | undefined => tabs.kinds.find(kind => kind.name === args.pane);

  commands.addCommand(Command.open, {
    label: args => {
      const title = kindOf(args)?.title ?? 'Pane';
      return args.palette ? `Open ${title}` : title;
    },
    caption: args => kindOf(args)?.caption ?? '',
    icon: args => {
      const kind = args.palette ? undefined : kindOf(args);
      return kind && paneIcon(kind.name, kind.icon);
    },
    isVisible: args => kindOf(args) !== undefined,
    execute: args => {
      const cluster = typeof args.cluster === 'string' ? args.cluster : core.settings.get('followNotebook') ? '' : (core.clusters.current?.id ?? '');
      return tabs.open(String(args.pane), {
        cluster,
        memory: args.memory === undefined ? undefined : (args.memory as Record<string, unknown>),
        activate: args.activate !== false,
      });
    },
  });

  commands.addCommand(Command.reveal, {
    label: 'Show Clusters',
    execute: () => app.shell.activateById('jupyterfut-sidebar'),
  });
}
