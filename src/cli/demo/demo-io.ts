/** Called after each step. */
export type Tick = (step: string, text: string, facts?: object) => void;

/** A named step of the end; the last one opened is the first to be closed. */
export type Closer = readonly [what: string, close: () => Promise<unknown>];
