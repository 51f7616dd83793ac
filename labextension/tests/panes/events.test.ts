/** The log of events: what is kept, what is seen. */
import { describe, expect, it } from 'vitest';
import type { EventRow } from '../../src/protocol/snapshots';
import { EventLog, KEPT, KINDS, rank } from '../../src/panes/event-log';
import { preciseClock } from '../../src/panes/events';

const row = (text: string, level = 'info', kind = 'log'): EventRow => ({ at: 1, kind, level, source: 'w', text, key: '' });
const texts = (log: EventLog): string[] => log.shown.map(entry => entry.text);

describe('the log of events', () => {
  it('adds what is new, and begins anew when it is told to', () => {
    const log = new EventLog();
    expect(log.take({ reset: true, rows: [row('a'), row('b', 'error')], dropped: 3 })).toBe(-1);
    expect(log.take({ reset: false, rows: [row('c', 'warning')], dropped: 0 })).toBe(0);
    expect(texts(log)).toEqual(['a', 'b', 'c']);
    expect([log.errors, log.warnings, log.lost]).toEqual([1, 1, 3]);
    log.take({ reset: true, rows: [row('d')], dropped: 0 });
    expect(texts(log)).toEqual(['d']);
    expect([log.errors, log.warnings, log.lost]).toEqual([0, 0, 0]);
  });

  it('shows what the filters let through, of what is there and of what comes', () => {
    const log = new EventLog();
    log.take({ reset: true, rows: [row('low', 'debug'), row('joined', 'info', 'worker'), row('Bad thing', 'error', 'task')], dropped: 0 });
    log.set({ level: 'info', kinds: new Set(KINDS), search: '' });
    expect(texts(log)).toEqual(['joined', 'Bad thing']);
    log.set({ level: 'debug', kinds: new Set(['task']), search: 'bad' });
    log.take({ reset: false, rows: [row('bad again', 'error', 'task'), row('bad worker', 'error', 'worker')], dropped: 0 });
    expect(texts(log)).toEqual(['Bad thing', 'bad again']);
  });

  it('shows kinds that it does not know', () => {
    const log = new EventLog();
    log.set({ level: 'debug', kinds: new Set(), search: '' });
    log.take({ reset: true, rows: [row('x', 'info', 'weather'), row('y')], dropped: 0 });
    expect(texts(log)).toEqual(['x']);
  });

  it('keeps the newest, and says how many of those in sight have left', () => {
    const log = new EventLog();
    log.set({ level: 'info', kinds: new Set(KINDS), search: '' });
    log.take({ reset: true, rows: Array.from({ length: KEPT }, (_, i) => row(String(i), i % 2 ? 'info' : 'debug')), dropped: 0 });
    const left = log.take({ reset: false, rows: [row('new')], dropped: 0 });
    expect(log.total).toBe(KEPT * 0.9);
    expect(left).toBe((KEPT * 0.1 + 2) / 2 - 1);
    expect(log.shown.length).toBe(KEPT / 2 + 1 - left);
    expect(log.shown[log.shown.length - 1].text).toBe('new');
    expect(log.kinds.get('log')).toBe(log.total);
  });

  it('knows which level is more serious', () => {
    expect(['debug', 'info', 'warning', 'error', 'critical'].map(rank)).toEqual([0, 1, 2, 3, 4]);
  });

  it('tells the time to the millisecond', () => {
    expect(preciseClock(10.25)).toMatch(/:10\.250$/);
  });
});
