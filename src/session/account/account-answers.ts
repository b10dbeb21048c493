import { isRecord } from '../../codex/narrow.js';

/** `account` is null after a permanent refusal, without another call to OpenAI. */
export const isSignedOut = (answer: unknown) => isRecord(answer) && answer['account'] === null;

/** Errors of a file system: not permitted, I/O, access, is a directory, no space, read-only, quota. */
const FILE_ERRORS = /\(os error (1|5|13|21|28|30|122)\)/;

/** Codex shows a failed write of auth.json as a model stream that broke off without a status. */
export const isWriteFault = ({ additionalDetails }: Record<string, unknown>) =>
  typeof additionalDetails === 'string' && FILE_ERRORS.test(additionalDetails);
