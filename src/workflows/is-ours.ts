import { CODEX_TASK } from '../contract/index.js';
import { VERIFY_POOL, VERIFY_SEED } from '../contract/verification.js';

const OURS: readonly string[] = [CODEX_TASK, VERIFY_POOL, VERIFY_SEED];

/** Whether a workflow of this type is one of this package, where a caller's run beside them. */
export const isOurs = (workflowType: string): boolean => OURS.includes(workflowType);
