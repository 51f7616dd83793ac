/**
 * Opt-in: new notebooks begin with a client. As soon as a notebook has a kernel that is new to this page, one request goes to it that makes the
 * client, before any that the user's cells make: a kernel connection sends in order, and keeps what it cannot send yet, so there is no race. Restarts
 * are served alike; where there is a client already nothing is done. Nothing of this runs unless the setting names a cluster. The Python side is `jupyterfut.notebook.join`.
 */
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel, ServiceManager } from '@jupyterlab/services';

export class Attaching {
  private readonly served = new WeakSet<Kernel.IKernelConnection>();
  private older: ReadonlySet<string> = new Set();

  /** `cluster` tells the name of the cluster for new notebooks, '' for none, at any time. */
  constructor(
    tracker: INotebookTracker,
    private readonly services: ServiceManager.IManager,
    private readonly cluster: () => string,
  ) {
    void services.kernels.ready.then(() => {
      this.older = new Set([...services.kernels.running()].map(model => model.id)); // a notebook has its kernel after this
    });
    tracker.widgetAdded.connect((_, panel) => this.see(panel));
    tracker.forEach(panel => this.see(panel));
  }

  private see(panel: NotebookPanel): void {
    const { sessionContext } = panel;
    sessionContext.kernelChanged.connect((_, { newValue }) => {
      if (newValue && this.isNew(newValue)) {
        this.attach(newValue, sessionContext.path);
      }
    });
    sessionContext.statusChanged.connect((_, status) => {
      const kernel = sessionContext.session?.kernel;
      if (kernel && (status === 'restarting' || status === 'autorestarting')) {
        // the connection drops what is pending when it begins to restart, which it does as soon as its listeners have been told
        void Promise.resolve().then(() => this.attach(kernel, sessionContext.path));
      }
    });
  }

  /** Whether it is the first time that this page meets the kernel, which did not run before the page was there. */
  private isNew(kernel: Kernel.IKernelConnection): boolean {
    if (this.older.has(kernel.id) || this.served.has(kernel)) {
      return false;
    }
    this.served.add(kernel);
    return true;
  }

  private attach(kernel: Kernel.IKernelConnection, path: string): void {
    const name = this.cluster();
    if (name === '' || !this.speaksPython(kernel)) {
      return;
    }
    const code = attachCode(name);
    kernel.requestExecute({ code, silent: true, store_history: false, allow_stdin: false, stop_on_error: false }, true).done.then(
      reply => {
        if (reply.content.status === 'error') {
          console.warn(`jupyterfut: ${path} was not connected to ${name}: ${reply.content.evalue}`);
        }
      },
      () => undefined, // the kernel has ended or restarts, with the request
    );
  }

  private speaksPython(kernel: Kernel.IKernelConnection): boolean {
    return this.services.kernelspecs.specs?.kernelspecs[kernel.name]?.language.toLowerCase() === 'python';
  }
}

/** What a new notebook's kernel is told. It leaves nothing but `client` among the notebook's names, and nothing at all without jupyterfut. */
export function attachCode(cluster: string): string {
  return [
    'try:',
    '    __import__("jupyterfut.notebook").notebook.join(' + JSON.stringify(cluster) + ', globals())',
    'except ModuleNotFoundError as error:',
    '    if not str(error.name).startswith("jupyterfut"):',
    '        raise',
  ].join('\n');
}
