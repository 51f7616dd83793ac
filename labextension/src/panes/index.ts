/**
 * All panes there are, in the order in which they are listed.
 */
import type { PaneKind } from './pane';
import './panes.css';

export const PANES: readonly PaneKind[] = [];
