/**
 * All panes there are, in the order in which they are listed.
 */
import type { PaneKind } from './pane';
import { MEMORY } from './memory';
import { NETWORK } from './network';
import { WORKERS } from './workers';
import './panes.css';

export const PANES: readonly PaneKind[] = [WORKERS, MEMORY, NETWORK];
