import { TaskError } from '../../errors.js';
import type { RestoreResult } from '../../store/restore.js';
import type { Output } from '../output.js';
import { leasedSeed } from './refusals.js';

/**
 * Prints what a restoration did.
 * @throws TaskError why it did nothing
 */
export function reportRestored(result: RestoreResult, output: Output, unknown: () => TaskError): void {
  const { paint } = output;
  switch (result.kind) {
    case 'restored':
      return output.result(
        { outcome: 'restored', seedId: result.seedId, blobId: result.blobId },
        `${paint.green('restored')} ${result.seedId}: alive again; the replaced credential is among its previous ones`,
      );
    case 'recreated':
      return output.result(
        { outcome: 'recreated', seedId: result.seedId },
        `${paint.green('recreated')} as the new seed ${result.seedId}`,
      );
    case 'unchanged':
      return output.result(
        { outcome: 'unchanged', seedId: result.seedId },
        `Seed ${result.seedId} already holds this credential.`,
      );
    case 'unknown':
      throw unknown();
    case 'seed-gone':
      throw new TaskError('NotFound', `Seed ${JSON.stringify(result.seedId)} is gone`);
    case 'leased':
      throw leasedSeed(result.seedId, result, 'close that task first');
    case 'newer':
      throw new TaskError(
        'BadInput',
        `Seed ${result.seedId} holds a newer credential, and the older one is most likely used up: --force restores it and keeps the newer one among the previous ones`,
      );
  }
}
