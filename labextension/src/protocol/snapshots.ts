/**
 * What the server tells a page. Generated from jupyterfut/wire/panes.py by `python labextension/snapshots.py`; CI checks that it is current.
 */

/** How many tasks are in which state. */
export interface TaskCounts {
  waiting: number;
  queued: number;
  processing: number;
  memory: number;
  erred: number;
  released: number;
}

/** A cluster that sizes itself. */
export interface AdaptiveState {
  minimum: number;
  maximum: number | null;
}

/** Topic "summary": a cluster in one line. At most two a second, and only when something has changed. */
export interface Summary {
  at: number;
  workers: number;
  threads: number;
  /** sum over workers, 1 is one core */
  cpu: number;
  memory: number;
  /** 0: none */
  memory_limit: number;
  spilled: number;
  tasks: TaskCounts;
  /** tasks finished since the scheduler began */
  done: number;
  /** tasks finished a second, lately */
  rate: number;
  /** viewers are not counted */
  clients: number;
  /** ids of the Jupyter kernels whose clients are here */
  kernels: string[];
  /** the notebooks of these kernels (paths), in the same order; "" where nobody tells */
  sessions: string[];
  adaptive: AdaptiveState | null;
  /** whether `cluster_scale` and `cluster_adapt` are answered */
  can_scale: boolean;
}

/** Calls of one function from one origin. */
export interface Group {
  id: number;
  /** the function's; "data" for what was scattered */
  name: string;
  origin: string;
  tasks: TaskCounts;
  /** finished since the group began, whether or not they are still held */
  done: number;
  started_at: number;
  /** when the last one finished; None while some are unfinished */
  ended_at: number | null;
}

/** Topic "progress": the groups that are at work, then those that ended lately. Beyond 200 the rest is one row, `others`. */
export interface Progress {
  at: number;
  groups: Group[];
  others: Group | null;
  total: TaskCounts;
  done: number;
}

/** Topic "timings": how long calls take, by function, in columns; the most expensive first, at most 200. */
export interface Timings {
  at: number;
  name: string[];
  count: number[];
  erred: number[];
  total_s: number[];
  mean_s: number[];
  min_s: number[];
  max_s: number[];
  /** sum of the sizes of results */
  nbytes: number[];
  /** upper bounds of the histograms' buckets, each ten to the quarter of the one before; the last bucket has none */
  bounds_s: number[];
  /** one list a row, counted since somebody looks */
  histogram: number[][];
}

/** Topic "workers": all of them, in columns, in the order in which they came. At most ten a second, fewer of many. */
export interface Workers {
  at: number;
  address: string[];
  name: string[];
  host: string[];
  pid: number[];
  threads: number[];
  /** running, paused, retiring, restarting, silent */
  state: string[];
  /** 1 is one core */
  cpu: number[];
  /** of the process */
  memory: number[];
  /** results held in memory; what is left of `memory` is unmanaged */
  managed: number[];
  /** results on disk */
  spilled: number[];
  /** 0: none */
  memory_limit: number[];
  executing: number[];
  /** assigned, those that execute included */
  processing: number[];
  /** results it has */
  held: number[];
  /** expected time of what is assigned */
  occupancy_s: number[];
  /** bytes a second, from other workers and clients */
  received: number[];
  sent: number[];
  /** since it was heard of last */
  seen_s: number[];
}

/** Topic "load": what the scheduler itself does, in samples. The first one brings the last minutes if somebody has looked before. */
export interface Load {
  reset: boolean;
  at: number[];
  /** of its process, 1 is one core */
  cpu: number[];
  /** how late its event loop was */
  lag_s: number[];
  memory: number[];
  /** messages a second */
  received: number[];
  sent: number[];
  /** tasks a second */
  submitted: number[];
  done: number[];
  waiting: number[];
  queued: number[];
  processing: number[];
  workers: number[];
  /** workers with a free thread */
  idle: number[];
  worker_cpu: number[];
  worker_memory: number[];
}

/** One task, or one group of tasks. */
export interface GraphNode {
  /** the task's key, or the group's number */
  id: string;
  label: string;
  /** tasks in it */
  count: number;
  /** of a task; of a group that of most */
  state: string;
  /** how many of `count` are finished */
  done: number;
  erred: number;
}

/** Topic "graph": the tasks that are held and what they are made of. Up to 400 tasks each is a node; of more, each group is. */
export interface Graph {
  at: number;
  grouped: boolean;
  nodes: GraphNode[];
  /** places in `nodes`: from an input to what needs it */
  edges: [number, number][];
  /** that are known */
  tasks: number;
  /** of these, the newest so many stand here */
  looked_at: number;
}

