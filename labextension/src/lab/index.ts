/**
 * The JupyterLab extension: its plugins. Each asks for what it cannot do without; everything else is optional, so that they also work in Notebook 7.
 * They meet in the first one, which holds the one connection to the server.
 */
import { ILabShell, ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, IThemeManager } from '@jupyterlab/apputils';
import { IMainMenu } from '@jupyterlab/mainmenu';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import { MenuSvg } from '@jupyterlab/ui-components';
import { Attaching } from './attach';
import { addClusterCommands } from './clustercommands';
import { Clusters } from './clusters';
import { connect } from './connection';
import { Notebooks } from './notebooks';
import { Notifier } from './notifications';
import { Settings } from './options';
import { addPaneCommands } from './panecommands';
import { Rest } from './rest';
import { createSidebar } from './sidebar';
import { StatusItem } from './status';
import { PaneTabs } from './tabs';
import { Command, ICore, ITabs } from './tokens';
import './lab.css';

const SETTINGS = 'jupyterfut:plugin';
const CATEGORY = 'Clusters';

/** The connection, the clusters, the settings, and which cluster is at hand. */
const core: JupyterFrontEndPlugin<ICore> = {
  id: SETTINGS,
  description: 'Clusters of jupyterfut: what is known of them, and which one the notebook at hand uses.',
  autoStart: true,
  provides: ICore,
  optional: [INotebookTracker, ISettingRegistry],
  activate: (app: JupyterFrontEnd, tracker: INotebookTracker | null, registry: ISettingRegistry | null): ICore => {
    const clusters = new Clusters(connect(app.serviceManager.serverSettings));
    const notebooks = tracker && new Notebooks(app, tracker);
    const settings = new Settings();
    if (notebooks) {
      const follow = (): void => clusters.follow(notebooks.kernel);
      notebooks.changed.connect(follow);
      follow();
    }
    registry?.load(SETTINGS).then(
      loaded => settings.use(loaded),
      (error: unknown) => console.error('jupyterfut: the settings cannot be read, the defaults are used', error),
    );
    return { clusters, rest: new Rest(app.serviceManager.serverSettings), settings, notebooks };
  },
};

/** The panes as tabs, and all commands. */
const panes: JupyterFrontEndPlugin<ITabs> = {
  id: 'jupyterfut:panes',
  description: 'Panes of the dashboard as tabs, and the commands of jupyterfut.',
  autoStart: true,
  provides: ITabs,
  requires: [ICore],
  optional: [ILabShell, ILayoutRestorer, ICommandPalette, IThemeManager, IMainMenu],
  activate: (
    app: JupyterFrontEnd,
    core: ICore,
    shell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    themes: IThemeManager | null,
    menu: IMainMenu | null,
  ): ITabs => {
    const tabs = new PaneTabs(app, shell, core);
    addClusterCommands(app, core, tabs);
    addPaneCommands(app, core, tabs);
    if (restorer) {
      void restorer.restore(tabs.tracker, {
        command: Command.open,
        args: tab => ({ pane: tab.kind.name, cluster: tab.cluster, memory: JSON.parse(JSON.stringify(tab.memory)) }),
        name: tab => `${tab.kind.name}:${tab.cluster}`,
        when: app.serviceManager.ready,
      });
    }
    themes?.themeChanged.connect(() => tabs.retheme());
    const entries = tabs.kinds.map(kind => ({ command: Command.open, args: { pane: kind.name } }));
    if (palette) {
      const general = [Command.start, Command.connect, Command.stop, Command.restart, Command.logs, Command.inject, Command.copy, Command.layout];
      for (const command of [...general, Command.reveal]) {
        palette.addItem({ command, category: CATEGORY, args: { palette: true } });
      }
      for (const { command, args } of entries) {
        palette.addItem({ command, category: CATEGORY, args: { ...args, palette: true } });
      }
    }
    if (menu) {
      const submenu = new MenuSvg({ commands: app.commands });
      submenu.id = 'jp-mainmenu-jupyterfut-panes';
      submenu.title.label = 'Cluster Panes';
      submenu.addItem({ command: Command.layout, args: { palette: true } });
      submenu.addItem({ type: 'separator' });
      for (const { command, args } of entries) {
        submenu.addItem({ command, args });
      }
      menu.viewMenu.addGroup([{ type: 'submenu', submenu }], 30);
      const items = [Command.start, Command.connect, Command.inject];
      menu.kernelMenu.addGroup(
        items.map(command => ({ command, args: { palette: true } })),
        40,
      );
    }
    return tabs;
  },
};

