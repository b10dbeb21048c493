import type { TaskMessage } from '../../contract/index.js';
import { refuseBadSchemaPatterns } from '../../input/patterns.js';
import { checkImages } from './image-inputs.js';

/** What only this host can tell of a message. @throws TaskError `BadInput` */
export async function checkMessage(message: TaskMessage, workDir: string): Promise<void> {
  refuseBadSchemaPatterns(message.outputSchema);
  await checkImages(message.images, workDir);
}
