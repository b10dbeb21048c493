export { codexTask } from './codex-task.js';
