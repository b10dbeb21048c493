/** One thing wrong with an input. */
export interface Fault {
  readonly path: readonly PropertyKey[];
  /** Null: there is no such key. */
  readonly expected: string | null;
  readonly value: unknown;
  /** The text in place of what was expected. */
  readonly says?: string;
}
