import { openWorkFile } from '../../workdir/open-work-file.js';
import { WorkFileFault } from '../../workdir/work-file-fault.js';

const NAME = 'AGENTS.md';
/** Bounded, since every request to the model includes it. */
const MAX_BYTES = 256 * 1024;

/**
 * The workdir's own AGENTS.md as the last part of the host's, marked as the project's; empty where there is none.
 * Codex reads only its home's file, since the workdir is no trusted project. Follows a link within the workdir.
 * @param warnings gets a line when it cannot be read, or not whole
 */
export async function projectInstructions(work: string, warnings: string[]): Promise<string> {
  const file = await openWorkFile(work, NAME).catch((error: unknown) => {
    if (!(error instanceof WorkFileFault) || error.kind !== 'not-found')
      warnings.push(`${NAME} of the workdir is not given to the model: it is no file within the workdir`);
    return null;
  });
  if (!file) return '';
  try {
    const bytes = Buffer.alloc(Math.min(file.size, MAX_BYTES));
    const { bytesRead } = await file.handle.read(bytes, 0, bytes.length, 0);
    // The cut may lie in the middle of a character.
    const text = bytes
      .subarray(0, bytesRead)
      .toString('utf8')
      .replace(/\uFFFD+$/, '');
    if (file.size > MAX_BYTES)
      warnings.push(
        `${NAME} of the workdir has ${file.size} bytes: the model is given the first ${MAX_BYTES}`,
      );
    return text.trim() === '' ? '' : `\n# ${NAME} of the project\n\n${text.trimEnd()}\n`;
  } finally {
    await file.handle.close();
  }
}
