/**
 * A pane: one picture of one cluster. It knows neither JupyterLab nor a page; its host gives it an element, data and a size.
 */
import type { Snapshots, Topic } from '../protocol/snapshots';
import type { Disposable, Feed, FeedState, WatchOptions } from '../feed/feed';

/** What a host offers to a pane. */
export interface PaneContext {
  readonly feed: Feed;
  /** The cluster's id, as the feed names it. */
  readonly cluster: string;
  /** What the pane has remembered (`remember`), restored with the page. */
  readonly memory: Readonly<Record<string, unknown>>;
  remember(values: Record<string, unknown>): void;
  /** Show a notebook cell; undefined where the host cannot. */
  goToCell?(session: string, cellId: string): void;
  /** Open another pane, with something of its memory set; undefined where there is room for one only. */
  openPane?(pane: string, memory?: Record<string, unknown>): void;
}

/** The description under which a pane is listed. */
export interface PaneKind {
  /** The name in addresses, commands and saved layouts: `task-stream`. */
  readonly name: string;
  readonly title: string;
  /** One sentence for lists and tooltips. */
  readonly caption: string;
  /** An SVG, 16 by 16, coloured by classes `jp-icon3` and `jp-icon-selectable`. */
  readonly icon: string;
  /** Words by which a search finds it. */
  readonly words: readonly string[];
  create(context: PaneContext): Pane;
}

/**
 * The base of all panes. The life: constructed; `attach` (its node stands in the page); any number of `show`, `hide`, `resize`, `retheme`; `dispose`.
 * It watches topics while it is shown only, so what nobody sees costs nothing. Data may come more often than the screen is drawn: a subclass keeps
 * them in `take...` methods and draws in `draw`, which is called at most once a frame, after `this.stale()`.
 */
export abstract class Pane {
  readonly node: HTMLElement;
  protected readonly context: PaneContext;
  protected width = 0;
  protected height = 0;
  private wishes: { topic: Topic; listener: (data: never) => void; options?: WatchOptions }[] = [];
  private watches = new Map<Topic, Disposable>();
  private frame = 0;
  private visible = false;
  private gone = false;

  constructor(context: PaneContext, name: string) {
    this.context = context;
    this.node = document.createElement('section');
    this.node.className = `jf-pane jf-pane-${name}`;
  }

  /** In the constructor: hear of this topic whenever the pane is shown. */
  protected watch<T extends Topic>(topic: T, listener: (data: Snapshots[T]) => void, options?: WatchOptions): void {
    this.wishes.push({ topic, listener: listener as (data: never) => void, options });
  }

  /** Watch the topic with other options from now on. */
  protected rewatch(topic: Topic, options: WatchOptions): void {
    for (const wish of this.wishes) {
      if (wish.topic === topic) {
        wish.options = options;
      }
    }
    if (this.visible) {
      const old = this.watches.get(topic);
      this.begin(topic);
      old?.dispose();
    }
  }

  private begin(topic: Topic): void {
    for (const wish of this.wishes) {
      if (wish.topic === topic) {
        this.watches.set(topic, this.context.feed.watch(this.context.cluster, topic, wish.listener as never, wish.options));
      }
    }
  }

  get isVisible(): boolean {
    return this.visible;
  }

  get isDisposed(): boolean {
    return this.gone;
  }

  show(): void {
    if (!this.visible && !this.gone) {
      this.visible = true;
      for (const wish of this.wishes) {
        this.begin(wish.topic);
      }
      this.stale();
    }
  }

  hide(): void {
    this.visible = false;
    for (const watch of this.watches.values()) {
      watch.dispose();
    }
    this.watches.clear();
  }

  /** The node has these inner sizes now, in CSS pixels. */
  resize(width: number, height: number): void {
    if (width !== this.width || height !== this.height) {
      this.width = width;
      this.height = height;
      this.stale();
    }
  }

  /** The colours have changed: read them again (`theme.ts`), and draw. */
  retheme(): void {
    this.stale();
  }

  /** The feed has been lost or is back; a pane keeps showing what it has. The host says so above it. */
  feedChanged(_state: FeedState): void {
    // most panes have nothing to do
  }

  /** Draw soon. */
  protected stale(): void {
    if (!this.frame && this.visible && !this.gone) {
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        if (this.visible && !this.gone && this.width > 0 && this.height > 0) {
          this.draw();
        }
      });
    }
  }

  protected abstract draw(): void;

  dispose(): void {
    if (!this.gone) {
      this.hide();
      this.gone = true;
      cancelAnimationFrame(this.frame);
      this.node.remove();
    }
  }
}
