/** The settings, as `schema/plugin.json` describes them: read in one place, with the same defaults where there is no registry. */
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Signal, type ISignal } from '@lumino/signaling';
import type { ClusterWish } from './rest';

/** One pane of the default layout. */
export interface Place {
  pane: string;
  mode?: 'split-left' | 'split-right' | 'split-top' | 'split-bottom' | 'tab-after' | 'tab-before';
  /** The pane beside which it goes, or '' for what is at hand. */
  ref?: string;
}

export interface Options {
  autoAttach: string;
  followNotebook: boolean;
  clientCode: string;
  runInserted: boolean;
  notify: 'unseen' | 'always' | 'never';
  notifyAfter: number;
  statusBar: boolean;
  startWith: Partial<ClusterWish>;
  layout: readonly Place[];
}

export const DEFAULTS: Options = {
  autoAttach: '',
  followNotebook: true,
  clientCode: 'from jupyterfut import Client\n\nclient = Client({cluster})\nclient',
  runInserted: true,
  notify: 'unseen',
  notifyAfter: 10,
  statusBar: true,
  startWith: {},
  layout: [
    { pane: 'task-stream', mode: 'split-right', ref: '' },
    { pane: 'progress', mode: 'split-bottom', ref: 'task-stream' },
    { pane: 'workers', mode: 'split-bottom', ref: 'progress' },
  ],
};

export class Settings {
  private registered: ISettingRegistry.ISettings | null = null;
  private readonly signal = new Signal<this, void>(this);

  /** From now on what the registry has counts. */
  use(registered: ISettingRegistry.ISettings): void {
    this.registered = registered;
    registered.changed.connect(() => this.signal.emit());
    this.signal.emit();
  }

  get changed(): ISignal<this, void> {
    return this.signal;
  }

  get<K extends keyof Options>(name: K): Options[K] {
    const value = this.registered?.composite[name];
    return value === undefined ? DEFAULTS[name] : (value as Options[K]);
  }

  /** Keep a value. Where there is no registry it is not kept. */
  async set<K extends keyof Options>(name: K, value: Options[K]): Promise<void> {
    await this.registered?.set(name, value as never);
  }
}
