/**
 * What changes the size of a cluster: a stepper, or, when it sizes itself, the bounds. What was asked for stands there until the cluster has it, or
 * says why it has not.
 */
import * as React from 'react';
import type { AdaptiveState } from '../protocol/snapshots';
import { minusIcon, plusIcon } from './icons';

interface SizeProps {
  workers: number;
  adaptive: AdaptiveState | null;
  scale(workers: number): Promise<unknown>;
  adapt(bounds: { minimum: number; maximum: number | null } | null): Promise<unknown>;
}

const MOST = 10_000;

export function SizeControl({ workers, adaptive, scale, adapt }: SizeProps): React.ReactElement {
  const [wanted, setWanted] = React.useState<number | null>(null); // asked for, not there yet
  const [trouble, setTrouble] = React.useState('');
  const [busy, setBusy] = React.useState(false);
  React.useEffect(() => {
    if (wanted === workers) {
      setWanted(null);
    }
  }, [workers, wanted]);

  const ask = async (request: () => Promise<unknown>, failed: () => void): Promise<void> => {
    setTrouble('');
    setBusy(true);
    try {
      await request();
    } catch (error) {
      failed();
      setTrouble(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  const resize = (next: number): void => {
    if (next !== (wanted ?? workers)) {
      setWanted(next);
      void ask(
        () => scale(next),
        () => setWanted(null),
      );
    }
  };
  const rebound = (bounds: { minimum: number; maximum: number | null } | null): void =>
    void ask(
      () => adapt(bounds),
      () => undefined,
    );
  const now = wanted ?? workers;

  return (
    <div className="jf-size" aria-busy={busy}>
      <div className="jf-size-row" data-lm-suppress-shortcuts="true">
        {adaptive ? (
          <>
            <NumberField
              label="Fewest workers"
              prefix="min"
              value={adaptive.minimum}
              least={0}
              most={adaptive.maximum ?? MOST}
              commit={minimum => rebound({ ...adaptive, minimum })}
            />
            <NumberField
              label="Most workers"
              prefix="max"
              value={adaptive.maximum}
              least={Math.max(1, adaptive.minimum)}
              most={MOST}
              commit={maximum => rebound({ ...adaptive, maximum })}
            />
          </>
        ) : (
          <>
            <span className="jf-size-label">Workers</span>
            <span className="jf-stepper">
              <button
                type="button"
                aria-label="One worker fewer"
                title="One worker fewer"
                disabled={now <= 0}
                onClick={() => resize(Math.max(0, now - 1))}
              >
                <minusIcon.react tag="span" width="14px" height="14px" />
              </button>
              <NumberField label="Workers" value={now} least={0} most={MOST} commit={resize} />
              <button type="button" aria-label="One worker more" title="One worker more" disabled={now >= MOST} onClick={() => resize(now + 1)}>
                <plusIcon.react tag="span" width="14px" height="14px" />
              </button>
            </span>
            {wanted !== null && <span className="jf-size-note">{workers} now</span>}
          </>
        )}
        <label className="jf-switch" title="Let the cluster size itself by its load">
          <input
            type="checkbox"
            role="switch"
            checked={adaptive !== null}
            disabled={busy}
            onChange={event => rebound(event.target.checked ? { minimum: Math.min(1, workers), maximum: Math.max(workers, 4) } : null)}
          />
          <span>Adaptive</span>
        </label>
      </div>
      {trouble && (
        <p className="jf-text-bad jf-size-trouble" role="alert">
          {trouble}
        </p>
      )}
    </div>
  );
}

interface NumberProps {
  label: string;
  prefix?: string;
  /** null: unbounded */
  value: number | null;
  least: number;
  most: number;
  commit(value: number): void;
}

/** A number that is told when it has been typed: at Enter, or when the field is left. Escape takes it back. */
function NumberField({ label, prefix, value, least, most, commit }: NumberProps): React.ReactElement {
  const [draft, setDraft] = React.useState<string | null>(null);
  const text = value === null ? '' : String(value);
  const done = (): void => {
    const typed = draft?.trim() ?? '';
    setDraft(null);
    if (draft !== null && /^\d+$/.test(typed) && Number(typed) >= least && Number(typed) <= most && typed !== text) {
      commit(Number(typed));
    }
  };
  const move = (by: number): void => setDraft(String(Math.min(most, Math.max(least, Number(draft ?? text) + by))));
  return (
    <span className="jf-size-number">
      {prefix && <span aria-hidden="true">{prefix}</span>}
      <input
        value={draft ?? text}
        placeholder="∞"
        inputMode="numeric"
        role="spinbutton"
        aria-label={label}
        aria-valuenow={value ?? undefined}
        aria-valuemin={least}
        autoComplete="off"
        onChange={event => setDraft(event.target.value)}
        onBlur={done}
        onFocus={event => event.target.select()}
        onKeyDown={event => {
          if (event.key === 'Enter') {
            event.currentTarget.blur();
          } else if (event.key === 'Escape') {
            setDraft(null);
          } else if (event.key === 'ArrowUp' || event.key === 'ArrowDown') {
            event.preventDefault();
            move(event.key === 'ArrowUp' ? 1 : -1);
          }
        }}
      />
    </span>
  );
}
