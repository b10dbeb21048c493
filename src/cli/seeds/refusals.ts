import { TaskError } from '../../errors.js';

export const unknownSeed = (seedId: string): TaskError =>
  new TaskError('NotFound', `Seed ${JSON.stringify(seedId)} is unknown; codex-task seeds list names them`);

export const unknownRecord = (quarantineId: string): TaskError =>
  new TaskError(
    'NotFound',
    `Quarantine record ${JSON.stringify(quarantineId)} is unknown; codex-task seeds quarantine list names them`,
  );

/** @param instead what to do, as the end of the sentence */
export const leasedSeed = (
  seedId: string,
  { holder, until }: { holder: string | null; until: Date | null },
  instead: string,
): TaskError =>
  new TaskError(
    'LeaseRefused',
    `Seed ${seedId} is leased to ${holder} until ${until?.toISOString()}: ${instead}`,
  );
