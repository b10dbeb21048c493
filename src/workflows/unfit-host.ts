/** A host that cannot run an activity: the task continues on another one. */
export class UnfitHost extends Error {
  override readonly name = 'UnfitHost';

  constructor(
    message: string,
    /** Waiting does not help on that host. */
    readonly isLasting = false,
  ) {
    super(message);
  }
}
