/** Why a file of a task's workdir is not given or taken. */
export class WorkFileFault extends Error {
  constructor(readonly kind: 'not-found' | 'forbidden' | 'bad-path' | 'too-large') {
    super(kind);
  }
}
