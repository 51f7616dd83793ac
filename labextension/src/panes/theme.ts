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
  const context = document.createElement('canvas').getContext('2d');
  if (context) {
    context.fillStyle = colour;
    const known = context.fillStyle;
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

/**
 * A colour for a name: always the same one, in every pane, in both themes. Hues are spread by a hash; red is kept for failures.
 */
export function colourOf(name: string, dark: boolean): string {
  let hash = 2166136261;
  for (let i = 0; i < name.length; i++) {
    hash = Math.imul(hash ^ name.charCodeAt(i), 16777619);
  }
  const unsigned = hash >>> 0;
  const hue = 35 + (unsigned % 300); // 35 to 335: no reds
  const saturation = 42 + ((unsigned >>> 10) % 3) * 9;
  const lightness = (dark ? 52 : 58) + ((unsigned >>> 14) % 3) * 6;
  return `hsl(${hue} ${saturation}% ${lightness}%)`;
}
