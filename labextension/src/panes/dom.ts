/** Elements in one line. */

type Attributes = Record<string, string | number | boolean | undefined>;

/** An element with a class, attributes (false and undefined: none; true: an empty one) and children. Text children are text, never HTML. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = '',
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  if (className) {
    node.className = className;
  }
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) {
      node.setAttribute(name, value === true ? '' : String(value));
    }
  }
  node.append(...children);
  return node;
}

/** Set a text only if it is another one: the browser then has nothing to do. */
export function say(node: Node, text: string): void {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

let counter = 0;

/** An id that no other element of the page has. */
export function freshId(kind: string): string {
  return `jf-${kind}-${++counter}`;
}

/** Fit a canvas to a size in CSS pixels, sharp on any screen. The context draws in CSS pixels; what was there is gone. */
export function fit(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const scale = window.devicePixelRatio || 1;
  const w = Math.max(1, Math.round(width * scale));
  const h = Math.max(1, Math.round(height * scale));
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext('2d');
  if (!context) {
    throw new Error('this browser has no canvas');
  }
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}
