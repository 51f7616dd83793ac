/** The drawings of the sidebar, 16 by 16 like JupyterLab's own, in its colours. */
import { LabIcon } from '@jupyterlab/ui-components';

/** Work that is spread, and comes together: the sign of the project. */
export const futIcon = new LabIcon({
  name: 'jupyterfut:fut',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16">
  <g class="jp-icon3" stroke="#616161" fill="none" stroke-width="1.3" stroke-linecap="round">
    <path d="M4.3 3.3C7.5 3.3 7 8 9.6 8M4.3 12.7C7.5 12.7 7 8 9.6 8M4.3 8h5.3"/>
  </g>
  <g class="jp-icon3 jp-icon-selectable" fill="#616161">
    <circle cx="3" cy="3.3" r="1.7"/><circle cx="3" cy="8" r="1.7"/><circle cx="3" cy="12.7" r="1.7"/>
    <path fill-rule="evenodd" d="M12.2 4.9a3.1 3.1 0 1 0 0 6.2a3.1 3.1 0 1 0 0-6.2zm0 1.7a1.4 1.4 0 1 1 0 2.8a1.4 1.4 0 1 1 0-2.8z"/>
  </g></svg>`,
});

/** Panes side by side. */
export const layoutIcon = new LabIcon({
  name: 'jupyterfut:layout',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16">
  <path class="jp-icon3 jp-icon-selectable" fill="#616161" fill-rule="evenodd"
    d="M2.5 2h11a1 1 0 0 1 1 1v10a1 1 0 0 1-1 1h-11a1 1 0 0 1-1-1V3a1 1 0 0 1 1-1zm.3 1.3v9.4h4.6V3.3zm5.9 0v3.9h4.5V3.3zm0 5.2v4.2h4.5V8.5z"/></svg>`,
});

/** Code that goes into a notebook. */
export const insertIcon = new LabIcon({
  name: 'jupyterfut:insert',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16">
  <path class="jp-icon3 jp-icon-selectable" fill="#616161"
    d="M5.1 4.2 1.6 8l3.5 3.8 1-.9L3.4 8l2.7-2.9zm5.8 0-1 .9L12.6 8l-2.7 2.9 1 .9L14.4 8zM8.9 3.3l1.2.3-3 9.1-1.2-.3z"/></svg>`,
});

/** New notebooks begin with it. */
export const pinIcon = new LabIcon({
  name: 'jupyterfut:pin',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16">
  <path class="jp-icon3 jp-icon-selectable" fill="#616161" d="M5 1.8h6v1.3l-1 .6v3.6l2 1.9v1.3H8.6v3.6l-.6.9-.6-.9v-3.6H4V9.2l2-1.9V3.7l-1-.6z"/></svg>`,
});

export const minusIcon = new LabIcon({
  name: 'jupyterfut:minus',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16">
  <path class="jp-icon3 jp-icon-selectable" fill="#616161" d="M3.5 7.3h9v1.4h-9z"/></svg>`,
});

export const plusIcon = new LabIcon({
  name: 'jupyterfut:plus',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16">
  <path class="jp-icon3 jp-icon-selectable" fill="#616161" d="M7.3 3.5h1.4v3.8h3.8v1.4H8.7v3.8H7.3V8.7H3.5V7.3h3.8z"/></svg>`,
});

const ofPanes = new Map<string, LabIcon>();

/** The icon of a pane, from the drawing that it brings. */
export function paneIcon(name: string, svgstr: string): LabIcon {
  let icon = ofPanes.get(name);
  if (!icon) {
    icon = new LabIcon({ name: `jupyterfut:pane-${name}`, svgstr });
    ofPanes.set(name, icon);
  }
  return icon;
}
