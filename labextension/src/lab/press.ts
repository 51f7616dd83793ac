/** The beginning of a drag: a press, and then a move that is meant. */

const MEANT_PX = 5;

/** At a press of the first button: call `begin` with where the pointer is once it has moved far enough, wherever that is; not if it is let go before. */
export function dragBegins(event: { button: number; clientX: number; clientY: number }, begin: (x: number, y: number) => void): void {
  if (event.button !== 0) {
    return;
  }
  const end = new AbortController();
  const listen = { signal: end.signal, capture: true };
  const moved = (move: PointerEvent): void => {
    if (Math.hypot(move.clientX - event.clientX, move.clientY - event.clientY) > MEANT_PX) {
      end.abort();
      begin(move.clientX, move.clientY);
    }
  };
  document.addEventListener('pointermove', moved, listen);
  for (const name of ['pointerup', 'pointercancel']) {
    window.addEventListener(name, () => end.abort(), listen);
  }
}
