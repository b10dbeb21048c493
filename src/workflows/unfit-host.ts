/** A host that cannot do a step: the task goes on at another one. */
export class UnfitHost extends Error {
  override readonly name = 'UnfitHost';

  constructor(
    message: string,
    /** Time does not change it there. */
    readonly isLasting = false,
  ) {
    super(message);
  }
}
