/** Logs as the server tells them, and as text. */

/** What the server tells of logs. */
export interface Logs {
  output: string[];
  scheduler: [level: string, text: string][];
  workers: Record<string, [level: string, text: string][]>;
  errors: string[];
}

/** Lines of text, by where they come from: what was printed, the scheduler's, each worker's, and what could not be had. */
export function linesOf(logs: Partial<Logs>): string[] {
  const part = (title: string, lines: readonly string[]): string[] => (lines.length > 0 ? [title, ...lines.map(line => `  ${line}`), ''] : []);
  const logged = (lines: readonly [string, string][]): string[] => lines.flatMap(([, text]) => text.split('\n'));
  return [
    ...part('output', logs.output ?? []),
    ...part('scheduler', logged(logs.scheduler ?? [])),
    ...Object.entries(logs.workers ?? {}).flatMap(([worker, lines]) => part(`worker ${worker}`, logged(lines))),
    ...part('could not be had', logs.errors ?? []),
  ].slice(0, -1);
}