/** One frame of a flame graph. */
export interface FlameNode {
  name: string;
  file: string;
  line: number;
  /** samples in it and below */
  count: number;
  children: FlameNode[];
}

/** Topic "profile": where the workers' threads have been since somebody looks, or, with an option `name`, those in calls of this function. */
export interface Profile {
  at: number;
  since: number;
  /** what one sample stands for: `count * interval_s` are a thread's seconds */
  interval_s: number;
  samples: number;
  /** of which there are samples */
  functions: string[];
  root: FlameNode;
}

/** One row of the task stream. */
export interface Lane {
  /** its name */
  worker: string;
  address: string;
  /** counted from 0 on each worker; negative: transfers and disk, which are no thread's, in as many lanes as overlap (up to four) */
  thread: number;
}

/**
 * Topic "task-stream": what ran where and when. Times are seconds after `base`. Many short calls that follow each other in one lane are one row
 * (`count` > 1). `lanes` and `names` only ever grow (until a reset): each message brings the new ones, and rows name them by place. A call has a row
 * when it has ended. What has been running for long stands in the `open` columns: each message brings all of it anew.
 */
export interface TaskStream {
  reset: boolean;
  base: number;
  /** seconds after `base` */
  now: number;
  lanes: Lane[];
  names: string[];
  lane: number[];
  /** the function's, as in `Group.name`; of a transfer and of the disk's work what it is: "transfer", "read", "write" */
  name: number[];
  /** 0 compute, 1 transfer, 2 disk */
  kind: number[];
  start: number[];
  stop: number[];
  /** of `stop - start`, how long something ran */
  busy_s: number[];
  count: number[];
  erred: number[];
  /** of results, or of what was moved */
  nbytes: number[];
  /** of a row of one task; "" when there is too much to tell */
  key: string[];
  open_lane: number[];
  open_name: number[];
  open_start: number[];
  open_key: string[];
  /** rows that were too many to tell, since the last message */
  dropped: number;
}

/** One thing that was worth a line. */
export interface EventRow {
  at: number;
  /** worker, client, task, log, event */
  kind: string;
  /** debug, info, warning, error */
  level: string;
  /** a worker's name, a logger, a topic */
  source: string;
  text: string;
  /** the task that it is about, or "" */
  key: string;
}

/** Topic "events": workers that come and go, tasks that fail, log lines of scheduler and workers, `log_event`. At most 1,000 rows a message. */
export interface Events {
  reset: boolean;
  rows: EventRow[];
  dropped: number;
}

/** One execution of a notebook cell that has submitted tasks. */
export interface CellRow {
  origin: string;
  /** the kernel's id; "" outside of a notebook */
  kernel: string;
  /** the notebook's path, or "" */
  session: string;
  /** the cell in the document, or "" */
  cell_id: string;
  /** `In [number]`; 0: none */
  number: number;
  /** its first line of code, or the client's name */
  title: string;
  /** a `%%submit` cell */
  submitted: boolean;
  tasks: TaskCounts;
  done: number;
  started_at: number;
  /** when its last task finished; None while some are unfinished */
  ended_at: number | null;
  /** sum of the time of its tasks so far */
  running_s: number;
}

/** Topic "cells": the cells that are at work, then those that ended lately, at most 200. */
export interface Cells {
  at: number;
  rows: CellRow[];
}

/** One cluster in the list. */
export interface ClusterInfo {
  /** names it in addresses and messages; the same as long as the cluster lives */
  id: string;
  name: string;
  address: string;
  host: string;
  pid: number;
  started: number;
  /** the kernel that started it, or "" */
  kernel: string;
  session: string;
  /** kernel, process, server, detached, remote */
  owner: string;
  /** starting, running, lost, silent, incompatible, stopping */
  state: string;
  /** why it is in trouble, or "" */
  text: string;
  /** None while nothing has been heard from it */
  summary: Summary | null;
}

/** The topics, and what is told on each. */
export interface Snapshots {
  summary: Summary;
  progress: Progress;
  timings: Timings;
  workers: Workers;
  load: Load;
  graph: Graph;
  profile: Profile;
  'task-stream': TaskStream;
  events: Events;
  cells: Cells;
}

export type Topic = keyof Snapshots;

export const TOPICS: readonly Topic[] = ['summary', 'progress', 'timings', 'workers', 'load', 'graph', 'profile', 'task-stream', 'events', 'cells'];
