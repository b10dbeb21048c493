import type { Found, NotObtained, StackOptions, Way } from '../first-that-works.js';

/** A Temporal server that answers. `close` ends it if it is ours; `ended` settles when ours ends, with how. */
export interface TemporalServer {
  address: string;
  namespace: string;
  uiUrl: string | null;
  ended: Promise<string>;
  close: () => Promise<void>;
}

export type TemporalWay = Way<TemporalServer>;

/** A way that ends in a Temporal CLI which we run ourselves. */
export type TemporalCliWay = (
  options: StackOptions,
) => Promise<(Found<TemporalServer> & { executable: string }) | NotObtained>;
