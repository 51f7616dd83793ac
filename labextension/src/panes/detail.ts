/** What is known of the one thing that is marked: a drawer at the foot of a pane with facts, texts and answers that come later. Escape closes it. */
import { el, say } from './dom';
import { button } from './toolbar';

export class Detail {
  readonly node: HTMLElement;
  private readonly title = el('h3', 'jf-detail-title');
  private readonly facts = el('dl', 'jf-detail-facts');
  private readonly body = el('div', 'jf-detail-body');
  private readonly actions = el('span', 'jf-detail-actions');
  private pairs: { noun: HTMLElement; value: HTMLElement }[] = [];
  private asked = 0;

  /** `closed` is called when the user closes it. */
  constructor(label: string, closed: () => void) {
    const close = button('✕', 'Close (Escape)', closed);
    close.classList.add('jf-quiet');
    close.setAttribute('aria-label', 'Close');
    this.node = el(
      'aside',
      'jf-detail',
      { 'aria-label': label, 'data-lm-suppress-shortcuts': 'true' },
      el('header', '', {}, this.title, this.actions, close),
      el('div', 'jf-detail-scroll', { tabindex: 0, role: 'group', 'aria-label': label }, this.facts, this.body),
    );
    this.node.hidden = true;
    this.node.addEventListener('keydown', event => {
      if (event.key === 'Escape') {
        event.stopPropagation();
        closed();
      }
    });
  }

  get isOpen(): boolean {
    return !this.node.hidden;
  }

  /** Begin anew with this title and these buttons. What was asked for before is not shown any more. */
  open(title: string, ...actions: HTMLElement[]): void {
    this.asked++;
    say(this.title, title);
    this.title.title = title;
    this.actions.replaceChildren(...actions);
    this.body.replaceChildren();
    this.node.hidden = false;
  }

  close(): void {
    this.asked++;
    this.node.hidden = true;
  }

  /** Facts that may be set again and again; only what has changed is written. */
  set(facts: readonly (readonly [noun: string, value: string])[]): void {
    while (this.pairs.length < facts.length) {
      const noun = el('dt');
      const value = el('dd');
      this.pairs.push({ noun, value });
      this.facts.append(el('div', '', {}, noun, value));
    }
    this.pairs.forEach((pair, i) => {
      const fact = facts[i];
      (pair.noun.parentElement as HTMLElement).hidden = fact === undefined;
      if (fact) {
        say(pair.noun, fact[0]);
        say(pair.value, fact[1]);
      }
    });
  }

  /** A text whose lines are its own. */
  text(text: string, tone = ''): void {
    this.body.replaceChildren(el('pre', tone, {}, text));
  }

  /** An element of the pane's own. */
  content(...nodes: Node[]): void {
    this.body.replaceChildren(...nodes);
  }

  /** Show what a question is answered, or why it is not, unless something else has been asked for meanwhile. */
  async answer(waiting: string, question: () => Promise<unknown>, show: (answer: unknown) => void): Promise<void> {
    const asked = ++this.asked;
    this.body.replaceChildren(el('p', 'jf-soft', { role: 'status' }, waiting));
    try {
      const answer = await question();
      if (asked === this.asked) {
        show(answer);
      }
    } catch (error) {
      if (asked === this.asked) {
        this.body.replaceChildren(el('p', 'jf-bad', { role: 'alert' }, error instanceof Error ? error.message : String(error)));
      }
    }
  }
}
