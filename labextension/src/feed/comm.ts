/**
 * The feed of a notebook output: what pages and servers say to each other, over a widget's comm (jupyterfut/notebook/dashboard.py tells what is sent).
 * The kernel is the server. It may be busy, restarted or gone, and none of this is told to a page: a kernel that does not answer is asked again, less and
 * less often, and what was drawn stays.
 */
import { Speech } from './speech';

/** A widget's model, as anywidget hands it to a module. */
export interface CommModel {
  send(content: unknown): void;
  on(event: string, listener: (content: never, buffers: never) => void): void;
  off(event: string, listener: (content: never, buffers: never) => void): void;
}

interface FromKernel {
  t: string;
  page?: string;
  n?: number;
  text?: string;
}

/** The kernel is told how many texts have come after so many. (Each message of ours makes JupyterLab's kernel indicator blink.) */
const ACK_EVERY = 40;
const PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 15_000;

export class CommFeed extends Speech {
  private readonly page = Math.random().toString(36).slice(2) + Date.now().toString(36);
  private timer: ReturnType<typeof setTimeout> | undefined;
  private pause = PAUSE_MS;
  private acknowledged = 0;
  private isAnswered = false;

  constructor(private readonly model: CommModel) {
    super();
    model.on('msg:custom', this.heard);
    this.hello();
  }

  /** Say that we are here, and all that we want; until there is an answer. */
  private hello(): void {
    clearTimeout(this.timer);
    this.isAnswered = false;
    this.acknowledged = 0;
    if (this.give({ t: 'hello', page: this.page })) {
      this.found();
    }
    this.timer = setTimeout(() => {
      if (!this.isAnswered) {
        this.lost('Waiting for the kernel …');
        this.pause = Math.min(2 * this.pause, LONGEST_PAUSE_MS);
        this.hello();
      }
    }, this.pause);
  }

  private readonly heard = (content: FromKernel, buffers: DataView[]): void => {
    if (content.t === 'over') {
      this.lost(content.text || 'The kernel has closed this output.', true);
      this.stop();
    } else if (content.page !== this.page) {
      return; // another page shows the same output
    } else if (content.t === 'who') {
      this.lost('');
      this.hello();
    } else if (content.t === 'text' && buffers[0]) {
      this.isAnswered = true;
      this.pause = PAUSE_MS;
      const n = content.n ?? 0;
      if (n - this.acknowledged >= ACK_EVERY) {
        this.acknowledged = n;
        this.give({ t: 'ack', page: this.page, n });
      }
      this.hear(new TextDecoder().decode(buffers[0]));
    }
  };

  protected carry(text: string): void {
    this.give({ t: 'text', page: this.page, text });
  }

  private give(message: object): boolean {
    try {
      this.model.send(message);
      return true;
    } catch (error) {
      console.info('jupyterfut: there is no kernel to speak to', error); // it is asked again
      return false;
    }
  }

  private stop(): void {
    clearTimeout(this.timer);
    this.model.off('msg:custom', this.heard);
  }

  override dispose(): void {
    if (this.state.state !== 'closed') {
      this.give({ t: 'bye', page: this.page });
    }
    this.stop();
    super.dispose();
  }
}
