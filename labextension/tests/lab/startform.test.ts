/** What the form for a new cluster lets through, and what it sends. */
import { describe, expect, it } from 'vitest';
import type { ClusterOption, ClusterType } from '../../src/lab/rest';
import { check, formOf, wishOf } from '../../src/lab/startform';

function option(name: string, kind: ClusterOption['kind'], change: Partial<ClusterOption> = {}): ClusterOption {
  return { name, title: name, kind, inner: false, default: null, suggested: '', ...change };
}

const LOCAL: ClusterType = {
  name: 'local',
  title: 'This machine',
  environment: true,
  options: [
    option('n_workers', 'integer', { minimum: 0 }),
    option('threads_per_worker', 'integer', { minimum: 1, default: 2 }),
    option('memory_limit', 'size'),
    option('detached', 'flag'),
  ],
};
const SSH: ClusterType = {
  name: 'ssh',
  title: 'Machines',
  environment: false,
  options: [option('hosts', 'text', { inner: true, required: true }), option('allow_plain', 'flag', { inner: true })],
};
const TYPES = [LOCAL, SSH];

describe('a wish', () => {
  it('says only what was chosen', () => {
    expect(wishOf(formOf({}, TYPES), LOCAL)).toEqual({ type: 'local', threads_per_worker: 2 });
  });

  it('has numbers as numbers, and a type’s own options in their place', () => {
    const form = { ...formOf({}, TYPES), name: ' mill ', environment: 'py', values: { n_workers: '0', memory_limit: '1 GB', detached: true } };
    expect(wishOf(form, LOCAL)).toEqual({ type: 'local', name: 'mill', environment: 'py', n_workers: 0, memory_limit: '1 GB', detached: true });
    expect(wishOf({ ...form, values: { hosts: 'head node1', allow_plain: false } }, SSH)).toEqual({
      type: 'ssh',
      name: 'mill',
      options: { hosts: 'head node1' },
    });
  });

  it('comes back into the form as it was', () => {
    const wish = { type: 'ssh', name: 'mill', n_workers: 3, options: { hosts: ['head', 'node1'], allow_plain: true } };
    const form = formOf(wish, TYPES);
    expect([form.type, form.name, form.values.n_workers, form.values.hosts, form.values.allow_plain]).toEqual([
      'ssh',
      'mill',
      '3',
      'head node1',
      true,
    ]);
  });

  it('takes another type’s place when its own is not offered', () => {
    expect(formOf({ type: 'gone' }, TYPES).type).toBe('local');
  });
});

describe('what is wrong', () => {
  const wrong = (values: Record<string, string | boolean>, name = '', type = LOCAL): string[] =>
    Object.keys(check({ type: type.name, name, environment: '', values }, type, new Set(['mill'])));

  it('is nothing in an empty form, unless something is needed', () => {
    expect(wrong({})).toEqual([]);
    expect(wrong({}, '', SSH)).toEqual(['hosts']);
  });

  it('is found in numbers and sizes', () => {
    expect(wrong({ n_workers: '0', threads_per_worker: '4', memory_limit: 'auto' })).toEqual([]);
    expect(wrong({ n_workers: '-1', threads_per_worker: '0', memory_limit: 'much' })).toEqual(['n_workers', 'threads_per_worker', 'memory_limit']);
    expect(['4GB', '512 MiB', '1.5g', 'none', '1e9', '4 QB'].map(text => wrong({ memory_limit: text }).length)).toEqual([0, 0, 0, 0, 1, 1]);
  });

  it('is found in names', () => {
    expect(['a b', 'Größe-1', '', ' x '].map(name => wrong({}, name).length)).toEqual([0, 0, 0, 0]);
    expect(['mill', '-x', 'a/b'].map(name => wrong({}, name))).toEqual([['name'], ['name'], ['name']]);
  });
});
