/** What a cluster's processes have logged, as text: fetched when the tab is opened and when the user asks for it again. */
import { ToolbarButton, refreshIcon, type Toolbar } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';
import { linesOf, type Logs } from './loglines';

export class LogView extends Widget {
  private readonly text = document.createElement('pre');
  private readonly search = document.createElement('input');
  private lines: string[] = [];

  constructor(private readonly fetch: () => Promise<Partial<Logs>>) {
    super();
    this.addClass('jf-logs');
    this.text.tabIndex = 0;
    this.text.setAttribute('aria-label', 'Log lines');
    this.search.type = 'search';
    this.search.className = 'jf-input';
    this.search.placeholder = 'Filter lines';
    this.search.setAttribute('aria-label', 'Filter lines');
    this.search.addEventListener('input', () => this.filter());
    this.node.append(this.text);
    void this.load();
  }

  /** Puts its controls into the toolbar above it. */
  fill(toolbar: Toolbar): void {
    const field = new Widget({ node: document.createElement('div') });
    field.node.append(this.search);
    field.addClass('jf-logs-filter');
    toolbar.addItem('refresh', new ToolbarButton({ icon: refreshIcon, tooltip: 'Fetch the newest lines', onClick: () => void this.load() }));
    toolbar.addItem('filter', field);
  }

  private async load(): Promise<void> {
    try {
      this.lines = linesOf(await this.fetch());
    } catch (error) {
      this.lines = [error instanceof Error ? error.message : String(error)];
    }
    if (!this.isDisposed) {
      this.filter();
      this.node.scrollTop = this.node.scrollHeight;
    }
  }

  private filter(): void {
    const wanted = this.search.value.trim().toLowerCase();
    const lines = wanted === '' ? this.lines : this.lines.filter(line => line.toLowerCase().includes(wanted));
    this.text.textContent = lines.length > 0 ? lines.join('\n') : this.lines.length > 0 ? 'No line has this.' : 'Nothing has been logged.';
  }
}
