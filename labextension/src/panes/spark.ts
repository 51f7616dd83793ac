/** A line in a corner: how a number has been, without axes. */
import { fit } from './dom';
import { mix, type Theme } from './theme';

/** Draw samples of the time `from` to `to`, with 0 at the foot and `most` at the head. A null is a hole. */
export function spark(
  canvas: HTMLCanvasElement,
  width: number,
  height: number,
  at: readonly number[],
  values: readonly (number | null)[],
  range: readonly [from: number, to: number],
  most: number,
  theme: Theme,
): void {
  const context = fit(canvas, width, height);
  const [from, to] = range;
  const x = (time: number): number => ((time - from) / (to - from)) * width;
  const y = (value: number): number => height - 1 - (Math.min(value, most) / (most || 1)) * (height - 3);
  for (const run of runs(at, values, from, to)) {
    context.beginPath();
    run.forEach(([time, value], i) => (i === 0 ? context.moveTo(x(time), y(value)) : context.lineTo(x(time), y(value))));
    context.strokeStyle = theme.accent;
    context.lineWidth = 1.5;
    context.lineJoin = 'round';
    context.stroke();
    context.lineTo(x(run[run.length - 1][0]), height);
    context.lineTo(x(run[0][0]), height);
    context.closePath();
    context.fillStyle = mix(theme.accent, 0.12);
    context.fill();
  }
}

/** The samples in sight, in pieces without holes. One more at the left end, so that the line reaches it. */
export function runs(at: readonly number[], values: readonly (number | null)[], from: number, to: number): [number, number][][] {
  const found: [number, number][][] = [];
  let run: [number, number][] = [];
  for (let i = 0; i < at.length; i++) {
    const value = values[i];
    const inSight = at[i] <= to && (i + 1 >= at.length ? at[i] >= from : at[i + 1] >= from);
    if (value === null || !inSight) {
      if (run.length > 0) {
        found.push(run);
        run = [];
      }
    } else {
      run.push([at[i], value]);
    }
  }
  if (run.length > 0) {
    found.push(run);
  }
  return found;
}
