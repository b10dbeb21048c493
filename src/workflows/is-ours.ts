import { CODEX_TASK } from '../contract/index.js';
import { VERIFY_POOL, VERIFY_SEED } from '../contract/verification.js';

const OURS: readonly string[] = [CODEX_TASK, VERIFY_POOL, VERIFY_SEED];

/** Whether a workflow of this type belongs to this package, next to a caller's own. */
export const isOurWorkflow = (workflowType: string): boolean => OURS.includes(workflowType);
