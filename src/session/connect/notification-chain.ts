/** What codex says of itself, as it came. */
export interface Notification {
  readonly method: string;
  readonly params: unknown;
  readonly raw: string;
}

export type Pass = (said: Notification) => void;
/** Looks at a notification and passes it on: at once, later, or never. */
export type NotificationStep = (said: Notification, pass: Pass) => void;

/** Takes each notification through the steps, in their order. */
export const chain = (steps: readonly NotificationStep[]): Pass =>
  steps.reduceRight<Pass>(
    (next, step) => (said) => step(said, next),
    () => undefined,
  );

/** A step for who only listens; null: nobody does. */
export const heardBy =
  (ear: { seen(method: string, params: unknown): void } | null): NotificationStep =>
  (said, pass) => {
    ear?.seen(said.method, said.params);
    pass(said);
  };
