/** Light or dark: as the system is, until the reader says otherwise. */
import { recall, remember } from './store';

export type Scheme = 'auto' | 'light' | 'dark';

const ORDER: readonly Scheme[] = ['auto', 'light', 'dark'];

export class Schemes {
  private chosen: Scheme = recall<Scheme>('scheme', 'auto');
  private readonly system = matchMedia('(prefers-color-scheme: dark)');

  /** `changed` is called when the colours are different. */
  constructor(private readonly changed: () => void) {
    if (!ORDER.includes(this.chosen)) {
      this.chosen = 'auto';
    }
    this.system.addEventListener('change', () => this.apply());
    this.paint();
  }

  get scheme(): Scheme {
    return this.chosen;
  }

  get isDark(): boolean {
    return this.chosen === 'dark' || (this.chosen === 'auto' && this.system.matches);
  }

  /** The next of the three. */
  next(): void {
    this.chosen = ORDER[(ORDER.indexOf(this.chosen) + 1) % ORDER.length];
    remember('scheme', this.chosen);
    this.apply();
  }

  private apply(): void {
    this.paint();
    this.changed();
  }

  private paint(): void {
    document.documentElement.classList.toggle('jf-dark', this.isDark);
  }
}
