/** Icons of the page, 16 by 16, in the current colour. */

const line = (path: string): string =>
  `<svg viewBox="0 0 16 16" width="16" height="16"><path d="${path}" fill="none" stroke="currentColor" stroke-width="1.4" ` +
  'stroke-linecap="round" stroke-linejoin="round"/></svg>';

export const CLOSE = line('M4.5 4.5l7 7M11.5 4.5l-7 7');
export const ENLARGE = line('M9.5 3.5h3v3M6.5 12.5h-3v-3M12.5 3.5l-4 4M3.5 12.5l4-4');
export const REDUCE = line('M12.5 6.5h-3v-3M3.5 9.5h3v3M9.5 6.5l3.5-3.5M6.5 9.5L3 13');
export const LIGHT = line(
  'M8 5.2a2.8 2.8 0 100 5.6 2.8 2.8 0 000-5.6M8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M3.4 12.6l.7-.7M11.9 4.1l.7-.7',
);
export const DARK = line('M13.2 9.6A5.6 5.6 0 016.4 2.8a5.6 5.6 0 106.8 6.8z');
export const AUTO = line('M8 2.2a5.8 5.8 0 100 11.6A5.8 5.8 0 008 2.2zM8 2.2v11.6M8 5h3.6M8 8h5.6M8 11h3.6');
export const SEARCH = line('M7 2.8a4.2 4.2 0 100 8.4 4.2 4.2 0 000-8.4zM10.2 10.2l3.2 3.2');
export const LIST = line('M2.5 4h11M2.5 8h11M2.5 12h11');

/** An icon's text as an element that screen readers pass over. */
export function svg(text: string): Element {
  const template = document.createElement('template');
  template.innerHTML = text.trim();
  const node = template.content.firstElementChild!;
  node.setAttribute('aria-hidden', 'true');
  node.classList.add('jf-dash-icon');
  return node;
}
