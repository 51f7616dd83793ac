/** What is known of one worker, for the drawer below a table of workers; tasks, stacks and log lines are asked for when somebody wants them. */
import type { Feed } from '../feed/feed';
import type { WorkerRow } from './worker-rows';
import type { Detail } from './detail';
import { bytes, count, percent, seconds } from './text';
import { button } from './toolbar';

/** Open the drawer for a worker. */
export function openWorker(detail: Detail, feed: Feed, cluster: string, row: WorkerRow): void {
  const ask = (title: string, hint: string, op: string, args: Record<string, unknown>, text: (answer: unknown) => string): HTMLButtonElement =>
    button(title, hint, () => {
      void detail.answer(
        `Asking worker ${row.name} …`,
        () => feed.ask(cluster, op, args),
        answer => detail.text(text(answer)),
      );
    });
  detail.open(
    `Worker ${row.name}`,
    ask('Tasks', 'What it was given and has not finished', 'processing', { workers: [row.address] }, answer => tasksText(answer, row.address)),
    ask('Call stacks', 'What its threads do right now', 'call_stack', { workers: [row.address] }, stacksText),
    ask('Log', 'Its last log lines', 'worker_logs', { workers: [row.address], n: 200 }, logText),
  );
  updateWorker(detail, row);
}

/** The facts again, newer ones. */
export function updateWorker(detail: Detail, row: WorkerRow): void {
  const share = row.limit ? ` (${percent(row.memory / row.limit)})` : '';
  detail.set([
    ['state', row.state],
    ['address', row.address],
    ['process', `${row.pid} on ${row.host || 'an unknown host'}`],
    ['threads', `${count(row.executing)} of ${count(row.threads)} busy`],
    ['assigned', `${count(row.processing)} tasks, ${seconds(row.occupancy_s)}`],
    ['CPU', percent(row.cpu)],
    ['memory', `${bytes(row.memory)}${row.limit ? ` of ${bytes(row.limit)}` : ''}${share}`],
    ['results', `${count(row.held)}, ${bytes(row.managed)}`],
    ['unmanaged', bytes(row.unmanaged)],
    ['spilled', bytes(row.spilled)],
    ['received', `${bytes(row.received)}/s`],
    ['sent', `${bytes(row.sent)}/s`],
    ['heard of', `${seconds(row.seen_s)} ago`],
  ]);
}

/** The keys, one a line. */
export function tasksText(answer: unknown, address: string): string {
  const keys = (answer as Record<string, string[]>)[address] ?? [];
  return keys.length ? keys.join('\n') : 'It has nothing to do.';
}

/** What the only worker that was asked has said. Throws what went wrong there. */
function said(answer: unknown): unknown {
  const { answers, errors } = answer as { answers: Record<string, unknown>; errors: Record<string, string> };
  const [trouble] = Object.values(errors);
  if (trouble !== undefined) {
    throw new Error(trouble);
  }
  return Object.values(answers)[0];
}

/** Of each running task its frames. */
export function stacksText(answer: unknown): string {
  const stacks = Object.entries((said(answer) ?? {}) as Record<string, string[]>);
  return (
    stacks.map(([key, lines]) => [key, ...lines.map(line => `  ${line.trimEnd()}`)].join('\n')).join('\n\n') || 'No task runs on it at the moment.'
  );
}

/** Log lines: `[level, text]` each. */
export function logText(answer: unknown): string {
  return ((said(answer) ?? []) as [string, string][]).map(([, text]) => text).join('\n') || 'It has logged nothing.';
}
