/** The picture of the task stream: what is shifted is what would be painted, and what one points at is what is there. */
import { describe, expect, it } from 'vitest';
import { describe as inWords, sentence, summary } from '../../src/panes/stream/describe';
import { Scene } from '../../src/panes/stream/scene';
import type { Theme } from '../../src/panes/theme';
import { SyntheticCluster } from '../harness/synthetic';

const THEME: Theme = {
  dark: false,
  background: '#ffffff',
  raised: '#eeeeee',
  line: '#e0e0e0',
  text: '#212121',
  soft: '#616161',
  faint: '#9e9e9e',
  accent: '#1976d2',
  good: '#388e3c',
  warn: '#f57c00',
  bad: '#d32f2f',
  font: 'sans-serif',
  mono: 'monospace',
};

/** A canvas that remembers the image that was put on it. */
class Paper {
  width = 0;
  height = 0;
  style: Record<string, string> = {};
  pixels = new Uint32Array(0);

  getContext(): unknown {
    return {
      createImageData: (width: number, height: number) => ({ width, height, data: new Uint8ClampedArray(width * height * 4) }),
      putImageData: (image: ImageData) => {
        this.pixels = new Uint32Array(image.data.buffer.slice(0));
      },
      measureText: (text: string) => ({ width: text.length * 6 }),
    };
  }

  get canvas(): HTMLCanvasElement {
    return this as unknown as HTMLCanvasElement;
  }
}

interface Stage {
  scene: Scene;
  paper: Paper;
  cluster: SyntheticCluster;
  draw(): Uint32Array;
  /** What the same part looks like when it is painted from nothing. */
  fresh(): Uint32Array;
}

function stage(rows: number, workers = 6): Stage {
  const cluster = new SyntheticCluster({ workers, threads: 1, rows, span: 100 });
  const messages = [cluster.taskStream(cluster.options.now, null)];
  const paper = new Paper();
  const scene = new Scene(paper.canvas, new Paper().canvas);
  const take = scene.take.bind(scene);
  scene.take = message => {
    messages.push(message);
    take(message);
  };
  take(messages[0]);
  return {
    scene,
    paper,
    cluster,
    draw: () => {
      scene.draw(500, 200, THEME, false);
      return paper.pixels;
    },
    fresh: () => {
      const other = new Paper();
      const again = new Scene(other.canvas, new Paper().canvas);
      messages.forEach(message => again.take(message));
      Object.assign(again.view, { from: scene.view.from, to: scene.view.to, live: scene.view.live });
      again.draw(500, 200, THEME, false);
      return other.pixels;
    },
  };
}

function differing(a: Uint32Array, b: Uint32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((sum, value, i) => sum + (value === b[i] ? 0 : 1), 0);
}

describe('a picture that moves', () => {
  it('is what would be painted', () => {
    const { scene, draw, fresh } = stage(6000);
    scene.view.show(20, 60);
    draw();
    for (const seconds of [0.5, -3, 11, -0.05, 300, -400]) {
      scene.view.pan(seconds);
      expect(differing(draw(), fresh())).toBe(0);
    }
  });

  it('is what would be painted when rows come', () => {
    const { scene, cluster, draw, fresh } = stage(6000);
    draw();
    let { now } = cluster.options;
    for (let i = 0; i < 4; i++) {
      scene.take(cluster.taskStream(now + 0.7, now));
      now += 0.7;
      const pixels = draw();
      // a node that is complete now may share its time out otherwise than its rows did, by a part of a pixel
      expect(differing(pixels, fresh())).toBeLessThan(pixels.length / 200);
    }
  });

  it('is painted anew when names are hidden', () => {
    const { scene, draw } = stage(5000);
    const before = draw().slice();
    scene.bands.hidden = new Set(scene.store.names);
    scene.bands.rebuild();
    expect(new Set(draw()).size).toBeLessThan(4);
    scene.bands.hidden = new Set();
    scene.bands.rebuild();
    expect(differing(draw(), before)).toBe(0);
  });

  it('has wider columns where the machine cannot keep up, and fine ones at rest', () => {
    const { scene, paper, draw } = stage(5000);
    draw();
    const { width } = paper;
    (scene as unknown as { hurried: number }).hurried = 3;
    scene.view.zoom(1.5, 0.5);
    expect(scene.draw(500, 200, THEME, true)).toBe(true);
    expect(paper.width).toBe(Math.round(width / 3));
    expect(scene.draw(500, 200, THEME, false)).toBe(false);
    expect(paper.width).toBe(width);
  });
});

describe('what one points at', () => {
  it('is the call, if it can be told from others', () => {
    const { scene, draw } = stage(600);
    scene.view.show(50, 53);
    draw();
    const row = scene.neighbour(2, 50.5, true);
    expect(row).not.toBeNull();
    const middle = (row!.start + row!.stop) / 2;
    const x = scene.places.gutter + ((middle - scene.view.from) / scene.view.span) * scene.places.plot;
    const hit = scene.hit(x, 2.3 * scene.view.band);
    expect(hit?.row?.id).toBe(row!.id);
    expect(sentence(inWords(scene, hit!))).toContain(scene.store.names[row!.name]);
  });

  it('is a sum, if there are many', () => {
    const { scene, draw } = stage(20_000);
    scene.view.showAll();
    draw();
    const hit = scene.hit(300, 0.5 * scene.view.band);
    expect(hit?.many?.rows).toBeGreaterThan(2);
    expect(inWords(scene, hit!).title).toMatch(/calls in/);
  });

  it('is nothing beside the bands', () => {
    const { scene, draw } = stage(600);
    draw();
    expect(scene.hit(2, 20)).toBeNull();
    expect(scene.hit(300, 199)).toBeNull();
  });

  it('goes from call to call, and ends', () => {
    const { scene, draw } = stage(600);
    draw();
    const first = scene.neighbour(0, -1, true);
    const second = scene.neighbour(0, first!.start, true);
    expect(second!.start).toBeGreaterThan(first!.start);
    expect(scene.neighbour(0, second!.start, false)!.id).toBe(first!.id);
    expect(scene.neighbour(0, first!.start, false)).toBeNull();
    expect(scene.neighbour(0, 1e6, true)).toBeNull();
  });
});

describe('a summary', () => {
  it('says what is in sight, or that nothing is', () => {
    const { scene } = stage(600);
    expect(summary(scene)).toMatch(/6 rows, [\d,]+ calls, .* failed\. Most time: /);
    const nothing = new Scene(new Paper().canvas, new Paper().canvas);
    const cluster = new SyntheticCluster({ empty: true });
    nothing.take(cluster.taskStream(cluster.options.now, null));
    expect(summary(nothing)).toBe('Nothing has run since somebody looks.');
  });
});
