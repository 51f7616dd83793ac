/** Where panes stand on the dashboard's page. */
import { describe, expect, it } from 'vitest';
import { add, fromText, moveBelow, moveRight, panesOf, place, remove, toText, type Layout } from '../src/standalone/layout';

const read = (text: string): Layout => fromText(text, name => /^[a-z-]+$/.test(name));

describe('the words of a layout', () => {
  it('come back as they were', () => {
    for (const text of ['', 'a', 'a+b/c', 'a~1.5+b~0.5/c', 'a+b!1.2/c!0.8']) {
      expect(toText(read(text))).toBe(text);
    }
  });

  it('hold known panes, once', () => {
    expect(toText(fromText('a+x/a+b/x', name => 'ab'.includes(name)))).toBe('a/b');
  });

  it('may be nonsense', () => {
    expect(toText(read('a~-3+b~zero/c!!7//+'))).toBe('a+b/c');
  });

  it('have shares whose mean is one', () => {
    const [row] = read('a~3+b~1');
    expect(row.cells.map(cell => cell.share)).toEqual([1.5, 0.5]);
  });
});

describe('panes', () => {
  it('are added where there is room', () => {
    const layout = ['a', 'b', 'c', 'd', 'e'].reduce<Layout>((before, name) => add(before, name, 1.6), []);
    expect(panesOf(layout).sort()).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(Math.max(...layout.map(row => row.cells.length))).toBe(2);
    expect(add(layout, 'a', 1.6)).toBe(layout);
  });

  it('stand in a column on a high page', () => {
    expect(toText(add(add(read('a'), 'b', 0.5), 'c', 0.5))).toBe('a/b/c');
  });

  it('leave no empty rows', () => {
    expect(toText(remove(read('a+b/c'), 'c'))).toBe('a+b');
    expect(remove(read('a'), 'a')).toEqual([]);
  });

  it('are put beside others', () => {
    const layout = read('a+b/c');
    expect(toText(place(layout, 'c', 'left', 'b'))).toBe('a+c+b');
    expect(toText(place(layout, 'c', 'right', 'b'))).toBe('a+b+c');
    expect(toText(place(layout, 'a', 'above', 'b'))).toBe('a/b/c');
    expect(toText(place(layout, 'new', 'below', 'c'))).toBe('a+b/c/new');
    expect(place(layout, 'a', 'left', 'a')).toBe(layout);
  });
});

describe('borders', () => {
  it('take from one neighbour and give to the other', () => {
    expect(toText(moveRight(read('a+b+c'), 0, 0, 0.25))).toBe('a~1.5+b~0.5+c');
    expect(toText(moveBelow(read('a/b'), 0, -0.25))).toBe('a!0.5/b!1.5');
  });

  it('leave both something', () => {
    const [row] = moveRight(read('a+b'), 0, 0, 9);
    expect(row.cells.map(cell => Number(cell.share.toFixed(2)))).toEqual([1.8, 0.2]);
  });
});
