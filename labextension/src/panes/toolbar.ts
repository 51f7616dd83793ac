/** What stands above a picture to choose what it shows: a search field, one of several, some of several, buttons. All are native controls. */
import { el, freshId } from './dom';

/** A row of controls. */
export function toolbar(label: string, ...children: Node[]): HTMLElement {
  return el('div', 'jf-toolbar', { role: 'toolbar', 'aria-label': label, 'data-lm-suppress-shortcuts': 'true' }, ...children);
}

/** A field that tells of each change. Escape empties it. */
export function searchField(hint: string, value: string, changed: (text: string) => void): HTMLInputElement {
  const field = el('input', 'jf-search', { type: 'search', placeholder: hint, 'aria-label': hint, spellcheck: 'false' });
  field.value = value;
  field.addEventListener('input', () => changed(field.value.trim()));
  field.addEventListener('keydown', event => {
    if (event.key === 'Escape' && field.value) {
      field.value = '';
      changed('');
      event.stopPropagation();
      event.preventDefault();
    }
  });
  return field;
}

/** One of a few, as a row of words. */
export function choice<V extends string>(
  label: string,
  values: readonly (readonly [V, string])[],
  value: V,
  changed: (value: V) => void,
): HTMLElement {
  const name = freshId('choice');
  const node = el('div', 'jf-choice', { role: 'radiogroup', 'aria-label': label });
  for (const [each, text] of values) {
    const input = el('input', '', { type: 'radio', name });
    input.checked = each === value;
    input.addEventListener('change', () => changed(each));
    node.append(el('label', '', {}, input, el('span', '', {}, text)));
  }
  return node;
}

/** Some of a few, each a word that is on or off. */
export function switches<V extends string>(
  label: string,
  values: readonly (readonly [V, string])[],
  on: ReadonlySet<V>,
  changed: (on: Set<V>) => void,
): HTMLElement {
  const now = new Set(on);
  const node = el('div', 'jf-switches', { role: 'group', 'aria-label': label });
  for (const [each, text] of values) {
    const input = el('input', '', { type: 'checkbox' });
    input.checked = now.has(each);
    input.addEventListener('change', () => {
      if (input.checked) {
        now.add(each);
      } else {
        now.delete(each);
      }
      changed(new Set(now));
    });
    node.append(el('label', `jf-switch-${each}`, {}, input, el('span', '', {}, text)));
  }
  return node;
}

/** One of many, as a menu whose entries may change while it is closed. */
export class Menu {
  readonly node: HTMLSelectElement;
  private known = '';

  constructor(label: string, changed: (value: string) => void) {
    this.node = el('select', 'jf-menu', { 'aria-label': label, title: label });
    this.node.addEventListener('change', () => changed(this.node.value));
  }

  set(entries: readonly (readonly [value: string, text: string])[], value: string): void {
    const key = JSON.stringify([entries, value]);
    if (key !== this.known && document.activeElement !== this.node) {
      this.known = key;
      this.node.replaceChildren(...entries.map(([each, text]) => el('option', '', { value: each }, text)));
      this.node.value = value;
    }
  }
}

export function button(text: string, hint: string, pressed: () => void): HTMLButtonElement {
  const node = el('button', 'jf-button', { type: 'button', title: hint || undefined }, text);
  node.addEventListener('click', pressed);
  return node;
}

/** Moves what follows to the right end. */
export function gap(): HTMLElement {
  return el('span', 'jf-gap');
}
