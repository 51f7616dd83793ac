/** The workers of a snapshot, one object each, and what they come to together: the model of the panes workers, memory and network. */
import type { Workers } from '../protocol/snapshots';
import type { Column, Part } from './table';

export interface WorkerRow {
  readonly address: string;
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  readonly threads: number;
  readonly state: string;
  /** 1 is one core. */
  readonly cpu: number;
  readonly memory: number;
  /** Of `memory`: results. */
  readonly managed: number;
  /** Of `memory`: everything else. */
  readonly unmanaged: number;
  /** Results on disk. */
  readonly spilled: number;
  /** 0: none. */
  readonly limit: number;
  readonly executing: number;
  readonly processing: number;
  readonly held: number;
  readonly occupancy_s: number;
  readonly received: number;
  readonly sent: number;
  readonly seen_s: number;
}

export function workerRows(data: Workers): WorkerRow[] {
  return data.address.map((address, i) => {
    const memory = data.memory[i];
    const managed = Math.min(memory, data.managed[i]); // measured at two moments: what is counted may be ahead of what was measured
    return {
      address,
      name: data.name[i],
      host: data.host[i],
      pid: data.pid[i],
      threads: data.threads[i],
      state: data.state[i],
      cpu: data.cpu[i],
      memory,
      managed,
      unmanaged: memory - managed,
      spilled: data.spilled[i],
      limit: data.memory_limit[i],
      executing: data.executing[i],
      processing: data.processing[i],
      held: data.held[i],
      occupancy_s: data.occupancy_s[i],
      received: data.received[i],
      sent: data.sent[i],
      seen_s: data.seen_s[i],
    };
  });
}

export interface WorkerTotals {
  workers: number;
  threads: number;
  executing: number;
  processing: number;
  held: number;
  cpu: number;
  memory: number;
  managed: number;
  unmanaged: number;
  spilled: number;
  /** 0: at least one worker has none. */
  limit: number;
  received: number;
  sent: number;
  /** Of the worker that is fullest, 0 to 1; 0 without limits. */
  fullest: number;
  /** How many are in each state. */
  states: Map<string, number>;
}

export function workerTotals(rows: readonly WorkerRow[]): WorkerTotals {
  const sum = (of: (row: WorkerRow) => number): number => rows.reduce((total, row) => total + of(row), 0);
  const states = new Map<string, number>();
  for (const row of rows) {
    states.set(row.state, (states.get(row.state) ?? 0) + 1);
  }
  return {
    workers: rows.length,
    threads: sum(row => row.threads),
    executing: sum(row => row.executing),
    processing: sum(row => row.processing),
    held: sum(row => row.held),
    cpu: sum(row => row.cpu),
    memory: sum(row => row.memory),
    managed: sum(row => row.managed),
    unmanaged: sum(row => row.unmanaged),
    spilled: sum(row => row.spilled),
    limit: rows.every(row => row.limit > 0) ? sum(row => row.limit) : 0,
    received: sum(row => row.received),
    sent: sum(row => row.sent),
    fullest: rows.reduce((most, row) => Math.max(most, row.limit ? row.memory / row.limit : 0), 0),
    states,
  };
}

/** What the bar of a worker's memory is a share of: its limit, or, where it has none, the largest that any worker uses. */
export function memoryScale(rows: readonly WorkerRow[]): (row: WorkerRow) => number {
  const largest = rows.reduce((most, row) => Math.max(most, row.memory), 1);
  return row => row.limit || largest;
}

/** Whether a worker is in need: the class of a full one. Workers begin to spill below 80 %, pause above it and are ended at 95 %. */
export function memoryTone(row: WorkerRow): '' | 'jf-warn' | 'jf-bad' {
  const share = row.limit ? row.memory / row.limit : 0;
  return share >= 0.95 ? 'jf-bad' : share >= 0.8 || row.state === 'paused' ? 'jf-warn' : '';
}

/** The parts of the bar of a worker's memory: results, and the rest. Both turn to the colour of need together. */
export function memoryParts(row: WorkerRow, end: number): Part[] {
  const tone = memoryTone(row);
  return [
    [row.managed / end, `jf-part-a ${tone}`],
    [row.unmanaged / end, `jf-part-b ${tone}`],
  ];
}

/** The column that names a worker, with a dot for its state. */
export function nameColumn(): Column<WorkerRow> {
  return {
    name: 'name',
    title: 'Worker',
    width: 96,
    grow: 1,
    by: row => row.name,
    fill: (cell, row) => cell.dotted(row.name, stateTone(row.state), `${row.name}: ${row.state}, ${row.address}`),
  };
}

/** The tone of a worker's state. */
export function stateTone(state: string): string {
  return { running: 'jf-good', paused: 'jf-warn', retiring: 'jf-idle', restarting: 'jf-warn', silent: 'jf-bad' }[state] ?? 'jf-idle';
}

/** The next of 1, 2, 5, 10, 20, ... that is not smaller: ends of scales that do not tremble. */
export function niceCeiling(value: number): number {
  if (!(value > 0)) {
    return 1;
  }
  const power = 10 ** Math.floor(Math.log10(value));
  const figure = value / power;
  return (figure <= 1.0000001 ? 1 : figure <= 2 ? 2 : figure <= 5 ? 5 : 10) * power;
}

/**
 * The end of a scale over values that go up and down: grows at once, and gives way only when a third of it would do, so that bars can be compared
 * from one moment to the next.
 */
export class Scale {
  private end = 0;

  constructor(private readonly least: number) {}

  of(largest: number): number {
    const wanted = Math.max(this.least, niceCeiling(largest));
    if (wanted > this.end || wanted < this.end / 3) {
      this.end = wanted;
    }
    return this.end;
  }
}
