/**
 * The feed over a websocket: to the Jupyter server's, or to the one of a scheduler's own dashboard. When the socket breaks it is opened again, with
 * growing pauses, and at once when the browser says that there is a network again or the page is looked at.
 */
import { Speech } from './speech';

const PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;

/** The close code by which a server says that it is over, for good; the reason is for people. */
export const OVER = 4000;

export interface WebSocketFeedOptions {
  /** Where to connect; asked each time, since a token in it may change. */
  url: () => string;
  /** The class to use; the browser's unless told otherwise. */
  WebSocket?: typeof WebSocket;
}

export class WebSocketFeed extends Speech {
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private pause = PAUSE_MS;
  private wasOpen = false;

  constructor(private readonly options: WebSocketFeedOptions) {
    super();
    globalThis.addEventListener?.('online', this.hurry);
    globalThis.document?.addEventListener('visibilitychange', this.hurry);
    this.connect();
  }

  private connect(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const socket = new (this.options.WebSocket ?? WebSocket)(this.options.url());
    this.socket = socket;
    socket.onopen = () => {
      this.pause = PAUSE_MS;
      this.wasOpen = true;
      this.found();
    };
    socket.onmessage = event => this.hear(event.data as string);
    socket.onclose = event => this.broken(event);
  }

  private broken(event: CloseEvent): void {
    this.socket = null;
    if (event.code === OVER) {
      this.lost(event.reason || 'The dashboard has ended.', true);
      this.stop();
      return;
    }
    this.lost(this.wasOpen ? 'The connection is lost; trying again …' : 'There is no connection yet; trying again …');
    this.timer = setTimeout(() => this.connect(), this.pause * (0.5 + Math.random()));
    this.pause = Math.min(2 * this.pause, LONGEST_PAUSE_MS);
  }

  /** There may be a way again: do not wait for the end of the pause. */
  private readonly hurry = (): void => {
    if (this.timer !== undefined && !globalThis.document?.hidden) {
      this.pause = PAUSE_MS;
      this.connect();
    }
  };

  protected carry(text: string): void {
    this.socket?.send(text);
  }

  private stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    globalThis.removeEventListener?.('online', this.hurry);
    globalThis.document?.removeEventListener('visibilitychange', this.hurry);
  }

  override dispose(): void {
    this.stop();
    if (this.socket) {
      this.socket.onclose = this.socket.onmessage = this.socket.onopen = null;
      this.socket.close();
      this.socket = null;
    }
    super.dispose();
  }
}
