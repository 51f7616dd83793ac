/**
 * The server extension's REST interface: all that changes a cluster goes through here, and nothing else in the sidebar fetches. The addresses and
 * answers are those of `jupyterfut/notebook/server`. Requests carry the login, the token and the XSRF cookie as JupyterLab's own do; an error comes as
 * an Error whose message the server wrote for people.
 */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { ClusterInfo } from '../protocol/snapshots';
import type { Logs } from './loglines';

/** One thing to fill in when a cluster of a type is started. */
export interface ClusterOption {
  name: string;
  title: string;
  kind: 'integer' | 'text' | 'size' | 'flag';
  /** It goes into `options`. */
  inner: boolean;
  default: unknown;
  /** What an empty field will be. */
  suggested: string;
  help?: string;
  minimum?: number;
  required?: boolean;
}

/** A kind of cluster that the server can start. */
export interface ClusterType {
  name: string;
  title: string;
  /** Whether a Python can be chosen. */
  environment: boolean;
  options: ClusterOption[];
}

/** A Python that clusters can be started with. */
export interface Environment {
  name: string;
  title: string;
  python: string;
  default: boolean;
}

/** What a cluster is to be. What is left out is up to the server. */
export interface ClusterWish {
  type: string;
  name?: string;
  environment?: string;
  options?: Record<string, unknown>;
  [option: string]: unknown;
}

/** A scheduler somewhere else. */
export interface Remote {
  address: string;
  token: string;
  name?: string;
  tls_ca?: string;
}

export class Rest {
  constructor(readonly settings: ServerConnection.ISettings) {}

  async types(): Promise<ClusterType[]> {
    return (await this.request<{ types: ClusterType[] }>('GET', 'types')).types;
  }

  async environments(): Promise<Environment[]> {
    return (await this.request<{ environments: Environment[] }>('GET', 'environments')).environments;
  }

  /** Resolves when the cluster runs, or, if that takes long, when it is on its way. */
  start(wish: ClusterWish): Promise<ClusterInfo> {
    return this.request('POST', 'clusters', wish);
  }

  scale(id: string, workers: number): Promise<unknown> {
    return this.request('PATCH', `clusters/${encodeURIComponent(id)}`, { n_workers: workers });
  }

  /** Let it size itself between the two; null: no longer. */
  adapt(id: string, bounds: { minimum: number; maximum: number | null } | null): Promise<unknown> {
    return this.request('PATCH', `clusters/${encodeURIComponent(id)}`, { adapt: bounds });
  }

  /** Replace all its workers by fresh ones. */
  restart(id: string): Promise<unknown> {
    return this.request('POST', `clusters/${encodeURIComponent(id)}/restart`);
  }

  /** Resolves when it has ended. */
  stop(id: string): Promise<unknown> {
    return this.request('DELETE', `clusters/${encodeURIComponent(id)}`);
  }

  logs(id: string): Promise<Partial<Logs>> {
    return this.request('GET', `clusters/${encodeURIComponent(id)}/logs`);
  }

  connect(remote: Remote): Promise<ClusterInfo> {
    return this.request('POST', 'remotes', remote);
  }

  /** Forget a scheduler that was connected to; it goes on. */
  disconnect(id: string): Promise<unknown> {
    return this.request('DELETE', `remotes/${encodeURIComponent(id)}`);
  }

  private async request<T>(method: string, path: string, body?: object): Promise<T> {
    const url = URLExt.join(this.settings.baseUrl, 'jupyterfut/api', path);
    const init: RequestInit = { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(url, init, this.settings);
    } catch (error) {
      throw new Error('The Jupyter server cannot be reached.', { cause: error });
    }
    const text = await response.text();
    if (!response.ok) {
      throw new Error(messageOf(text) || `The server answered ${response.status} ${response.statusText}.`);
    }
    return (text ? JSON.parse(text) : undefined) as T;
  }
}

/** The line for people in the body of an error, or ''. */
function messageOf(text: string): string {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === 'object' && body !== null && 'message' in body && typeof body.message === 'string' ? body.message : '';
  } catch {
    return ''; // a proxy's page, not ours
  }
}