const sidebar: JupyterFrontEndPlugin<void> = {
  id: 'jupyterfut:sidebar',
  description: 'The sidebar with clusters and panes.',
  autoStart: true,
  requires: [ICore, ITabs],
  optional: [ILayoutRestorer],
  activate: (app: JupyterFrontEnd, core: ICore, tabs: ITabs, restorer: ILayoutRestorer | null): void => {
    const widget = createSidebar(app, core, tabs);
    app.shell.add(widget, 'left', { rank: 250, type: 'Clusters' });
    restorer?.add(widget, widget.id);
    const menu = [Command.inject, Command.copy, Command.layout, Command.autoAttach, Command.logs, Command.restart, Command.stop];
    menu.forEach((command, rank) => {
      app.contextMenu.addItem({ command, args: { clicked: true }, selector: '.jf-cluster', rank });
      if (command === Command.autoAttach) {
        for (const offset of [-0.5, 0.5]) {
          app.contextMenu.addItem({ type: 'separator', selector: '.jf-cluster', rank: rank + offset });
        }
      }
    });
    app.contextMenu.addItem({ type: 'separator', selector: '.jf-cluster-list', rank: 19 });
    app.contextMenu.addItem({ command: Command.start, selector: '.jf-cluster-list', rank: 20 });
    app.contextMenu.addItem({ command: Command.connect, selector: '.jf-cluster-list', rank: 21 });
  },
};

const status: JupyterFrontEndPlugin<void> = {
  id: 'jupyterfut:status',
  description: 'The cluster at hand in the status bar.',
  autoStart: true,
  requires: [ICore],
  optional: [IStatusBar], // Notebook 7 has none
  activate: (app: JupyterFrontEnd, { clusters, settings }: ICore, bar: IStatusBar | null): void => {
    if (!bar) {
      return;
    }
    const item = new StatusItem(clusters, () => app.shell.activateById('jupyterfut-sidebar'));
    bar.registerStatusItem('jupyterfut:status', {
      item,
      align: 'left',
      rank: 5,
      isActive: () => settings.get('statusBar') && clusters.current !== null,
      activeStateChanged: clusters.changed,
    });
  },
};

const notifications: JupyterFrontEndPlugin<void> = {
  id: 'jupyterfut:notifications',
  description: 'Tells when a submitted cell has ended.',
  autoStart: true,
  requires: [ICore],
  activate: (app: JupyterFrontEnd, core: ICore): void => {
    if (core.notebooks) {
      new Notifier(core, core.notebooks, app.commands);
    }
  },
};

const attach: JupyterFrontEndPlugin<void> = {
  id: 'jupyterfut:attach',
  description: 'Connects new notebooks to the cluster that the settings name.',
  autoStart: true,
  requires: [ICore],
  optional: [INotebookTracker], // not on Notebook 7's page of files
  activate: (app: JupyterFrontEnd, { settings }: ICore, tracker: INotebookTracker | null): void => {
    if (tracker) {
      new Attaching(tracker, app.serviceManager, () => settings.get('autoAttach'));
    }
  },
};

const plugins: JupyterFrontEndPlugin<unknown>[] = [core, panes, sidebar, status, notifications, attach];

export default plugins;
