/** Finding entries by words. */

/** The entries that have each word of the query at the beginning of one of their words; those that have them in their first text come first. */
export function matching<T>(entries: readonly T[], query: string, texts: (entry: T) => readonly string[]): T[] {
  const wanted = wordsOf(query);
  const scored: { entry: T; score: number }[] = [];
  for (const entry of entries) {
    const [title, ...rest] = texts(entry);
    const first = wordsOf(title);
    const all = [...first, ...rest.flatMap(wordsOf)];
    if (wanted.every(word => all.some(one => one.startsWith(word)))) {
      scored.push({ entry, score: wanted.filter(word => first.some(one => one.startsWith(word))).length });
    }
  }
  return scored.sort((a, b) => b.score - a.score).map(({ entry }) => entry);
}

function wordsOf(text: string): string[] {
  return text
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter(word => word !== '');
}
