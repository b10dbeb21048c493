/** A notification of Codex, as it came. */
export interface Notification {
  readonly method: string;
  readonly params: unknown;
  readonly raw: string;
}

export type Pass = (said: Notification) => void;
/** Handles a notification and passes it on: at once, later, or never. */
export type NotificationStep = (said: Notification, pass: Pass) => void;

/** Passes each notification through the handlers, in order. */
export const chain = (steps: readonly NotificationStep[]): Pass =>
  steps.reduceRight<Pass>(
    (next, step) => (said) => step(said, next),
    () => undefined,
  );

/** A handler that only listens; null: nobody does. */
export const heardBy =
  (ear: { seen(method: string, params: unknown): void } | null): NotificationStep =>
  (said, pass) => {
    ear?.seen(said.method, said.params);
    pass(said);
  };
