/** Numbers as people read them. */
import { describe, expect, it } from 'vitest';
import { bytes, count, percent, seconds, short } from '../src/panes/text';

describe('text', () => {
  it('has three figures at most', () => {
    expect([0, 7, 950, 999.6, 12_345, 4_560_000].map(short)).toEqual(['0', '7', '950', '1.00k', '12.3k', '4.56M']);
    expect(count(1_234_567)).toBe('1,234,567');
    expect(percent(0.849)).toBe('85 %');
  });

  it('names sizes in decimal units', () => {
    expect([0, 999, 1536, 2.5 * 2 ** 30].map(bytes)).toEqual(['0 B', '999 B', '1.50 KiB', '2.50 GiB']);
  });

  it('names durations in the unit that fits', () => {
    expect([0, 15e-6, 2.5e-3, 1.2, 59.97, 125, 11_520].map(seconds)).toEqual([
      '0 s',
      '15.0 µs',
      '2.50 ms',
      '1.20 s',
      '1 min 0 s',
      '2 min 5 s',
      '3 h 12 min',
    ]);
  });
});
