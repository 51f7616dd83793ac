/**
 * All panes there are, in the order in which they are listed.
 */
import type { PaneKind } from './pane';
import { CELLS } from './cells';
import { EVENTS } from './events';
import { GRAPH } from './graph/graph';
import { LOAD } from './load';
import { MEMORY } from './memory';
import { NETWORK } from './network';
import { OVERVIEW } from './overview';
import { PROFILE } from './profile/profile';
import { PROGRESS } from './progress';
import { TASK_STREAM } from './task-stream';
import { TIMINGS } from './timings';
import { WORKERS } from './workers';
import './panes.css';

export const PANES: readonly PaneKind[] = [OVERVIEW, TASK_STREAM, PROGRESS, WORKERS, MEMORY, NETWORK, TIMINGS, LOAD, GRAPH, PROFILE, CELLS, EVENTS];
