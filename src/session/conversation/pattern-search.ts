import { createContext, Script } from 'node:vm';

/** Whether a pattern is found in one of the texts; null: the search takes too long. */
export type Search = (pattern: string, texts: readonly string[]) => boolean | null;

/**
 * Milliseconds of search for one pattern: endless backtracking must not stop the worker. Retried once, since another
 * process may have used the time.
 */
const SEARCH_MS = [50, 150];
/** Milliseconds for all patterns of one request. */
const ALL_MS = 400;
const SEARCH = new Script('texts.some((text) => new RegExp(pattern, "s").test(text))');
const searched: { pattern: string; texts: readonly string[] } = { pattern: '', texts: [] };
createContext(searched);

/** A search over the rules of one request. */
export function openSearch(): Search {
  let leftMs = ALL_MS;
  return (pattern, texts) => {
    searched.pattern = pattern;
    searched.texts = texts;
    for (const limitMs of SEARCH_MS) {
      const timeout = Math.floor(Math.min(limitMs, leftMs));
      if (timeout < 1) break;
      const began = performance.now();
      try {
        return SEARCH.runInContext(searched, { timeout }) === true;
      } catch {
        // Out of time.
      } finally {
        leftMs -= performance.now() - began;
      }
    }
    return null;
  };
}
