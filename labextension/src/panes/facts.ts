/** Numbers with their nouns, in a line: what a pane says before one looks at it closely. */
import { el, say } from './dom';

/** A value, what it counts, and a class for its tone. */
export type Fact = readonly [value: string, noun: string, tone?: string];

/** `facts.set([['12', 'workers'], ['3', 'paused', 'jf-warn']])` */
export class Facts {
  readonly node = el('ul', 'jf-facts');
  private items: { node: HTMLElement; value: HTMLElement; noun: HTMLElement }[] = [];

  set(facts: readonly Fact[]): void {
    while (this.items.length < facts.length) {
      const value = el('b');
      const noun = el('span');
      const node = el('li', '', {}, value, ' ', noun);
      this.items.push({ node, value, noun });
      this.node.append(node);
    }
    this.items.forEach((item, i) => {
      const fact = facts[i];
      item.node.hidden = fact === undefined;
      if (fact) {
        say(item.value, fact[0]);
        say(item.noun, fact[1]);
        item.node.className = fact[2] ?? '';
      }
    });
  }
}
