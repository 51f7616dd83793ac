/**
 * Colours, read from JupyterLab's variables where a pane stands, with fallbacks for pages that have none (the standalone page defines the same
 * variables in its own style sheet, light and dark). Canvases need real colours; everything else uses the variables in CSS.
 */
export interface Theme {
  readonly dark: boolean;
  readonly background: string;
  readonly raised: string;
  readonly line: string;
  readonly text: string;
  readonly soft: string;
  readonly faint: string;
  readonly accent: string;
  readonly good: string;
  readonly warn: string;
  readonly bad: string;
  readonly font: string;
  readonly mono: string;
}

/** The theme at this element, which must stand in a page. */
export function readTheme(node: Element): Theme {
  const style = getComputedStyle(node);
  const read = (name: string, fallback: string): string => style.getPropertyValue(name).trim() || fallback;
  const background = read('--jp-layout-color1', '#ffffff');
  return {
    dark: luminance(background) < 0.4,
    background,
    raised: read('--jp-layout-color2', '#eeeeee'),
    line: read('--jp-border-color2', '#e0e0e0'),
    text: read('--jp-ui-font-color1', '#212121'),
    soft: read('--jp-ui-font-color2', '#616161'),
    faint: read('--jp-ui-font-color3', '#9e9e9e'),
    accent: read('--jp-brand-color1', '#1976d2'),
    good: read('--jp-success-color1', '#388e3c'),
    warn: read('--jp-warn-color1', '#f57c00'),
    bad: read('--jp-error-color1', '#d32f2f'),
    font: read('--jp-ui-font-family', 'system-ui, sans-serif'),
    mono: read('--jp-code-font-family', 'ui-monospace, monospace'),
  };
}

/** How bright a CSS colour is, 0 to 1; 1 for what cannot be read. */
export function luminance(colour: string): number {
  const [r, g, b] = rgb(colour);
  return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
}

/** Reads named colours and the like; made when the first one is met. */
let palette: CanvasRenderingContext2D | null = null;

/** The red, green and blue of `#rgb`, `#rrggbb`, `rgb(...)`, or a named colour where a canvas is at hand. */
export function rgb(colour: string): [number, number, number] {
  const hex = /^#([0-9a-f]{3}|[0-9a-f]{6})$/i.exec(colour);
  if (hex) {
    const digits = hex[1].length === 3 ? [...hex[1]].map(d => d + d).join('') : hex[1];
    return [0, 2, 4].map(i => parseInt(digits.slice(i, i + 2), 16)) as [number, number, number];
  }
  const numbers = /^rgba?\(([^)]+)\)/
    .exec(colour)?.[1]
    .split(/[\s,/]+/)
    .map(Number);
  if (numbers && numbers.length >= 3) {
    return [numbers[0], numbers[1], numbers[2]];
  }
  palette ??= document.createElement('canvas').getContext('2d');
  if (palette) {
    palette.fillStyle = colour;
    const known = palette.fillStyle;
    if (known.startsWith('#')) {
      return rgb(known);
    }
  }
  return [255, 255, 255];
}

/** The colour, so opaque, of 1. */
export function mix(colour: string, share: number): string {
  const [r, g, b] = rgb(colour);
  return `rgb(${r} ${g} ${b} / ${share})`;
}

/** Twenty-two hues that can be told apart, dark and pale in turns; no reds, which are kept for failures. In a light and in a dark theme. */
const LIGHT =
  'b07521 dab979 998214 c2c37e 778e33 a5cb90 4b9758 88d0ab 009a7e 74d1c7 00989f 74cde0 0091ba 86c6f2 4986c9 a1bdf9 737bca bdb4f4 9370bd d6ace4 ab67a5 e7a7cd'.split(
    ' ',
  );
const DARK =
  'b37c36 cfb074 9d882f b8b979 7e9343 9dc18a 579b62 82c5a3 269e84 70c6bd 009da3 6fc3d5 2696bc 80bce5 558dca 9ab4eb 7a82cb b4abe7 9878bf caa4d8 ae70a9 db9fc3'.split(
    ' ',
  );

/** Which name has which colour of the list. */
const seats = new Map<string, number>();
const taken = new Set<number>();

/**
 * A colour for a name: the same one in every pane, in both themes. A hash says which it likes best, so it mostly is the same tomorrow; of two names
 * that like the same, the later one gets another as long as there are any.
 */
export function colourOf(name: string, dark: boolean): string {
  let seat = seats.get(name);
  if (seat === undefined) {
    let hash = 2166136261;
    for (let i = 0; i < name.length; i++) {
      hash = Math.imul(hash ^ name.charCodeAt(i), 16777619);
    }
    seat = (hash >>> 0) % LIGHT.length;
    if (taken.size < LIGHT.length) {
      while (taken.has(seat)) {
        seat = (seat + 5) % LIGHT.length;
      }
      taken.add(seat);
    }
    seats.set(name, seat);
  }
  return `#${(dark ? DARK : LIGHT)[seat]}`;
}
