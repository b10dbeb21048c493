export { codexTask } from './codex-task.js';
export { verifyPool, verifySeed } from './verify-pool.js';
