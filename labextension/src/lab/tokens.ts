/** What the plugins of this extension share. It is nobody else's. */
import { Token } from '@lumino/coreutils';
import type { Clusters } from './clusters';
import type { Notebooks } from './notebooks';
import type { Settings } from './options';
import type { PaneTabs } from './tabs';
import type { Rest } from './rest';

/** The way to the server, and what is known from there. */
export interface ICore {
  readonly clusters: Clusters;
  readonly rest: Rest;
  readonly settings: Settings;
  /** The notebooks; null where the front end has none. */
  readonly notebooks: Notebooks | null;
}

export const ICore = new Token<ICore>('jupyterfut:ICore', 'What the plugins of jupyterfut know of clusters and notebooks.');

export type ITabs = PaneTabs;

export const ITabs = new Token<ITabs>('jupyterfut:ITabs', 'The panes of jupyterfut that are open.');

/** The commands. What they need is in their arguments; without, it is the cluster and the notebook at hand. */
export const Command = {
  start: 'jupyterfut:start-cluster',
  connect: 'jupyterfut:connect-cluster',
  stop: 'jupyterfut:stop-cluster',
  restart: 'jupyterfut:restart-workers',
  scale: 'jupyterfut:scale-cluster',
  logs: 'jupyterfut:show-logs',
  inject: 'jupyterfut:insert-client',
  copy: 'jupyterfut:copy-client',
  autoAttach: 'jupyterfut:attach-new-notebooks',
  open: 'jupyterfut:open-pane',
  layout: 'jupyterfut:open-layout',
  reveal: 'jupyterfut:show-clusters',
  goToCell: 'jupyterfut:go-to-cell',
} as const;
