/** A JSON Schema of OpenAI's strict mode (docs/tasks.md): the form of the last message of a turn. */
export type OutputSchema = Readonly<Record<string, unknown>>;

/** What fits a schema that is written as a constant; `unknown` for any other, and behind a `$ref`. */
export type OutputOf<S> = S extends { readonly const: infer C }
  ? C
  : S extends { readonly enum: readonly (infer E)[] }
    ? E
    : S extends { readonly anyOf: readonly (infer A)[] }
      ? OfEach<A>
      : S extends { readonly type: infer T }
        ? OfType<T, S>
        : unknown;

type OfEach<S> = S extends unknown ? OutputOf<S> : never;

type OfType<T, S> = T extends readonly (infer U)[]
  ? OfType<U, S>
  : T extends 'object'
    ? OfMembers<S>
    : T extends 'array'
      ? (S extends { readonly items: infer I } ? OutputOf<I> : unknown)[]
      : T extends keyof Scalars
        ? Scalars[T]
        : unknown;

type OfMembers<S> = S extends { readonly properties: infer P }
  ? { -readonly [K in keyof P]: OutputOf<P[K]> }
  : object;

interface Scalars {
  string: string;
  number: number;
  integer: number;
  boolean: boolean;
  null: null;
}

/** What a failure `BadOutput` says of the answer, as the first of its details. */
export interface BadOutputDetails {
  /** The answer, or its beginning; null: there was no message. */
  text: string | null;
  truncated?: true;
  /** The first of what does not fit. */
  faults: string[];
}
