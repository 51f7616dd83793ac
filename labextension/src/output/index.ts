/**
 * A notebook output: an ES module as anywidget takes it.
 */
import { PANES } from '../panes';

export default {
  render({ el }: { el: HTMLElement }): void {
    el.dataset.panes = String(PANES.length);
  },
};
